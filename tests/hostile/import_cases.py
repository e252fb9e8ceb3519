"""Damaged logs of other programs: EvalPlus, lm-eval, Inspect, archives, parquet files, tables, lists of outputs."""

from __future__ import annotations

import gzip
import json
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from tests.hostile.edits import SECRET, Change, Edit, at, cases, change_json, change_lines, every_line, put
from tests.support.forked import Case
from tests.support.lm_eval_run import DATE, line
from tests.support.lm_eval_run import write as write_lm_eval

RESULTS, SAMPLES = f"lm/results_{DATE}.json", f"lm/samples_sums_{DATE}.jsonl"
ESCAPE = "\x1b[31m"
SOLUTION = {
    "base_status": "pass",
    "plus_status": "pass",
    "solution": "def f(): pass",
    "task_id": "HumanEval/0",
    "base_fail_tests": [],
    "plus_fail_tests": [],
}
PLUS: Mapping[str, Any] = {
    "odd status": {"HumanEval/0": [SOLUTION | {"base_status": ESCAPE}]},
    "a list": [SOLUTION],
    "no draws": {"HumanEval/0": []},
    "50,000 draws": {"HumanEval/0": [SOLUTION] * 50_000},
    "unequal draws": {"HumanEval/0": [SOLUTION], "HumanEval/1": [SOLUTION] * 3},
    "odd names": {ESCAPE: [SOLUTION], "": [SOLUTION]},
    "a list as solution": {"HumanEval/0": [SOLUTION | {"solution": ["x"]}]},
    "an older shape": {"HumanEval/0": {"base": [["pass", [1]]], "plus": [["fail", None]], "nfiles": 10**9}},
}
SUMS: Mapping[str, Mapping[str, Any]] = {  # of the task's results
    "metrics of escapes": {f"{ESCAPE},none": 1.0, "acc,\x1b[2J": 0.5},
}
LM_EVAL: Mapping[str, Mapping[str, Any]] = {
    "groups in a circle": {"group_subtasks": {"a": ["b"], "b": ["a"], "sums": ["sums"]}},
    "50,000 groups": {"group_subtasks": {f"g{i}": [f"g{i + 1}"] for i in range(50_000)}},
    "an address with a key": {
        "config": {"model": "local", "model_args": f"base_url=http://u:{SECRET}@h/v1,api_key={SECRET},pretrained=x"}
    },
    "a key in the settings": {"config": {"model_args": {"api_key": SECRET, "pretrained": "x"}}},
    "NUL in the model": {"model_name": "a\0b/../../etc", "model_source": "x"},
    "versions of 10^300": {"versions": {"sums": 10**300}, "n_shot": {"sums": -(10**300)}},
    "a direction that is none": {"higher_is_better": {"sums": {"acc": "maybe"}}},
    "metrics in lists": {"configs": {"sums": {"metric_list": [[{"metric": ["acc"]}]]}}},
    "a text as results": {"results": {"sums": "1.0"}},
    "a date of 1e308": {"date": 1e308, "total_evaluation_time_seconds": ESCAPE},
}
LM_EVAL_SAMPLES: Mapping[str, Mapping[str, Any]] = {
    "names of texts": {"doc_id": "x"},
    "filters of escapes": {"filter": ESCAPE},
    "numbers as responses": {"resps": 5, "filtered_resps": None},
    "odd arguments": {"arguments": {"gen_args_0": {"arg_0": ["x"], "arg_1": 5}}},
    "words as scores": {"acc": "yes"},
    "a million scores": {"acc": [1.0] * 10**6},
    "keys of escapes": {f"\x1b{i}": 1 for i in range(1000)},
}
ENTRY: dict[str, Any] = {
    "id": 1,
    "epoch": 1,
    "input": "q",
    "target": "a",
    "scores": {"match": {"value": "C"}},
    "output": {"choices": []},
}
LOG: dict[str, Any] = {
    "version": 2,
    "status": "success",
    "eval": {"task": "t", "model": "m/x", "dataset": {}},
    "results": {"total_samples": 1, "scores": []},
    "samples": [ENTRY],
}
HEADER = json.dumps({key: value for key, value in LOG.items() if key != "samples"})
INSPECT: Mapping[str, Mapping[str, Any]] = {
    "names of escapes": {"eval": {"task": ESCAPE, "model": "\x1b[2J", "dataset": {}}},
    "20,000 epochs": {"samples": [ENTRY | {"epoch": i} for i in range(20_000)]},
    "an epoch of text": {"samples": [ENTRY | {"epoch": "x"}]},
    "a list as name": {"samples": [ENTRY | {"id": [1]}]},
    "scores in a list": {"samples": [ENTRY | {"scores": [1]}]},
    "a score of objects": {"samples": [ENTRY | {"scores": {"m": {"value": {"a": {"b": [1]}}}}}]},
    "odd messages": {"samples": [ENTRY | {"input": [{"role": 5, "content": [{"type": "image", "image": "x"}]}]}]},
    "a key in the settings": {
        "eval": {
            "task": "t",
            "model": "m",
            "model_args": {"api_key": SECRET},
            "dataset": {},
            "model_base_url": f"http://u:{SECRET}@h",
        }
    },
    "a text as data set": {"eval": {"task": "t", "model": "m", "dataset": "x", "config": [1]}},
    "a status of escapes": {"status": ESCAPE},
    "an error of escapes": {"status": "error", "error": {"message": ESCAPE, "traceback": ESCAPE}},
    "a score of NaN": {"samples": [ENTRY | {"scores": {"m": {"value": math.nan}}}]},
    "numbers as output": {"samples": [ENTRY | {"output": {"choices": [5], "usage": "x"}}]},
}
Members = list[tuple[str, str | bytes]]
ARCHIVES: Mapping[str, Callable[[], Members]] = {
    "20,000 members": lambda: [("header.json", HEADER), *((f"samples/{i}.json", entry(i)) for i in range(20_000))],
    "a name twice": lambda: [("header.json", HEADER), ("samples/1.json", "{}"), ("samples/1.json", entry(1))],
    "names that lead out": lambda: [
        ("header.json", HEADER),
        ("samples/../../x.json", entry(1)),
        (f"samples/{ESCAPE}.json", "no"),
    ],
    "a list as header": lambda: [("header.json", "[]")],
    "a deep header": lambda: [("header.json", "[" * 10**6)],
    "no samples": lambda: [("header.json", HEADER)],
    "half a gigabyte of blanks": lambda: [("header.json", b" " * (1 << 29))],
}
GZIPPED: Mapping[str, tuple[str, Callable[[], bytes]]] = {
    "134 million rows": ("samples_sums_x.jsonl.gz", lambda: gzip.compress(b"{}\n" * (1 << 27), 1)),
    "6 million outputs": ("o.jsonl.gz", lambda: gzip.compress(b'{"prompt": "q", "output": "a"}\n' * 6_000_000, 1)),
    "100 million lists": ("o.json.gz", lambda: gzip.compress(b"[" + b"[]," * 100_000_000 + b"[]]", 1)),
    "300,000 members": ("m.jsonl.gz", lambda: gzip.compress(b"") * 300_000 + gzip.compress(b'{"a": 1}\n')),
    "a wrong sum": ("m.jsonl.gz", lambda: gzip.compress(b'{"a": 1}\n' * 1000)[:-8] + b"\0" * 8),
}
PARQUET: Mapping[str, Callable[[], Any]] = {
    "30 million rows of one value": lambda: pa.table(
        {"a": pa.DictionaryArray.from_arrays(pa.array(np.zeros(30_000_000, dtype=np.int8)), pa.array(["x"]))}
    ),
    "2,000 wide values": lambda: pa.table({"metrics": ["y" * (1 << 17)] * 2000}),
    "lists in lists": lambda: pa.table({"doc": [[[[[[[[1]]]]]]]]}),
    "names of escapes": lambda: pa.table({ESCAPE: [1]}),
    "no columns": lambda: pa.table({}),
    "a score of NaN": lambda: pa.table({"metrics": [{"acc": math.nan}], "doc": [None]}),
}
TABLES: Mapping[str, str] = {
    "100,000 columns": "c," * 100_000 + "\n" + "7\n" * 100_000,
    "a field of 200,000 letters": "model,task,score\n" + "x" * 200_000 + ",a,1\n",
    "open quotes": 'model,task,score\n"' + "x\n" * 100_000,
    "NUL": "model,task,score\na\0b,c,1\n",
    "scores that are none": "model,task,score\na,b,1e999\na,c,nan\na,d,=1+1\n",
    "escapes": f"model,task,score\n{ESCAPE},\x1b[2J,1\n",
}
OUTPUTS: Mapping[str, Any] = {
    "odd preferences": [{"preference": "NaN", "generator_1": ESCAPE, "generator_2": 5, "instruction": None}],
    "a preference of infinity": [
        {"preference": math.inf, "generator_1": "a", "generator_2": "b", "instruction": "q", "output_1": "", "output_2": ""}
    ],
}


