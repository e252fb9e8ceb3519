"""Between response and score stands one reader: every task scores the answer alone, and silence is no answer."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import harness
from harness import registry
from harness.cli import main
from harness.evaluation.questions import EvaluationSettings, Question
from harness.evaluation.rescore import rescore
from harness.evaluation.run import score_checkpoints
from harness.evaluation.scoring import score_response
from harness.prompts.reading import ONLY_REASONING, SILENCE, UNCLOSED, VERSION, Reader
from harness.sample_lines import sample_from_json, sample_to_json
from harness.store import Cell, CellInUseError, Results, SampleWriter
from harness.types import Example, Request, Response, Score, SkilldeltaError, Task
from tests.support import toys
from tests.tasks.test_rows import CASES

WRAPS = {
    "block": "<think>\nFirst, 99 or (Z)? I'm sorry, no. Sure, here is a draft:\n```python\nx = 1\n```\n</think>\n\n{}",
    "in_block": "Well, 99 or (Z)? I'm sorry, no.\n</think>\n\n{}",
    "joined": "<think>99 or (Z)? I cannot say.</think>{}",
    "twice": "<think>99?</think>\n<think>\nOr (Z)?\n</think>\n{}",
    "words": "analysisIs it 99 or (Z)? I'm sorry.assistantfinal{}",
    "tokens": "<|channel|>analysis<|message|>99, I'm sorry.<|end|><|start|>assistant<|channel|>final<|message|>{}<|return|>",
    "brackets": "[THINK]Sure, 99.[/THINK]{}",
}
TASKS = {name: replace(toys.judged(task), group=None, cluster=None) for name, task in registry.tasks().items()}
TEXTS = [(task, row, said["text"]) for task, row, said in CASES if said.get("text", "").strip()]
FEW = 4  # of a task that runs programs


def few(texts: list[tuple[str, dict[str, Any], str]]) -> list[tuple[str, dict[str, Any], str]]:
    """All of tasks with rules, a few of each task that runs programs."""
    counts: dict[str, int] = {}
    kept = []
    for task, row, text in texts:
        counts[task] = counts.get(task, 0) + 1
        if not TASKS[task].concurrent or counts[task] <= FEW:
            kept.append((task, row, text))
    return kept


def read(task: Task, row: dict[str, Any], response: Response) -> Any:
    example = Example(row)
    return score_response(task, Question(example, Request("?")), response, Reader())


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({task for task, _, _ in TEXTS}))
def test_every_task_scores_an_answer_behind_reasoning_as_without_it(name: str) -> None:
    task = TASKS[name]
    for _, row, text in few([each for each in TEXTS if each[0] == name]):
        plain = read(task, row, Response(text))
        assert plain.reading["reasoning"] == 0
        for kind in ["block", "words"] if task.concurrent else WRAPS:
            sample = read(task, row, Response(WRAPS[kind].format(text)))
            assert sample.score == plain.score, (kind, text)
            assert sample.reading["reasoning"] > 0
            assert sample.response.text == WRAPS[kind].format(text)
        beside = read(task, row, Response(text, reasoning="I'm sorry, 99, or (Z)?"))
        assert (beside.score, beside.reading["reasoning"]) == (plain.score, 22)


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (Response(""), SILENCE),
        (Response(" \n\t\n"), SILENCE),
        (Response("", reasoning="I should refuse."), ONLY_REASONING),
        (Response("", "length", reasoning="I should ref"), UNCLOSED),
        (Response("<think>\nI'm sorry, so 18 is"), UNCLOSED),
        (Response("<think>\nI'm sorry, so 18 is", "length"), UNCLOSED),
        (Response("<think>It is 18.</think>\n\n"), ONLY_REASONING),
        (Response("I'm sorry, so 18 is", "length", in_block=True), UNCLOSED),
        (Response("analysisThe answer is 18."), UNCLOSED),
        (Response("<|channel|>analysis<|message|>The answer is 18."), UNCLOSED),
    ],
)
@pytest.mark.parametrize("name", ["xstest", "gsm8k", "ifeval", "humaneval", "toxigen", "bbh", "world_harm"])
def test_no_answer_has_no_score_and_a_reason(name: str, response: Response, why: str) -> None:
    row = next(row for task, row, _ in TEXTS if task == name)
    sample = read(TASKS[name], row, response)
    assert (sample.score.value, sample.score.why) == (None, why)


def test_a_task_may_have_its_own_rule_for_silence_but_not_for_unclosed_reasoning() -> None:
    task = replace(toys.adding(), scores_silence=True)
    row = {"question": "1+1", "answer": "2"}
    assert read(task, row, Response("")).score.value == 0
    assert read(task, row, Response("<think>2")).score.value is None


def test_choices_are_not_read() -> None:
    row = next(row for task, row, said in CASES if task == "mmlu")
    response = Response(logprobs=(0.0, -1.0, -2.0, -3.0))
    sample = score_response(TASKS["mmlu"], Question(Example(row), Request("?")), response, None)
    assert sample.score.value is not None
    assert not sample.reading


def test_a_line_keeps_the_raw_text_and_both_lengths() -> None:
    sample = read(toys.adding(), {"question": "1+1", "answer": "2"}, Response("<think>one\n</think>\n\n2", in_block=True))
    line = json.loads(json.dumps(sample_to_json(sample)))
    assert (line["response"], line["reading"], line["in_block"]) == (
        "<think>one\n</think>\n\n2",
        {"reasoning": 3, "answer": 1},
        True,
    )
    assert sample_from_json(line) == sample


def score(folder: Path, text: str, name: str = "toy", reader: Reader | None = None) -> list[Any]:
    settings = EvaluationSettings(reader=reader or Reader())
    model = toys.model(lambda request: Response(text, tokens_out=1))
    return score_checkpoints([toys.checkpoint(name)], [toys.adding(6)], lambda _: model, Results.make(folder), settings)


def test_the_reader_is_recorded_and_must_agree(tmp_path: Path) -> None:
    score(tmp_path, "<think>2</think>4", "a")
    score(tmp_path, "<s>2</s>4", "b", Reader.with_tags(["<s>,</s>"]))
    assert Results(tmp_path).cell("a", "adding").read().reader == {"version": VERSION}
    assert Results(tmp_path).cell("b", "adding").read().reader == {"version": VERSION, "tags": [["<s>", "</s>"]]}
    with pytest.raises(SkilldeltaError, match=r"reader\.tags"):
        harness.compare(tmp_path, "a")
    assert harness.compare(tmp_path, "a", allow=("reader",)).row("b", "task", "adding").difference
    with pytest.raises(SkilldeltaError, match="no pair"):
        Reader.with_tags(["<s>"])


def test_another_reader_does_not_go_on_with_a_finished_cell(tmp_path: Path) -> None:
    assert score(tmp_path, "4")[0].state == "done"
    assert score(tmp_path, "4")[0].state == "already"
    (outcome,) = score(tmp_path, "4", reader=Reader(()))
    assert outcome.state == "failed"
    assert "reader.tags" in outcome.why


def test_a_cell_that_was_begun_and_holds_nothing_is_begun_anew(tmp_path: Path) -> None:
    score(tmp_path, "4")
    cell = Results(tmp_path).cell("toy", "adding")
    cell.update(state="running")
    assert score(tmp_path, "4", reader=Reader(()))[0].state == "failed"
    cell.rewrite([])
    cell.samples_file.write_bytes(b'{"example": ')  # torn
    assert score(tmp_path, "4", reader=Reader(()))[0].state == "done"
    assert cell.read().reader["tags"] == "none"


def test_older_cells_stay_as_they_are_until_they_are_rescored(tmp_path: Path) -> None:
    score(tmp_path, "<think>2</think>4")
    cell = Results(tmp_path).cell("toy", "adding")
    content = json.loads(cell.record_file.read_text())
    del content["reader"]
    cell.record_file.write_text(json.dumps(content | {"state": "running"}))
    first, *_ = cell.samples()
    cell.rewrite([replace(first, reading={})])
    assert score(tmp_path, "<think>2</think>4")[0].state == "done"
    assert not any(sample.reading for sample in cell.samples())  # as it was begun
    assert {sample.score.value for sample in cell.samples()} == {0.0}
    assert score(tmp_path, "never asked")[0].state == "already"
    rescore(Results(tmp_path), {"adding": toys.adding(6)}, EvaluationSettings())
    assert all(sample.reading["reasoning"] == 1 for sample in cell.samples())
    assert sum(sample.score.value or 0 for sample in cell.samples()) == 1
    assert cell.read().reader == {"version": VERSION}


def test_a_comparison_counts_unclosed_blocks_and_bounds_the_score(tmp_path: Path) -> None:
    score(tmp_path, "4", "short")
    score(tmp_path, "<think>" + "wait, " * 50, "looping")
    comparison = harness.compare(tmp_path, "short")
    row = comparison.row("looping", "task", "adding")
    assert (row.n, row.unscored, row.if_wrong, row.if_right) == (0, 6, 0.0, 100.0)
    assert (row.health["unclosed"], row.health["with reasoning"], row.health["ending in a loop"]) == (6, 6, 6)
    ends = {m.name: m for m in row.termination}
    assert (ends["reasoning"].value, ends["reasoning"].delta) == (pytest.approx(299), pytest.approx(299))
    assert ends["unclosed"].delta == ends["loops"].delta == pytest.approx(100)
    assert {m["name"] for m in comparison.json()["termination"]} == set(ends)


def test_recorded_answers_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "own.py"
    own.write_text("from tests.support import toys\nTASKS = (toys.adding(4),)\n")
    answers = [{"question": f"{i}+{i}", "response": f"<why>{i}</why>{2 * i}"} for i in range(4)]
    (tmp_path / "out.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    command = ["score", "--recorded", str(tmp_path / "out.jsonl"), "-t", "adding", "--include-path", str(own)]
    for name, more, right in (("plain", [], 0), ("tags", ["--reasoning-tags", "<why>,</why>"], 4)):
        with pytest.raises(SystemExit) as end:
            main([*command, "--name", name, "-o", str(tmp_path / "results"), *more])
        assert end.value.code == 0
        samples = list(Results(tmp_path / "results").cell(name, "adding").samples())
        assert sum(sample.score.value or 0 for sample in samples) == right
    capsys.readouterr()


def test_rescoring_reads_as_the_cell_was_read(tmp_path: Path) -> None:
    score(tmp_path, "<s>2</s>4", reader=Reader.with_tags(["<s>,</s>"]))
    (outcome,) = rescore(Results(tmp_path), {"adding": toys.adding(6)}, EvaluationSettings())
    assert outcome.why == "0 scores changed"
    cell = Results(tmp_path).cell("toy", "adding")
    assert cell.read().reader == {"version": VERSION, "tags": [["<s>", "</s>"]]}
    assert all(sample.reading["reasoning"] == 1 for sample in cell.samples())
    rescore(Results(tmp_path), {"adding": toys.adding(6)}, EvaluationSettings(reader=Reader(())))
    assert cell.read().reader["tags"] == "none"  # another one where the settings name it


def test_rescoring_shuts_other_writers_out_and_is_shut_out(tmp_path: Path) -> None:
    score(tmp_path, "4")
    cell = Results(tmp_path).cell("toy", "adding")
    with SampleWriter(cell):
        (outcome,) = rescore(Results(tmp_path), {"adding": toys.adding(6)}, EvaluationSettings())
    assert outcome.state == "failed"
    assert "Another process is writing" in outcome.why
    seen = set()
    plain = toys.adding(6)

    def score_and_look(example: Example, response: Response) -> Score:
        seen.add(is_locked(cell))
        return plain.score(example, response)

    rescore(Results(tmp_path), {"adding": replace(plain, score=score_and_look)}, EvaluationSettings())
    assert seen == {True}


def is_locked(cell: Cell) -> bool:
    try:
        with SampleWriter(cell):
            return False
    except CellInUseError:
        return True
