"""Damaged results folders by their records (skilldelta.json, checkpoint.json, task.json, training.json) and by their trees."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from harness.store import Results
from harness.types import Example
from tests.hostile.edits import ESCAPES, SECRET, Arguments, Edit, all_of, at, cases, fields, put, write_as_format_1
from tests.hostile.result_rows import DEEP, EXAMPLES, ROWS
from tests.support.damage import FILES
from tests.support.forked import Case
from tests.support.results_folder import about, sample, store

RECORD, CHECKPOINT, START, CURVES = "cand/sums/task.json", "cand/checkpoint.json", "skilldelta.json", "cand/training.json"
DEEP_VALUE: Any = json.loads("[" * 900 + "]" * 900)
TEXTS = (  # of responses, and of what was read from them
    *("</script><script>alert(1)</script>", '=HYPERLINK("http://evil.example","x")', "\x1b]52;c;ZXZpbA==\x07\x1b[31mred"),
    *(
        "\u202egnp.exe",
        "\\input{/etc/passwd}",
        "[click](javascript:alert(1))",
        "`x` | y\nz",
        "{{7*7}}",
        "__proto__",
        "an answer",
    ),
)


def make_results(good: Path, older: bool) -> None:
    """Three checkpoints on two tasks with a metric, whose texts are hostile ones."""
    metric = {"name": "digits", "part": "digits", "over": "", "group": "", "lower_is_better": False}
    for name, shift in (("base", 0), ("cand", 1), ("cand2", 2)):
        for task, skill in (("sums", "maths"), ("facts", "knowledge")):
            more: dict[str, Any] = {"parts": {"digits": 1.0}}
            rows = [
                sample(i, float((i + shift) % 3 == 0), text=text, group="ab"[i % 2], cluster=str(i // 2), **more)
                for i, text in enumerate(TEXTS)
            ]
            store(good, name, about(task, skill, task={"metrics": [metric]}), rows)
    Results(good).keep("sums", [Example({"question": text}) for text in TEXTS])
    if older:
        write_as_format_1(good)


def both(within: str = "task", **values: Any) -> Edit:
    """Fields of both sides' records of the task."""
    return all_of(*(fields(f"{name}/sums/task.json", within, **values) for name in ("base", "cand")))


