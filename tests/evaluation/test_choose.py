"""The best of many checkpoints: asked of few items, stored like any other answers, resumed, and judged on held-out items."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

import harness
from harness.cli.choose import announce_race, describe_result
from harness.comparison.holdout import Holdout
from harness.evaluation.cell_part import score_part
from harness.evaluation.choose import CHOICE, Choice, ChoiceOptions, choose_best
from harness.evaluation.item_rounds import plan_course
from harness.evaluation.lazy_model import LazyModel
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.run import score_checkpoints
from harness.store import Results
from harness.system_errors import ROOM
from harness.types import Checkpoint, Request, Response, SkilldeltaError, Task, digest
from tests.support import toys

Answer = Callable[[Request], Response]
SHARES = {"sft": 0.4, "a": 0.9, "b": 0.895, "c": 0.2, "d": 0.5, "e": 0.1}


def right_on(share: float, salt: str = "") -> Answer:
    """Right on about this share of the sums; checkpoints with one salt are right on the same ones."""

    def one(request: Request) -> Response:
        luck = int(digest([salt, str(request.prompt)])[:8], 16) / 16**8
        return toys.answer_sum(request) if luck < share else Response("no")

    return one


def lazy(name: str, answer: Answer) -> LazyModel:
    return LazyModel(toys.checkpoint(name), lambda _: toys.model(answer))


def models(shares: Mapping[str, float] = SHARES) -> list[LazyModel]:
    return [lazy(name, right_on(share)) for name, share in shares.items()]


def choose(folder: Path, models: list[LazyModel], *tasks: Task, options: ChoiceOptions = ChoiceOptions()) -> Choice:
    return choose_best(models, tasks or [toys.adding(400)], Results.make(folder), EvaluationSettings(), options)


def stored(folder: Path, name: str, task: str = "adding") -> int:
    return len(list(Results(folder).cell(name, task).samples()))


def test_the_best_is_named_with_what_cannot_be_told_from_it_and_the_others_are_asked_little(tmp_path: Path) -> None:
    choice = choose(tmp_path, models())
    assert {choice.best, *choice.equals} == {"a", "b"}
    assert choice.beats_baseline
    states = {s.name: s.state for s in choice.standings}
    assert [states[n] for n in ("sft", "c", "d", "e")] == ["beaten"] * 4
    for s in choice.standings:
        assert stored(tmp_path, s.name) == s.answers
    assert stored(tmp_path, "e") <= stored(tmp_path, "d") < stored(tmp_path, "sft")
    assert choice.answers == sum(s.answers for s in choice.standings) < choice.total == 2400
    assert json.loads((tmp_path / CHOICE).read_text()) == choice.to_json()


def test_where_several_are_left_none_of_them_is_said_to_beat_the_baseline(tmp_path: Path) -> None:
    """The baseline was shown not to be the best, by one of those that are left: perhaps by the other one."""
    both, alone = choose(tmp_path / "both", models()), choose(tmp_path / "one", models({"sft": 0.4, "a": 0.9}))
    assert describe_result(both) == (
        f"{both.best} scores highest, and the baseline sft is shown not to be the best.  "
        f"1 cannot be told from it: {both.equals[0]}."
    )
    assert describe_result(alone) == "a is the best, and better than sft."


def test_a_choice_of_the_baseline_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match="nothing to choose"):
        choose(tmp_path, models({"sft": 0.4}))


@pytest.mark.slow
def test_the_set_is_that_of_the_whole_matrix(tmp_path: Path) -> None:
    choice = choose(tmp_path / "race", models())
    for name, share in SHARES.items():
        task, checkpoint = toys.adding(400), toys.checkpoint(name)
        loader = lambda _, share=share: toys.model(right_on(share))  # noqa: E731
        score_checkpoints([checkpoint], [task], loader, Results.make(tmp_path / "all"), EvaluationSettings())
    best = harness.compare(tmp_path / "all", "sft").best[0]
    assert {best.checkpoint, *best.equals} == {choice.best, *choice.equals}


def test_compare_reads_what_was_asked_and_says_that_it_is_a_part(tmp_path: Path) -> None:
    choice = choose(tmp_path, models())
    comparison = harness.compare(tmp_path, "sft")
    assert comparison.row("a", "task", "adding").n == next(s.answers for s in choice.standings if s.name == "a")
    assert any("a choice needed no more" in line for line in comparison.incomplete)


@pytest.mark.slow
def test_an_interrupted_choice_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    whole = choose(tmp_path / "whole", models())
    calls = 0

    def breaks(request: Request) -> Response:
        nonlocal calls
        calls += 1
        if calls > 40:
            raise KeyboardInterrupt
        return right_on(0.9)(request)

    with pytest.raises(KeyboardInterrupt):
        choose(tmp_path / "torn", [m if m.checkpoint.name != "a" else lazy("a", breaks) for m in models()])
    again = choose(tmp_path / "torn", models())
    assert again == whole
    assert toys.tree(tmp_path / "torn") == toys.tree(tmp_path / "whole")


def test_the_same_command_again_asks_nothing(tmp_path: Path) -> None:
    first = choose(tmp_path, models())

    def refuse(checkpoint: Checkpoint) -> None:
        raise AssertionError(f"{checkpoint.name} was loaded")

    again = choose(tmp_path, [LazyModel(toys.checkpoint(n), refuse) for n in SHARES])  # type: ignore[arg-type]
    assert again == first


def test_cells_that_were_finished_before_stay_as_they_are(tmp_path: Path) -> None:
    results, task = Results.make(tmp_path), toys.adding(60)
    for model in models():
        score_checkpoints([model.checkpoint], [task], model.loader, results, EvaluationSettings())
    files = [
        file
        for name in SHARES
        for file in (results.cell(name, "adding").samples_file, results.cell(name, "adding").record_file)
    ]
    before = [(file.stat().st_ino, file.read_bytes()) for file in files]
    choose(tmp_path, models(), task)
    assert [(file.stat().st_ino, file.read_bytes()) for file in files] == before


def test_a_full_disk_names_its_way_out(tmp_path: Path) -> None:
    def full(checkpoint: Checkpoint) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    loser = LazyModel(toys.checkpoint("c"), full)  # type: ignore[arg-type]
    choice = choose(tmp_path, [*models({"sft": 0.4, "a": 0.9}), loser])
    assert next(s.why for s in choice.standings if s.name == "c") == f"No space left on device.  {ROOM}"
    (outcome,) = score_part([loser], [toys.adding(60)], Results.make(tmp_path / "part"), EvaluationSettings(), lambda _: True)
    assert outcome.why == f"No space left on device: {tmp_path / 'part' / 'c' / 'adding'}.  {ROOM}"


def test_a_checkpoint_that_fails_leaves_the_race_and_is_named(tmp_path: Path) -> None:
    def fails(checkpoint: Checkpoint) -> None:
        raise SkilldeltaError("its weights are cut")

    torn = LazyModel(replace(toys.checkpoint("torn"), problem="half of it is missing"), fails)  # type: ignore[arg-type]
    broken = LazyModel(toys.checkpoint("broken"), fails)  # type: ignore[arg-type]
    choice = choose(tmp_path, [*models(), torn, broken])
    assert {s.name: s.why for s in choice.standings if s.state == "failed"} == {
        "torn": "half of it is missing", "broken": "its weights are cut"
    }  # fmt: skip
    assert {choice.best, *choice.equals} == {"a", "b"}
    with pytest.raises(SkilldeltaError, match="The baseline broken failed: its weights are cut"):
        choose(tmp_path / "baseline", [broken, *models()])


def mute(request: Request) -> Response:
    return Response(finish="error", error="HTTP 500")


def mute_on_half(answer: Answer) -> Answer:
    """Answers about half of the questions."""
    speaks = right_on(0.5, "speaks")
    return lambda request: answer(request) if speaks(request).text != "no" else mute(request)


@pytest.mark.slow
def test_a_checkpoint_without_scores_has_failed_and_is_no_equal(tmp_path: Path) -> None:
    choice = choose(tmp_path / "one", [*models(), lazy("mute", mute)])
    standing = next(s for s in choice.standings if s.name == "mute")
    assert (standing.state, standing.why) == ("failed", "none of its answers has a score")
    assert standing.unscored == standing.answers
    assert {choice.best, *choice.equals} == {"a", "b"}
    alone = choose(tmp_path / "alone", [lazy("sft", right_on(0.4)), lazy("mute", mute)])
    assert (alone.best, alone.equals) == ("sft", ())
    assert 0 <= alone.saved < 1
    with pytest.raises(SkilldeltaError, match="The baseline mute failed: none of its answers has a score"):
        choose(tmp_path / "baseline", [lazy("mute", mute), *models()])


def test_a_checkpoint_with_few_scores_is_never_beaten_in_silence(tmp_path: Path) -> None:
    choice = choose(tmp_path, [*models(), lazy("half", mute_on_half(right_on(0.9)))])
    assert "half" in {choice.best, *choice.equals}
    assert any("half have no score" in line for line in choice.notes)


@pytest.mark.slow
def test_a_budget_ends_the_race_and_says_so(tmp_path: Path) -> None:
    choice = choose(tmp_path, models({f"c{i}": 0.5 for i in range(4)}), options=ChoiceOptions(max_share=0.1))
    assert choice.answers <= 0.1 * choice.total
    assert any("--max-share" in line for line in choice.notes)
    everything = choose(tmp_path, models({f"c{i}": 0.5 for i in range(4)}), options=ChoiceOptions(until_decided=False))
    assert everything.answers == everything.total


def test_results_that_were_asked_otherwise_are_refused(tmp_path: Path) -> None:
    choose(tmp_path, models(), toys.adding(400))
    with pytest.raises(SkilldeltaError, match=r"(?s)made differently.*inputs"):
        choose(tmp_path, models(), toys.adding(300))


def test_tasks_over_the_same_rows_are_asked_row_by_row() -> None:
    mc1, mc2, other = toys.adding(30, "mc1"), toys.adding(30, "mc2"), toys.adding(50, "other")
    course, notes = plan_course([mc1, mc2, other], EvaluationSettings())
    assert [[p.task.name for p in s.parts] for s in course.strata] == [["mc1", "mc2"], ["other"]]
    first = {part.task.name: [q.example.id for q in questions] for part, questions in course.questions(0, 1)}
    assert first["mc1"] == first["mc2"]
    assert sum(course.shares) == pytest.approx(1)
    assert notes == ()


def test_two_forms_of_one_problem_are_one_item() -> None:
    def numbered(name: str, extra: str) -> Task:
        rows = [{"task_id": f"HumanEval/{i}", "question": f"{i}+{i}", "answer": str(2 * i), "tests": extra} for i in range(30)]
        return replace(toys.adding(30, name), rows=lambda folder: rows)

    course, _ = plan_course([numbered("humaneval", "few"), numbered("humaneval_plus", "many")], EvaluationSettings())
    (stratum,) = course.strata
    for number in range(30):
        (few,), (many,) = (part.queue.items[number] for part in stratum.parts)
        assert few.example.row["task_id"] == many.example.row["task_id"]
        assert few.example.id != many.example.id


def test_where_a_score_is_no_mean_of_items_the_mean_decides_and_it_is_said() -> None:
    f1 = replace(toys.adding(30, "f1"), aggregate="f1")
    course, notes = plan_course([toys.adding(30), f1], EvaluationSettings())
    assert {p.task.name for p in course.parts} == {"adding", "f1"}
    assert notes == ("f1: its score (F1, pass@k) is no mean of items, so the mean of its items' scores decides here.",)


def test_choosing_sees_one_half_and_the_other_half_judges(tmp_path: Path) -> None:
    split = Holdout(0.5)
    task, results = toys.adding(400), Results.make(tmp_path)
    choice = choose_best(models(), [task], results, EvaluationSettings(), ChoiceOptions(includes=split.develops))
    seen = {s.example for name in SHARES for s in results.cell(name, "adding").samples()}
    assert seen
    assert not any(map(split.holds_out, seen))
    pair = [m for m in models() if m.checkpoint.name in ("sft", choice.best)]
    score_part(pair, [task], results, EvaluationSettings(), split.holds_out)
    verdict = harness.compare(tmp_path, "sft", candidates=[choice.best], holdout=0.5)
    row = verdict.row(choice.best, "task", "adding")
    assert row.n == sum(split.holds_out(e) for e in results.rows("adding"))
    assert row.difference
    assert row.difference.verdict == "better"


def test_before_a_race_those_are_named_that_cannot_be_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class PickyLoader:
        def __call__(self, checkpoint: Checkpoint) -> toys.ScriptedModel:
            raise AssertionError("nothing is loaded for this")

        def explain_unloadable(self, checkpoint: Checkpoint) -> str:
            return "no tokenizer" if checkpoint.name in "bc" else ""

    loader = PickyLoader()
    racers = [LazyModel(toys.checkpoint(name), loader) for name in ("sft", "a", "b", "c")]
    announce_race(racers, [toys.adding(6)], Results.make(tmp_path))
    first, second = capsys.readouterr().err.splitlines()
    assert first == "b, c cannot be scored: no tokenizer"
    assert second.startswith("3 checkpoints and the baseline sft on ")


def small_task(count: int) -> Task:
    """Sums beyond those of the other tasks here."""
    rows = [{"question": f"{i}+{i}", "answer": str(2 * i)} for i in range(5000, 5000 + count)]
    return replace(toys.adding(name="small"), rows=lambda folder: rows)


def mute_on_small(answer: Answer) -> Answer:
    return lambda request: mute(request) if int(str(request.prompt).split("+")[1].split("?")[0]) >= 5000 else answer(request)


def test_a_large_task_does_not_hide_a_small_one_without_scores(tmp_path: Path) -> None:
    """Of the candidate's answers 3 % have no score; they are half of the average."""
    entrants = [lazy("sft", right_on(0.8)), lazy("dpo", mute_on_small(right_on(0.8)))]
    choice = choose(tmp_path, entrants, toys.adding(970), small_task(30))
    assert choice.notes == ("More than 5 % of the answers of dpo have no score: they count as no difference.",)
