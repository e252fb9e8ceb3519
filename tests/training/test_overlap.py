"""`skilldelta overlap`: evaluation questions in training data, without training."""

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from harness import api, registry
from harness.cli import main
from harness.data import VARIABLE, examples, read
from harness.training.contamination import find_contamination
from harness.training.source_rows import row_text
from harness.types import Example
from tests.support.results_folder import about, sample, store

Rows = Callable[[str, Iterable[Any]], str]
ASKED = {"question": "Which of the seven rivers of the north reaches the sea before the first snow falls?", "answer": "none"}
OTHER = {"question": "Who carried the lantern down the long stairs when the bells of the tower were silent?", "answer": "Ada"}


def skilldelta(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Say: " + ASKED["question"], "chosen": "x", "rejected": "y"},
        {"chosen": [{"role": "user", "content": ASKED["question"]}, {"role": "assistant", "content": "no"}], "rejected": []},
        {"conversations": [{"from": "human", "value": ASKED["question"]}]},
        {"completions": [{"response": "a"}, {"response": ASKED["question"].upper(), "ratings": {"Rating": "4", "n": 3}}]},
        {"my own column": {"deep": [[[ASKED["question"]]]]}, "id": 7, "flag": None},
    ],
)
def test_a_question_is_searched_for_in_every_text_of_a_row(
    row: dict[str, Any], write: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    data, rows = write("data.jsonl", [{"text": "nothing"}, row]), write("asked.jsonl", [OTHER, ASKED])
    code, out, _ = skilldelta(capsys, "overlap", data, "-t", rows, "--json")
    assert code == 0
    assert json.loads(out)["audit"]["overlap"] == {rows: {"rows": 2, "dirty": 1, "examples": [Example(ASKED).id]}}


def test_several_sources_have_a_column_each_and_add_up(write: Rows, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = (
        write("one.jsonl", [{"q": ASKED["question"]}]),
        write("two.jsonl", [{"q": ASKED["question"]}, {"q": OTHER["question"]}]),
    )
    rows, file = write("asked.jsonl", [OTHER, ASKED, {"question": "Why?"}]), tmp_path / "overlap.json"
    code, out, err = skilldelta(capsys, "overlap", one, two, "-t", rows, "--show", "1", "-o", file)
    assert code == 0
    assert "one.jsonl two.jsonl" in " ".join(out.split())
    assert "3 2 66.7 1 2" in " ".join(out.split())
    assert "Who carried the lantern" in out
    assert "Which of the seven" not in out, "--show 1 shows one"
    assert [s["rows"] for s in json.loads(file.read_text())["sources"]] == [1, 2]
    assert f"--leave-out {file}" in err


def test_compare_leaves_out_what_overlap_found(write: Rows, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"question": f"{ASKED['question']} And {n}?"} for n in ("one", "two")] + [OTHER]
    for name, scores in (("base", (0, 0, 1)), ("tuned", (1, 1, 0))):
        store(tmp_path / "results", name, about("t", "s"), [sample(r, s) for r, s in zip(rows, scores, strict=True)])
    file = tmp_path / "overlap.json"
    data = write("data.jsonl", [{"text": r["question"]} for r in rows[:2]])
    assert skilldelta(capsys, "overlap", data, "-t", write("t.jsonl", rows), "-o", file)[0] == 0
    row = api.compare(tmp_path / "results", "base", leave_out=[str(file)]).row("tuned", "task", "t")
    assert (row.n, row.score) == (1, 0.0)


def test_share_one_asks_for_the_whole_question(write: Rows, capsys: pytest.CaptureFixture[str]) -> None:
    data, rows = write("data.jsonl", [{"text": ASKED["question"].rsplit(" ", 4)[0]}]), write("asked.jsonl", [ASKED])
    counts = [json.loads(skilldelta(capsys, "overlap", data, "-t", rows, "--share", share, "--json")[1]) for share in (0.5, 1)]
    assert [c["audit"]["overlap"][rows]["dirty"] for c in counts] == [1, 0]


def test_an_own_task_file_and_a_suite_of_it_are_searched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own, suite, data = tmp_path / "own.py", tmp_path / "own.yaml", tmp_path / "data.txt"
    own.write_text("from tests.support import toys\nTASKS = (toys.adding(6),)\n")
    suite.write_text("summary: mine\ntasks: [{task: adding}]\n")
    data.write_text("3+3\n")
    for name in ("adding", suite):
        code, out, err = skilldelta(capsys, "overlap", data, "-t", name, "--include-path", own, "--json")
        assert code == 0, err
        assert json.loads(out)["audit"]["overlap"]["adding"]["dirty"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["data.jsonl", "-t", "world_mits"], "Did you mean 'world_myths'"),
        (["data.jsonl", "-t", "gone.jsonl"], "--tasks takes names of tasks as well"),
        (["data.jsonl", "-t", " , "], "nothing to search for"),
        (["data.jsonl", "-t", "world", "--share", "0"], "above 0 and at most 1"),
        (["data.jsonl", "-t", "world", "-o", "ids.txt"], "ends with .json"),
        (["gone.jsonl", "-t", "world"], "no data file gone.jsonl"),
        (["empty.jsonl", "-t", "world"], "empty.jsonl holds no rows"),
        (["texts.json", "-t", "world"], "no object"),
    ],
)
def test_refusals_name_the_way_out(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data.jsonl").write_text('{"text": "a"}\n')
    Path("empty.jsonl").write_text("\n")
    Path("texts.json").write_text('["a"]')
    code, out, err = skilldelta(capsys, "overlap", *arguments)
    assert (code, out) == (3, "")
    assert said in err


@pytest.mark.slow
@pytest.mark.data
def test_real_preference_rows_hold_what_was_put_into_them_and_the_rule_is_that_of_training(
    real_data: Path, write: Rows, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, str(real_data))
    seen = random.Random(3).sample(examples(registry.task("xstest"), real_data), 20)
    rows = [*read(next((real_data / "hh_rlhf").glob("*.jsonl*")))[:200], *({"chosen": e.row["prompt"]} for e in seen)]
    data = write("mixed.jsonl", rows)
    code, out, err = skilldelta(capsys, "overlap", data, "-t", "xstest", "--share", "1", "--json")
    assert code == 0, err
    ids = json.loads(out)["audit"]["overlap"]["xstest"]["examples"]
    assert set(ids) == set(find_contamination(map(row_text, rows), ["xstest"], 1.0)["xstest"]["examples"])
    assert set(ids) >= {e.id for e in seen}