def entry(number: int) -> str:
    return json.dumps(ENTRY | {"id": number})


def archive(members: Callable[[], Members]) -> Edit:
    """An .eval file with these members."""

    def act(file: Path) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as opened:
            for name, content in members():
                opened.writestr(name, content)

    return at("x.eval", act)


def lie_about_sizes(folder: Path) -> None:
    """An archive whose directory tells other sizes than its members have."""
    archive(lambda: [("header.json", HEADER), ("samples/a.json", entry(1))])(folder)
    content = bytearray((folder / "x.eval").read_bytes())
    place = content.rfind(b"PK\x01\x02")
    content[place + 20 : place + 28] = b"\xff" * 8
    (folder / "x.eval").write_bytes(content)


def change_samples(change: Callable[[list[Any]], object]) -> Edit:
    return change_lines(SAMPLES, change)


def write_bytes_of(target: str, make: Callable[[], bytes]) -> Edit:
    return at(target, lambda file: file.write_bytes(make()))


def write_table(build: Callable[[], Any]) -> Edit:
    return at("details_sums_2025.parquet", lambda file: parquet.write_table(build(), file, compression="zstd"))


def odd_samples() -> dict[str, Edit]:
    edits: dict[str, Callable[[list[Any]], object]] = {
        "one sample three times": lambda rows: [rows[0]] * 3,
        "a score of 400 digits": lambda rows: ['{"acc": 1' + "0" * 400 + ', "doc_id": 0}'],
        "100,000 empty ones": lambda rows: [{}] * 100_000,
        "a deep target": lambda rows: ['{"doc_id": 0, "acc": 1, "target": ' + "[" * 900 + "]" * 900 + "}"],
    }
    alike = {name: every_line(SAMPLES, **more) for name, more in LM_EVAL_SAMPLES.items()}
    return alike | {name: change_samples(change) for name, change in edits.items()}