TASKS: Mapping[str, Mapping[str, Any]] = {  # on both sides
    "pass@k of x": {"pass_at": "x"},
    "pass@k of 10^9": {"aggregate": "pass_at_k", "pass_at": 10**9},
    "metrics that are numbers": {"metrics": [1]},
    "500 metrics of escapes": {
        "metrics": [{"name": ESCAPES, "part": "digits", "over": "digits", "group": "a", "lower_is_better": True}] * 500
    },
    "chance NaN": {"chance": math.nan},
    "chance 1": {"chance": 1.0},
    "chance 1e9": {"chance": 1e9},
    "F1 of escapes": {"aggregate": "f1", "positive": ESCAPES},
    "a mean of groups": {"aggregate": "macro"},
    "the other task's name": {"name": "facts"},
    "a skill of escapes": {"skill": ESCAPES + "</script>"},
    "a variant of itself": {"variant_of": "sums"},
    "a judge of escapes": {"judge": "llm:openai:" + ESCAPES},
    "a summary of 10 MB": {"summary": "x" * 10**7},
    "an odd version": {"version": {"a": [10**30]}},
}
RECORDS: dict[str, Edit] = {
    "task.json: deep": put(RECORD, DEEP),
    "task.json: a list": put(RECORD, b"[1]"),
    "task.json: empty": put(RECORD, b"{}"),
    "task.json: no task": fields(RECORD, task=None),
    "task.json: a number as name": fields(RECORD, "task", name=5),
    "task.json: a variant of the other": fields(RECORD, "task", variant_of="facts"),
    "task.json: a pipe": at(RECORD, FILES["pipe"]),
    "task.json: an endless device": at(RECORD, FILES["link to an endless device"]),
    "task.json: a deep backend": fields(RECORD, backend=DEEP_VALUE),
    **{f"task.json: {name}": both(**values) for name, values in TASKS.items()},
    "task.json: running": fields(RECORD, state="running"),
    "task.json: -1 examples": fields(RECORD, "inputs", examples=-1, draws=10**15),
    "task.json: no draws": fields(RECORD, "inputs", draws=0),
    "task.json: an address with a key": fields(
        RECORD, backend={"backend": "openai", "url": f"http://u:{SECRET}@h/?api_key={SECRET}"}
    ),
    "task.json: noise": fields(RECORD, noise={"plain": {"changed": 10**15, "of": 1}, "ours": None}),
    "task.json: noise below 0": fields(RECORD, noise={"changed": 5, "pairs": 3, "asked": -1}),
    "task.json: a long fingerprint": fields(RECORD, fingerprint={"a": {"b": {"c": ["x"] * 1000}}}),
    "task.json: an odd decision": fields(
        RECORD,
        state="decided",
        decided={"task": "sums", "verdict": ESCAPES, "used": 10**15, "items": 0, "delta": 1e308, "low": -1e308, "high": 1e308},
    ),
    "task.json: a failure of escapes": fields(RECORD, state="failed", why=ESCAPES * 1000, traceback=ESCAPES),
    "task.json: an odd reader": fields(RECORD, reader={ESCAPES: "x"}, rendered=5),
}
CHECKPOINTS: Mapping[str, Mapping[str, Any]] = {
    "a number as name": {"name": 5},
    "a name that leads out": {"name": "../../../../etc"},
    "a name of a megabyte": {"name": "x" * (1 << 20)},
    **{f"step {step}": {"step": step} for step in ("x", math.inf, 10**30)},
    "step -1 of a run": {"step": -1, "run": "/r"},
    "run a list": {"run": [1]},
    "paths that lead out": {"path": "../../../../etc", "run": "/etc"},
    "escapes": {"run": ESCAPES, "method": ESCAPES, "producer": ESCAPES, "path": ESCAPES},
    "NUL in the run": {"run": "a\0b", "step": 3},
    "a run of 50,000 folders": {"run": "r/" * 50_000, "step": 3},
    "the root": {"path": "/", "run": "/", "step": 1},
    "the processes": {"path": "/proc/self", "run": "/proc", "step": 1},
    "results elsewhere": {"results": "/etc", "elsewhere": ["/etc", ESCAPES] * 1000},
    "a problem of escapes": {"problem": ESCAPES},
    "100,000 adapters": {"adapters": ["x"] * 10**5},
    "a fingerprint of escapes": {"fingerprint": {ESCAPES: ESCAPES}},
    "half of a pair": {"content": "\ud800"},
}
CURVE = {"key": "l", "steps": [1], "values": [1.0]}
TRAINING: Mapping[str, str | bytes] = {
    "a number": '{"loss": 5}',
    "no points": json.dumps({"loss": CURVE | {"steps": [], "values": []}}),
    "unequal lengths": json.dumps({"loss": CURVE | {"steps": [1, 2, 3]}}),
    "NaN": json.dumps({"loss": CURVE | {"values": [math.nan]}}),
    "1e308": json.dumps({"loss": CURVE | {"steps": [1, 2], "values": [1e308, -1e308]}}),
    "step 10^30": json.dumps({"loss": CURVE | {"steps": [10**30]}}),
    "a million points": json.dumps({"loss": CURVE | {"steps": list(range(10**6)), "values": [1.0] * 10**6}}),
    "names of escapes": json.dumps({ESCAPES + "<script>": CURVE | {"key": ESCAPES}}),
    "a list": "[]",
}


def copy_checkpoints(folder: Path) -> None:
    for i in range(300):
        shutil.copytree(folder / "cand", folder / f"c{i}")
        fields(f"c{i}/checkpoint.json", name=f"c{i}")(folder)


def copy_tasks(folder: Path) -> None:
    for name in ("base", "cand"):
        for i in range(300):
            shutil.copytree(folder / name / "sums", folder / name / f"t{i}")
            fields(f"{name}/t{i}/task.json", "task", name=f"t{i}")(folder)


