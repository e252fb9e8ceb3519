"""Stored answers of any task against another checkpoint's: preferences that compare like any score."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.comparison.compare import compare
from harness.evaluation.head_to_head import HeadToHead, judge_against
from harness.grading.questions import Grade, JudgeQuestion
from harness.judge_binding import LazyJudge
from harness.store import Results
from harness.types import Message
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
    assert "ppo · gsm8k_preferred: 12 answers, 0 unscored" in err
    cells = {name: list(cell.samples()) for name, _, cell in Results(tmp_path / "p").cells()}
    assert {s.score.value for s in cells["sft"]} == {0.5}
    assert {s.score.value for s in cells["dpo"]} == {0.5}  # the same text is as good as itself
    assert {s.score.parts.get("orders_agree") for s in cells["ppo"]} == {0.0}
    assert [s.score.parts["length"] for s in cells["ppo"]].count(0.0) == 1, "silence is an answer, and the judge has read it"
    comparison = compare(tmp_path / "p", "sft")
    (row,) = [r for r in comparison.rows if (r.checkpoint, r.level) == ("ppo", "task")]
    assert row.difference
    assert (row.difference.pairs, row.difference.delta) == (12, 0.0)
    assert "gsm8k_preferred was graded by llm:scripted:any@" in "\n".join(comparison.caveats)


@pytest.mark.slow
def test_failures_and_reasoning_alone_are_no_answers_on_either_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = results(tmp_path / "r")
    texts: list[dict[str, Any]] = [{"text": "", "finish": "error"}, {"text": "<think>Hm.</think>"}, {"text": "<think>Hm."}]
    odd = [sample(row, None, **(texts[n] if n < 3 else {"text": ""})) for n, row in enumerate(ROWS)]
    store(folder, "odd", about("gsm8k", "reasoning"), odd)
    judge = ["--judge", "llm:scripted:any,by=text,text=A"]
    for against, other in (("sft", "odd"), ("odd", "sft")):
        output = tmp_path / against
        code, _, err = skilldelta(capsys, "judge", folder, "--against", against, *judge, "-o", output)
        assert (code, f"{other} · gsm8k_preferred: 12 answers, 3 unscored (no answer" in err) == (0, True), err
        cells = {name: list(cell.samples()) for name, _, cell in Results(output).cells()}
        assert [s.score.value for s in cells[other][:4]] == [None, None, None, 0.5]
        key = "length" if other == "odd" else "reference_length"
        assert {s.score.parts[key] for s in cells[other][3:]} == {0.0}


def test_questions_that_one_side_was_not_asked_are_counted_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = results(tmp_path / "r")
    decided = about("gsm8k", "reasoning", state="decided")  # type: ignore[arg-type]
    store(folder, "part", decided, [sample(row, 1.0, text="x") for row in ROWS[:5]])
    store(folder, "rest", decided, [sample(row, 1.0, text="x") for row in ROWS[3:]])
    store(folder, "none", decided, [sample("another row", 1.0, text="x")])
    store(folder, "ppo", about("math", "reasoning"), [sample("sum", 1.0, text="x")])
    judge = ["--judge", "llm:scripted:any,by=text,text=A"]
    code, out, err = skilldelta(capsys, "judge", folder, "--against", "part", *judge, "-o", tmp_path / "p", "--json")
    unshared = "to questions that the other was not asked"
    assert code == 4
    assert f"sft · gsm8k_preferred: 5 answers, 0 unscored (left out: 7 of sft, {unshared})" in err
    assert f"rest · gsm8k_preferred: 2 answers, 0 unscored (left out: 7 of rest and 3 of part, {unshared})" in err
    assert f"none and part share no question of gsm8k: left out: 1 of none and 5 of part, {unshared}" in err
    assert "part has no answers to math: those of ppo are left out." in err
    by_name = {outcome["checkpoint"]: outcome for outcome in json.loads(out)}
    assert "7 of sft" in by_name["sft"]["why"]
    assert by_name["part"]["why"] == ""
    records = {name: record for name, record, _ in Results(tmp_path / "p").cells()}
    assert (records["sft"].state, "7 of sft" in records["sft"].note) == ("decided", True)
    assert "none" not in records


def test_answers_to_the_users_own_prompts_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"messages": [{"role": "user", "content": f"Name {n} colours."}]} for n in range(3)]
    Results.make(tmp_path / "r").keep("mine", [toys.example(**row) for row in rows])
    for name, text in (("sft", "Red."), ("dpo", "Red and blue.")):
        store(tmp_path / "r", name, about("mine", "behaviour"), [sample(row, None, text=text) for row in rows])
    judge = ["--judge", "llm:scripted:any,by=text,text=A"]
    code, _, err = skilldelta(capsys, "judge", tmp_path / "r", "--against", "sft", *judge, "-o", tmp_path / "p")
    assert (code, "dpo · mine_preferred: 3 answers, 0 unscored" in err) == (0, True), err


def test_the_judge_gets_a_prompt_of_several_messages_as_a_conversation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = [("system", "Be brief."), ("user", "Name a colour."), ("assistant", "Red."), ("user", "And a second one.")]
    short = [("user", "Name three.")]
    rows = [{"messages": [{"role": role, "content": content} for role, content in prompt]} for prompt in (turns, short)]
    Results.make(tmp_path / "r").keep("mine", [toys.example(**row) for row in rows])
    for name, text in (("sft", "Blue."), ("dpo", "Green.")):
        store(tmp_path / "r", name, about("mine", "behaviour"), [sample(row, None, text=text) for row in rows])
    asked: list[JudgeQuestion] = []

    class Listening:
        def grade_all(self, questions: Sequence[JudgeQuestion]) -> list[Grade]:
            asked.extend(questions)
            return [Grade(0.5)] * len(questions)

    judge = LazyJudge("llm:scripted:any,by=text,text=A")
    monkeypatch.setattr(judge, "get", Listening)
    outcomes = judge_against(HeadToHead(Results(tmp_path / "r"), "sft", judge, Results.make(tmp_path / "p")))
    assert {outcome.state for outcome in outcomes} == {"done"}
    conversation = tuple(Message(role, content) for role, content in turns)
    assert [(q.response, q.reference, q.conversation) for q in asked] == [
        ("Green.", "Blue.", conversation),
        ("Green.", "Blue.", ()),
    ]
    assert asked[0].prompt == "Be brief.\n\nName a colour.\n\nRed.\n\nAnd a second one."
    assert asked[1].prompt == "Name three."


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


OWN_TASK = """
from harness.types import Request, Response, Score, Task

TASKS = (
    Task(
        "capitals", "factuality", 1, "made here",
        rows=lambda folder: [],
        ask=lambda example: Request(f"Name the capital of {example.row['country']}."),
        score=lambda example, response: Score(1.0),
        ideal=lambda example: Response("x"),
    ),
)
"""


def test_answers_to_a_task_of_ones_own_are_judged_with_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "capitals.py"
    file.write_text(OWN_TASK, encoding="utf-8")
    made, rows = Results.make(tmp_path / "r"), [{"country": f"country {n}"} for n in range(4)]
    made.keep("capitals", [toys.example(**row) for row in rows])
    for name in ("sft", "dpo"):
        store(made.folder, name, about("capitals", "factuality"), [sample(row, 1.0, text=name) for row in rows])
    flags = ["--against", "sft", "--judge", "llm:scripted:any,by=text,text=A", "-o", tmp_path / "p"]
    code, _, err = skilldelta(capsys, "judge", made.folder, *flags)
    assert code == 4
    assert "Where it was scored with --include-path, name that file or folder again" in err
    code, _, err = skilldelta(capsys, "judge", made.folder, *flags, "--include-path", file)
    assert (code, "dpo · capitals_preferred: 4 answers, 0 unscored" in err) == (0, True), err
