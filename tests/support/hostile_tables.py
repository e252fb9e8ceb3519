"""Good folders and files of each kind that comes from outside, and every damage to them: the cases of one table each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import load_file

from tests.formats.test_importing import LOGS
from tests.loading.folders import save_lora, shard
from tests.support import damage, tiny
from tests.support.forked import Case
from tests.support.lm_eval_run import line
from tests.support.lm_eval_run import write as write_lm_eval
from tests.support.odd_files import ODD_FILES
from tests.support.results_folder import about, sample, store

Arguments = Callable[[Path], list[str]]
POLICY = {
    "default": {"max_drop": 2.0, "margin": 0.5, "kind": "critical"},
    "skills": {"sums": {"max_drop": 1}},
    "tasks": {"sums": {"max_drop": 3}},
    "metrics": {"sums/digits": {"max_drop": 1}},
    "average": {"max_drop": 1},
    "max_unscored": 5,
}
STUDY = {
    "summary": "made up",
    "tasks": "quick",
    "seeds": [0, 1],
    "bases": {"small": {"path": "model"}},
    "data": {"own": {"files": ["pairs.jsonl"]}},
    "settings": {"dpo": {"lr": 1e-5}},
    "grid": [{"method": ["dpo"], "data": ["own"], "label": "x"}],
}
SUITE = {"summary": "made up", "tasks": [{"task": "gsm8k", "limit": 3, "seed": 1}]}


def cases_of(good: Path, name: str, act: Callable[[Path], object], arguments: Arguments, target: str) -> Case:
    expects = '"name": "neighbour"' if arguments(good)[0] == "checkpoints" else ""
    return Case(f"{target}: {name}", good, lambda folder: act(folder / target), arguments, expects)


def cases_of_file(good: Path, target: str, content: Any, arguments: Arguments, wrap: Any = None) -> Iterator[Case]:
    """Every damage to a file, and to the fields of its content; `wrap` makes the file's bytes of a damaged content."""
    for name, act in (damage.FILES | ODD_FILES).items():
        yield cases_of(good, name, act, arguments, target)
    for name, damaged in damage.damage_fields(content):
        act = wrap(damaged) if wrap else damage.write(damaged)
        yield cases_of(good, name, act, arguments, target)


def checkpoints(folder: Path) -> Iterator[Case]:
    """Runs with a whole model, shards and an adapter; `checkpoints` must list their good neighbour all the same."""
    good = folder / "checkpoints"
    whole = tiny.llama(good / "run" / "checkpoint-5", hidden_size=8, intermediate_size=8, num_hidden_layers=1, vocabulary=300)
    (whole / "trainer_state.json").write_text(json.dumps({"global_step": 5, "log_history": [{"step": 5, "loss": 1.0}]}))
    shutil.copytree(whole, good / "neighbour")
    shutil.copytree(whole, good / "shards")
    shard(good / "shards")
    save_lora(whole, good / "lora")

    def arguments(case: Path) -> list[str]:
        return ["checkpoints", str(case), "--json"]

    for target in (
        *("run/checkpoint-5/config.json", "run/checkpoint-5/trainer_state.json", "run/checkpoint-5/tokenizer_config.json"),
        *("shards/model.safetensors.index.json", "lora/adapter_config.json", "run/checkpoint-5/generation_config.json"),
    ):
        yield from cases_of_file(good, target, json.loads((good / target).read_text()), arguments)
    weights = "run/checkpoint-5/model.safetensors"
    raw = (good / weights).read_bytes()
    size = int.from_bytes(raw[:8], "little")
    assert load_file(good / weights)

    def with_header(header: bytes) -> Callable[[Path], None]:
        return damage.write(len(header).to_bytes(8, "little") + header + raw[8 + size :])

    header = json.loads(raw[8 : 8 + size])
    first = dict(list(header.items())[:2])
    yield from cases_of_file(good, weights, first, arguments, lambda part: with_header(encode_rest(part, header, first)))