def import_edits() -> dict[str, Edit]:
    def update(values: Mapping[str, Any]) -> Change:
        return lambda content: content.update(values)

    def update_sums(values: Mapping[str, Any]) -> Change:
        return lambda content: content["results"]["sums"].update(values)

    kinds: dict[str, dict[str, Edit]] = {
        "EvalPlus": {n: put("x_eval_results.json", json.dumps({"hash": "x", "eval": v})) for n, v in PLUS.items()},
        "lm-eval": {name: change_json(RESULTS, update(values)) for name, values in LM_EVAL.items()}
        | {name: change_json(RESULTS, update_sums(values)) for name, values in SUMS.items()},
        "lm-eval's samples": odd_samples(),
        "Inspect": {name: put("log.json", json.dumps({**LOG, **values})) for name, values in INSPECT.items()},
        "archive": {name: archive(members) for name, members in ARCHIVES.items()} | {"wrong sizes": lie_about_sizes},
        "gzip": {n: write_bytes_of(f, make) for n, (f, make) in GZIPPED.items()},
        "parquet": {name: write_table(build) for name, build in PARQUET.items()},
        "CSV": {name: put("t.csv", text) for name, text in TABLES.items()},
        "AlpacaEval": {name: put("annotations.json", json.dumps(value)) for name, value in OUTPUTS.items()},
        "NeMo Evaluator": {
            "odd": put(
                "eval-x.json",
                json.dumps({"benchmark": {"name": ESCAPE, "samples": -1}, "config": {"api_key": SECRET}}),
            )
        },
    }
    return {f"{kind}: {name}": edit for kind, edits in kinds.items() for name, edit in edits.items()}


def make_import_folder(good: Path) -> None:
    good.mkdir(parents=True)
    write_lm_eval(good / "lm", "sums", [line(i, {"acc": float(i % 2)}) for i in range(3)], {"acc,none": 1 / 3})


def import_cases(good: Path) -> Iterator[Case]:
    yield from cases(good, import_edits(), lambda c: ["import", str(c), "-o", str(c / "out")], verb="import")
