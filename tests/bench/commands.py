"""Whole commands, from cold to their table, on the same documents: `skilldelta` with a task file, `lm_eval` with task files."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from harness import data
from harness.backends import transformers
from harness.types import Checkpoint, Request, Task
from tasks import bbh, gsm8k, ifeval, mmlu, truthfulqa, xstest
from tests.bench.sides import count_operations, gflops
from tests.bench.works import SUBJECT, SUBTASKS, find_task, write_model

NEW = 48  # the most tokens of an answer
MEMBERS, MEASURED = 8, 2  # checkpoints of the family; of their lm_eval commands, which cost alike, so many are run
IMPORTS = "import torch; from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM"
TASK_FILE = '''
import json
from harness.types import Request, Response, Score, Task

def right(r):
    return max(r.logprobs) == r.logprobs[0] if r.logprobs else "7" in r.text

def task(name):
    return Task(
        name=name, skill="reasoning", version=1, source="the bench", rows=lambda _: json.load(open(f"{FOLDER}/{name}.json")),
        ask=lambda e: Request(e.row["context"], choices=tuple(e.row["choices"]), raw=True) if "choices" in e.row
        else Request(e.row["context"], max_tokens=NEW, stop=tuple(e.row["until"]), raw=True),
        score=lambda e, r: Score(float(right(r))),
        ideal=lambda e: Response("7", logprobs=(0.0, -1.0)),
    )

TASKS = tuple(map(task, NAMES))
'''  # fmt: skip


@dataclass(frozen=True)
class Documents:
    """A folder with the same documents for both."""

    folder: Path
    names: list[str]
    requests: list[list[Request]]  # as both ask them

    def write(self, name: str, requests: Sequence[Request]) -> None:
        rows: list[dict[str, Any]] = [{"context": f"{r.prompt}\n{r.prefix}"} | about(r) for r in requests]
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(rows))
        own: dict[str, Any] = {
            "task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(file)}}, "test_split": "test",
            "doc_to_text": "{{context}}", "target_delimiter": "", "doc_to_target": 0,
        }  # fmt: skip
        if requests[0].choices:
            own |= {"output_type": "multiple_choice", "doc_to_choice": "{{choices}}", "metric_list": [{"metric": "acc"}]}
        else:
            stops = {"until": rows[0]["until"], "max_gen_toks": NEW, "do_sample": False}
            own |= {"output_type": "generate_until", "doc_to_target": "7", "generation_kwargs": stops}
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(own))
        self.names.append(name)
        told = {"raw": True, "prefix": "", "max_tokens": NEW}
        self.requests.append([replace(r, prompt=row["context"], **told) for r, row in zip(requests, rows, strict=True)])

    def ours(self, models: Sequence[Path], out: Path) -> list[list[str]]:
        """Scores, then the table."""
        file = self.folder / "bench_tasks.py"
        file.write_text(f"FOLDER, NAMES, NEW = {str(self.folder)!r}, {self.names!r}, {NEW}\n{TASK_FILE}")
        run = [sys.executable, "-m", "harness"]
        where = ["--include-path", str(file), "-o", str(out), "--device", "cpu", "--dtype", "float32"]
        return [
            [*run, "score", *map(str, models), "-t", ",".join(self.names), *where],
            [*run, "compare", str(out), "--baseline", models[0].name],
        ]

    def theirs(self, place: Path) -> list[str]:
        model = ["--model", "hf", "--model_args", f"pretrained={place},dtype=float32", "--device", "cpu", "--batch_size", "8"]
        tasks = ["--tasks", ",".join(self.names), "--include_path", str(self.folder)]
        return [str(Path(sys.executable).parent / "lm_eval"), *model, *tasks]


def about(request: Request) -> dict[str, Any]:
    return {"choices": list(request.choices)} if request.choices else {"until": list(request.stop)}


def asked(task: Task, rows: Path, most: int, group: str = "") -> list[Request]:
    every = (e for e in data.examples(task, rows) if not group or (task.group and task.group(e) == group))
    return [task.ask(e) for e, _ in zip(every, range(most), strict=False)]


def seconds(commands: Sequence[Sequence[str]]) -> float:
    """Processor time of commands, one after another, each on one thread."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    offline = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | offline)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measured(place: Path, documents: Documents, models: Sequence[Path], official: Sequence[Path], rounds: int) -> str:
    """One line: the ratio and the seconds of both, in turn."""
    runs = []
    for turn in range(rounds):
        mine = seconds(documents.ours(models, place / f"results {turn}"))
        each = statistics.mean(seconds([documents.theirs(m)]) for m in official)
        runs.append((mine, each * len(models)))
    ratios = sorted(o / m for m, o in runs)
    mine, theirs = (statistics.median(r[i] for r in runs) for i in (0, 1))
    told = f"{statistics.median(ratios):.1f} x ({ratios[0]:.1f} to {ratios[-1]:.1f})"
    return f"{told}: {mine:.1f} CPU s here, {theirs:.1f} by lm_eval"


def family(rows: Path, rounds: int) -> str:
    """Several checkpoints on seven tasks of 16 rows: one command, and one lm_eval command each."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        documents = Documents(place, [], [])
        for name, task, group in (
            ("mc1", find_task(truthfulqa, "truthfulqa_mc1"), ""), ("mc2", find_task(truthfulqa, "truthfulqa_mc2"), ""),
            ("mmlu5", find_task(mmlu, "mmlu_5_shot"), SUBJECT), ("gsm", find_task(gsm8k, "gsm8k"), ""),
            ("bbh", find_task(bbh, "bbh"), SUBTASKS[0]), ("follow", find_task(ifeval, "ifeval"), ""),
            ("safe", find_task(xstest, "xstest"), ""),
        ):  # fmt: skip
            documents.write(f"bench_{name}", asked(task, rows, 16, group))
        models = [write_model(place / f"model-{seed}", rows, "18M", seed) for seed in range(MEMBERS)]
        told = measured(place, documents, models, models[:MEASURED], rounds)
        least = MEMBERS * floor(models[0], documents.requests)
    return (
        f"\n{MEMBERS} checkpoints of 18M, seven tasks of 16 rows ({MEASURED} of the lm_eval commands run): {told}; the linear "
        f"layers of a pass over each distinct token, at the speed of a large matmul: {least:.1f}"
    )


def floor(place: Path, asked: Sequence[Sequence[Request]]) -> float:
    """Seconds that the linear layers take for these lists of requests, each asked alone, where they are as fast as a large
    matmul."""
    torch.set_num_threads(1)
    options = transformers.TransformersOptions(dtype="float32", device="cpu")
    model = transformers.load(Checkpoint("bench", str(place), "transformers"), options)
    assert model.engine.name == "tree"  # its trials are over
    done = count_operations(model.model, lambda: [dict(model.answer(requests)) for requests in asked])
    return done.operations / (1e9 * gflops())


def start(rows: Path, rounds: int) -> str:
    """A command on a small model, from cold to its table."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        documents = Documents(place, [], [])
        documents.write("bench_mc1", asked(find_task(truthfulqa, "truthfulqa_mc1"), rows, 200))
        models = [write_model(place / "model", rows, "1M")]
        told = measured(place, documents, models, models, rounds)
    imports = statistics.median(seconds([[sys.executable, "-c", IMPORTS]]) for _ in range(rounds))
    return (
        f"\na 1M model, 200 samples, from cold to the table (score, then compare): {told}; "
        f"to import torch and transformers' Llama takes {imports:.1f}"
    )
