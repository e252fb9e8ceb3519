"""Stored answers of any task against another checkpoint's: preferences that compare like any score."""

from pathlib import Path

import pytest

from harness.comparison.compare import compare
from harness.store import Results
from tests.support import toys
from tests.support.results_folder import about, sample, store
from tests.test_cli import skilldelta

ROWS = [{"question": f"What is {n}+1?", "answer": f"#### {n + 1}"} for n in range(12)]


def results(folder: Path) -> Path:
    """Three checkpoints on GSM8K's questions: `ppo` answers at length, and once not at all."""
    made = Results.make(folder)
    made.keep("gsm8k", [toys.example(**row) for row in ROWS])
    for name, text in (("sft", "short"), ("dpo", "short"), ("ppo", "a much longer answer")):
        samples = [sample(row, 1.0, text="" if name == "ppo" and n == 3 else text) for n, row in enumerate(ROWS)]
        store(folder, name, about("gsm8k", "reasoning"), samples)
    return folder


def test_preferences_are_scores_of_a_task_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = results(tmp_path / "r")
    flags = ["--against", "sft", "--judge", "brevity:3", "-o", tmp_path / "p"]
    code, _, err = skilldelta(capsys, "judge", folder, *flags)
    assert (code, "There is no judge 'brevity'" in err) == (3, True)
    code, _, err = skilldelta(
        capsys, "judge", folder, "--against", "sft", "--judge", "llm:scripted:any,by=text,text=A", "-o", tmp_path / "p"
    )
    assert code == 0, err
    assert "ppo · gsm8k_preferred: 12 answers, 1 unscored" in err
    cells = {name: list(cell.samples()) for name, _, cell in Results(tmp_path / "p").cells()}
    assert {s.score.value for s in cells["sft"]} == {0.5}
    assert {s.score.value for s in cells["dpo"]} == {0.5}  # the same text is as good as itself
    assert {s.score.parts.get("orders_agree") for s in cells["ppo"] if s.score.value is not None} == {0.0}
    assert [s.score.why for s in cells["ppo"] if s.score.value is None] == ["no answer: the response is empty"]
    comparison = compare(tmp_path / "p", "sft")
    (row,) = [r for r in comparison.rows if (r.checkpoint, r.level) == ("ppo", "task")]
    assert row.difference
    assert (row.difference.pairs, row.difference.delta) == (11, 0.0)
    assert "gsm8k_preferred was graded by llm:scripted:any@" in "\n".join(comparison.caveats)


def test_a_reference_without_texts_and_the_same_folder_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = results(tmp_path / "r")
    judge = ["--judge", "llm:scripted:any"]
    code, _, err = skilldelta(capsys, "judge", folder, "--against", "stf", *judge, "-o", tmp_path / "p")
    assert (code, "'stf' has no texts" in err, "dpo, ppo, sft" in err) == (3, True, True)
    code, _, err = skilldelta(capsys, "judge", folder, "--against", "sft", *judge, "-o", folder)
    assert (code, "a folder of their own" in err) == (3, True)
    code, _, err = skilldelta(capsys, "judge", folder, "--against", "sft", *judge, "-o", tmp_path / "p", "-t", "mmlu")
    assert (code, "There are: gsm8k" in err) == (3, True)


def test_other_prompts_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = results(tmp_path / "r")
    store(folder, "grpo", about("gsm8k", "reasoning", inputs={"prompts": "p2"}), [sample(ROWS[0], 1.0, text="x")])
    code, _, err = skilldelta(
        capsys, "judge", folder, "--against", "sft", "--judge", "llm:scripted:any,by=text,text=A", "-o", tmp_path / "p"
    )
    assert (code, "grpo was asked other prompts of gsm8k than sft" in err) == (4, True)
    assert "ppo" in Results(tmp_path / "p").checkpoints()


def test_answers_are_read_by_their_own_cells_readers_and_unfinished_cells_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = results(tmp_path / "r")
    tagged = about("gsm8k", "reasoning") | {"reader": {"version": 1, "tags": [["<mull>", "</mull>"]]}}
    store(folder, "grpo", tagged, [sample(row, 1.0, text="<mull>a</mull>short") for row in ROWS])
    store(folder, "kto", about("gsm8k", "reasoning", state="running"), [sample(ROWS[0], 1.0, text="x")])  # type: ignore[arg-type]
    code, _, err = skilldelta(
        capsys, "judge", folder, "--against", "sft", "--judge", "llm:scripted:any,by=text,text=A", "-o", tmp_path / "p"
    )
    assert (code, "gsm8k of kto is running, not done" in err) == (4, True)
    cells = {name: list(cell.samples()) for name, _, cell in Results(tmp_path / "p").cells()}
    assert {s.score.parts["length"] for s in cells["grpo"]} == {5.0}
    assert "kto" not in cells
