"""The default way of a new user: every task reads its rows from the Hub, through the real client."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import registry
from harness.sandbox.evalplus_tests import parse_inputs, read_inputs
from harness.types import Example, Response, SkilldeltaError
from tasks import humaneval, mbpp
from tests.support.absent_data import absent_repositories, absent_tasks, write_files
from tests.support.hub_data import files_of, parquet, repositories
from tests.support.hub_server import serve_hub

ROOT = Path(__file__).resolve().parent.parent
# The tasks whose rows differ: the Hub's have the inputs in their test code, EvalPlus's own files as columns.
PLUS = ("humaneval_plus", "mbpp_plus")
NOT_ON_THE_HUB = "mt_bench_second_turn"  # it says so: tests/tasks/test_judged_tasks.py
READ_ALL = """
import json, sys
from harness import registry
for name in json.load(sys.stdin):
    try:
        print(json.dumps([name, list(registry.task(name).rows(None))]))
    except Exception as error:
        print(json.dumps([name, f"{type(error).__name__}: {error}"]))
"""
READ_SOURCE = """
import json, sys
from harness import data
fields = json.load(sys.stdin)
try:
    print(json.dumps(data.rows(data.DataSource(local="things/test.jsonl", columns=("q",), **fields), None)))
except Exception as error:
    print(json.dumps(f"{type(error).__name__}: {error}"))
"""

READ_TRAINING = """
import json, sys
from harness.training.source_rows import raw_rows
for name in json.load(sys.stdin):
    try:
        print(json.dumps(raw_rows(name)[0]))
    except Exception as error:
        print(json.dumps(f"{type(error).__name__}: {error}"))