TREES: dict[str, Edit] = {
    "tree: a file among checkpoints": put("zzz", "x"),
    "tree: 300 checkpoints": copy_checkpoints,
    "tree: 600 tasks": copy_tasks,
    "tree: a link to its folder": lambda c: (c / "cand/loop").symlink_to("."),
    "tree: a link to the parent": lambda c: (c / "loop").symlink_to(".."),
    "tree: two tasks of one name": lambda c: shutil.copytree(c / "cand/sums", c / "cand/copy"),
    "tree: names that are no UTF-8, escapes": lambda c: [
        shutil.copytree(c / "cand", c / os.fsdecode(name)) for name in (b"x\xff", b"\x1b[31m")
    ],
    "tree: files of later versions": all_of(*(put(f"{name}.json", "{}") for name in ("judge", "suite", "comparison"))),
    "tree: half files": all_of(
        *(put(f"cand/sums/{n}", b"\xff") for n in (".samples.jsonl.123", ".task.json.abc", ".writing-a"))
    ),
    "tree: examples that are a file": all_of(lambda c: shutil.rmtree(c / "_examples"), put("_examples", "x")),
    "start: deep": put(START, DEEP),
    "start: a list": put(START, b"[1]"),
    "start: format NaN": put(START, '{"format": NaN}'),
    "start: format 10^22": put(START, '{"format": 10000000000000000000000}'),
    "start: odd rules": fields(START, suite=ESCAPES, rule={"a": 1}, weights={"x": math.nan}),
}
PLACES: dict[str, Edit] = {
    "checkpoint.json: deep": put(CHECKPOINT, DEEP),
    "checkpoint.json: a list": put(CHECKPOINT, b"[1]"),
    "checkpoint.json: empty": put(CHECKPOINT, b"{}"),
    **{f"checkpoint.json: {name}": fields(CHECKPOINT, **values) for name, values in CHECKPOINTS.items()},
    **{f"training.json: {n}": all_of(fields(CHECKPOINT, run="/r", step=1), put(CURVES, text)) for n, text in TRAINING.items()},
    "training.json: a pipe": all_of(fields(CHECKPOINT, run="/r", step=1), at(CURVES, FILES["pipe"])),
}


def result_commands() -> dict[str, Arguments]:
    sides = ["--baseline", "base", "--candidate", "cand"]
    return {
        "export csv": lambda c: ["export", str(c), "--to", "csv", "-o", str(c / "out")],
        "gate": lambda c: ["gate", str(c), *sides],
        "export lm-eval": lambda c: ["export", str(c), "--to", "lm-eval", "-o", str(c / "out")],
        "explain": lambda c: ["explain", str(c), *sides, "--task", "sums"],
        "export hub": lambda c: ["export", str(c), "--to", "hub", "-o", str(c / "out")],
        "power": lambda c: ["power", str(c), "--baseline", "base", "--json"],
        "export nel": lambda c: ["export", str(c), "--to", "nel", "-o", str(c / "out")],
        "recipes": lambda c: ["recipes", str(c), "--recipe", "a=base", "--recipe", "b=cand,cand2"],
        "replay": lambda c: ["replay", str(c), *sides],
    }


def result_cases(good: Path) -> Iterator[Case]:
    """Every damaged folder by `compare` on the screen or with its files, and by one other command in turn."""
    edits = RECORDS | PLACES | TREES | ROWS | EXAMPLES
    commands = result_commands()
    turns = islice(cycle(commands), len(edits))
    for index, ((name, edit), verb) in enumerate(zip(edits.items(), turns, strict=True)):
        files = index % 2 == 0 or name.startswith(("examples", "training"))

        def compare(folder: Path, files: bool = files) -> list[str]:
            return ["compare", str(folder), "--baseline", "base", *(["-o", str(folder / "page")] if files else [])]

        yield from cases(good, {name: edit}, compare, verb="compare -o" if files else "compare")
        yield from cases(good, {name: edit}, commands[verb], verb=verb)