def encode_rest(part: bytes, header: dict[str, Any], first: dict[str, Any]) -> bytes:
    """A header whose first tensors are damaged, and whose others are as they were."""
    rest = damage.encode({name: value for name, value in header.items() if name not in first})
    return part[:-1] + b"," + rest[1:] if part.endswith(b"}") and len(part) > 2 else part


def results(folder: Path) -> Iterator[Case]:
    """A results folder with two checkpoints on a task with a metric; compared, and judged by the gate."""
    good = folder / "results"
    metric = {"name": "digits", "part": "digits", "over": "", "group": "", "lower_is_better": False}
    for name, shift in (("base", 0), ("cand", 1)):
        facts = about("sums", "sums", task={"metrics": [metric]})
        parts = {"digits": 1.0}
        rows = [sample(i, float((i + shift) % 3 == 0), parts=parts, group="a", cluster=str(i // 2)) for i in range(12)]
        store(good, name, facts, rows)

    def compare(case: Path) -> list[str]:
        return ["compare", str(case), "--baseline", "base", "--json"]

    def gate(case: Path) -> list[str]:
        return ["gate", str(case), "--baseline", "base", "--candidate", "cand"]

    for target in ("skilldelta.json", "cand/checkpoint.json", "cand/sums/task.json"):
        yield from cases_of_file(good, target, json.loads((good / target).read_text()), compare)
    lines = "cand/sums/samples.jsonl"
    text = (good / lines).read_bytes()
    first, rest = text.split(b"\n", 1)
    yield from cases_of_file(good, lines, json.loads(first), gate, lambda part: damage.write(part + b"\n" + rest))


def yaml_files(folder: Path) -> Iterator[Case]:
    """Policies, studies and suites.  JSON is YAML, so that damaged fields are written as it."""
    good = folder / "yaml"
    for _ in results(folder / "yaml-results"):
        break
    shutil.copytree(folder / "yaml-results" / "results", good)
    tiny.llama(good / "model", hidden_size=8, intermediate_size=8, num_hidden_layers=1, vocabulary=300)
    (good / "pairs.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    commands: dict[str, tuple[dict[str, Any], Arguments]] = {
        "policy.yaml": (
            POLICY,
            lambda case: [
                "gate",
                str(case),
                "--baseline",
                "base",
                "--candidate",
                "cand",
                "--policy",
                str(case / "policy.yaml"),
            ],
        ),
        "study.yaml": (STUDY, lambda case: ["study", str(case / "study.yaml"), "--plan", "-o", str(case / "out")]),
        "suite.yaml": (
            SUITE,
            lambda case: ["score", str(case / "none"), "--suite", str(case / "suite.yaml"), "-o", str(case / "o")],
        ),
    }
    for target, (content, arguments) in commands.items():
        (good / target).write_text(yaml.safe_dump(content))
        yield from cases_of_file(good, target, content, arguments)


def imports(folder: Path) -> Iterator[Case]:
    """Logs of lm-eval and of inspect."""
    good = folder / "imports"
    good.mkdir(parents=True)
    write_lm_eval(good / "lm", "sums", [line(i, {"acc": float(i % 2)}) for i in range(3)], {"acc,none": 1 / 3})
    shutil.copy(LOGS / "inspect.eval", good / "inspect.eval")

    def arguments(case: Path) -> list[str]:
        return ["import", str(case), "-o", str(case / "out")]

    for name, act in damage.FILES.items():
        yield cases_of(good, name, act, arguments, "inspect.eval")
    for path in sorted(p for p in good.rglob("*.json*") if p.is_file()):
        target = str(path.relative_to(good))
        first, _, rest = path.read_bytes().partition(b"\n") if path.suffix == ".jsonl" else (path.read_bytes(), b"", b"")
        yield from cases_of_file(good, target, json.loads(first), arguments, wrap_line(rest))


def wrap_line(rest: bytes) -> Callable[[bytes], Callable[[Path], None]]:
    return lambda part: damage.write(part + b"\n" + rest)


TABLES: dict[str, Callable[[Path], Iterator[Case]]] = {
    "checkpoints": checkpoints,
    "results": results,
    "YAML": yaml_files,
    "imports": imports,
}