"""


def run_client(script: str, content: Any, address: str, cache: Path, **variables: str) -> list[Any]:
    """What a process of its own prints, line by line: the client reads the address of the Hub when it is imported."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "SKILLDELTA_"))}
    environment |= {"HF_ENDPOINT": address, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    found = subprocess.run(
        [sys.executable, "-c", script], input=json.dumps(content), text=True, capture_output=True, cwd=ROOT, timeout=600,
        env=environment | {"PYTHONPATH": str(ROOT)} | variables,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-2000:]
    return [json.loads(line) for line in found.stdout.splitlines()]


@pytest.fixture(scope="module")
def hub_rows(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The rows of every task, from the Hub, through datasets and huggingface_hub."""
    names = [name for name in registry.tasks() if not name.startswith("world") and name != NOT_ON_THE_HUB]
    with serve_hub({**repositories(real_data), **absent_repositories()}) as address:
        return dict(run_client(READ_ALL, names, address, tmp_path_factory.mktemp("cache")))


@pytest.mark.slow
@pytest.mark.data
def test_every_task_has_the_same_rows_from_the_hub_as_from_the_authors_files(
    hub_rows: dict[str, Any], real_data: Path, tmp_path: Path
) -> None:
    assert {name: rows for name, rows in hub_rows.items() if isinstance(rows, str)} == {}
    invented, absent = write_files(tmp_path), absent_tasks()
    for name, rows in hub_rows.items():
        local = json.loads(json.dumps(list(registry.task(name).rows(invented if name in absent else real_data))))
        assert len(rows) == len(local), name
        if not name.startswith(PLUS):
            assert rows == local, name


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", PLUS)
def test_programs_are_judged_by_values_as_with_evalplus_own_files(hub_rows: dict[str, Any], real_data: Path, name: str) -> None:
    """The same calls, tolerances and oracles; so a canonical solution passes, and one that cheats on equality does not."""
    task, module = registry.task(name), humaneval if name.startswith("humaneval") else mbpp
    number = {str(row["task_id"]).rpartition("/")[2]: row for row in task.rows(real_data)}
    for row in hub_rows[name][:: 29 if module is mbpp else 12]:
        from_hub = module.build_problem(Example(row))
        own = module.build_problem(Example(number[str(row["task_id"]).rpartition("/")[2]]))
        assert (from_hub.entry, from_hub.atol, from_hub.oracle) == (own.entry, own.atol, own.oracle)  # type: ignore[union-attr]
        calls = [{call for _, group in p.groups for call in group} for p in (from_hub, own)]  # type: ignore[union-attr]
        assert calls[0] == calls[1]
    example = Example(hub_rows[name][3])
    assert task.score(example, task.ideal(example)).value == 1
    entry = humaneval.build_problem(example).entry if module is humaneval else mbpp.entry_point(example)  # type: ignore[union-attr]
    cheat = f"class Any:\n    __eq__ = lambda self, other: True\n\ndef {entry}(*arguments):\n    return Any()\n"
    assert task.score(example, Response(f"```python\n{cheat}```")).value == 0


@pytest.fixture(scope="module")
def small_hub() -> Iterator[str]:
    things = files_of({"main": {"test": parquet([{"q": "1+1?"}]), "train": parquet([{"q": "2+2?"}])}})
    with serve_hub({"org/things": things}, gated=frozenset({"org/gated"})) as address:
        yield address


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"hub": "org/things", "config": "main"}, [{"q": "1+1?"}]),
        ({"hub": "org/things", "config": "main", "split": "test+train"}, [{"q": "1+1?"}, {"q": "2+2?"}]),
        ({"hub": "org/things", "config": "other"}, ["no config 'other'", "main"]),
        ({"hub": "org/things", "config": "main", "split": "dev"}, ["no split 'dev'", "test"]),
        ({"hub": "org/things", "config": "main", "revision": "v9"}, ["no revision 'v9'"]),
        ({"hub": "org/nothing", "config": "main"}, ["no data set 'org/nothing'"]),
        ({"hub": "org/gated", "config": "main"}, ["'org/gated'", "hf auth login"]),
        ({"hub": "org/things", "file": "absent.json"}, ["no file 'absent.json'"]),
    ],
)
def test_what_the_hub_lacks_is_named_with_the_way_out(
    small_hub: str, tmp_path: Path, fields: dict[str, str], words: list[Any]
) -> None:
    (said,) = run_client(READ_SOURCE, fields, small_hub, tmp_path)
    if isinstance(said, list):
        assert said == words
        return
    assert said.startswith("SkilldeltaError")
    for text in (*words, "things/test.jsonl", "--data"):
        assert text in said, said


@pytest.mark.slow
def test_training_data_are_a_split_or_a_file_of_the_hub(tmp_path: Path) -> None:
    pairs = [{"chosen": "yes", "rejected": "no"}]
    things = files_of({"main": {"train": parquet([{"q": "2+2?"}])}}) | {"harmless/train.jsonl.gz": gzip.compress(lines(pairs))}
    names = ("things", "things/harmless/train.jsonl.gz", "things/absent.jsonl", "things/a/b.jsonl:dev")
    with serve_hub({"org/things": things}) as address:
        split, file, absent, both = run_client(READ_TRAINING, [f"hub:org/{name}" for name in names], address, tmp_path)
    assert (split, file) == ([{"q": "2+2?"}], pairs)
    assert "no file 'absent.jsonl'" in absent
    assert "--data" not in absent
    assert "a file and a split" in both


def lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.mark.slow
def test_offline_rows_come_from_the_cache_or_the_way_out_is_named(small_hub: str, tmp_path: Path) -> None:
    fields = {"hub": "org/things", "config": "main"}
    (said,) = run_client(READ_SOURCE, fields, small_hub, tmp_path / "empty", HF_HUB_OFFLINE="1")
    for text in ("HF_HUB_OFFLINE", "things/test.jsonl", "--data"):
        assert text in said, said
    (rows,) = run_client(READ_SOURCE, fields, small_hub, tmp_path / "filled")
    assert run_client(READ_SOURCE, fields, small_hub, tmp_path / "filled", HF_HUB_OFFLINE="1") == [rows]


def test_test_code_without_inputs_is_named() -> None:
    loop = "for i, (inp, exp) in enumerate(zip(inputs, results)):\n"
    good = f"inputs = [[1, (2,)], [inf, {{3}}]]\nresults = [1, 2]\n{loop}    assertion(f(*inp), exp, 1e-06)\n"
    source, tolerance = read_inputs(good, "Mbpp/1")
    assert (parse_inputs(source), tolerance) == ([[1, (2,)], [float("inf"), {3}]], 1e-06)
    with pytest.raises(SkilldeltaError, match="Mbpp/2 holds no list `inputs`"):
        read_inputs("assert f(1) == 2", "Mbpp/2")
    with pytest.raises(SkilldeltaError, match="compares outputs in an unknown way"):
        read_inputs(f"inputs = [[1]]\n{loop}    check(f(*inp), exp)\n", "Mbpp/3")
