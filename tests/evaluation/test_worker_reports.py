"""Progress of cells that workers are at, and of answers that come whole: counted, summed, reported about once a second."""

from pathlib import Path

import pytest

from harness import api
from harness.evaluation import workers
from harness.evaluation.model_reports import AnswerMeter
from harness.evaluation.outcome import Outcome, Overview
from harness.evaluation.worker_reports import CellReport, ReportingProgress, WorkersOverview
from harness.store import Results
from harness.types import Checkpoint
from tests.support import tiny


class Watcher:
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.states: list[Overview] = []
        self.outcomes: list[Outcome] = []

    def begin(self, checkpoint: str, task: str, total: int, done: int) -> None: ...
    def advance(self) -> None: ...
    def remark(self, text: str) -> None: ...

    def overview(self, state: Overview) -> None:
        self.states.append(state)

    def end(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


class Clock:
    """Stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_worker_reports_at_once_and_then_once_a_second() -> None:
    sent: list[CellReport] = []
    clock = Clock()
    progress = ReportingProgress(sent.append, clock)
    progress.begin("m", "t", 10, 4)
    progress.advance()
    progress.count_tokens(8, 50, 1.0)
    assert sent == [CellReport(6)]
    clock.now = 1.5
    progress.advance()
    progress.advance()
    assert sent[1:] == [CellReport(6, 2, 50)]
    clock.now = 3.0
    progress.count_tokens(8, 90, 1.0)
    assert sent[2:] == [CellReport(6, 3, 90)]


def test_reports_are_summed_over_workers_and_over_the_cells_that_are_over() -> None:
    watcher = Watcher()
    overview = WorkersOverview(watcher, 3, 2)
    overview.take("a", CellReport(5, 1, 10))
    overview.take("b", CellReport(7, 2, 20))
    overview.take("a", CellReport(5, 4, 40))
    assert watcher.states[-1] == Overview(3, questions=12, answers=6, tokens=60, workers=2, size=2)
    done = Outcome("m", "t", "done")
    overview.end("a", done)
    overview.end("unheard", Outcome("m", "u", "failed"))
    overview.take("a", CellReport(1, 0, 5))
    assert watcher.states[-1] == Overview(3, 2, questions=13, answers=6, tokens=65, workers=2, size=2)
    assert watcher.outcomes[0] == done


def test_answers_that_come_whole_are_counted_with_the_time_that_is_left() -> None:
    reports: list[tuple[int, float]] = []
    clock = Clock()
    meter = AnswerMeter(lambda tokens, seconds: reports.append((tokens, seconds)), clock)
    meter.begin(10)
    meter.add(7)
    assert reports == []
    clock.now = 4.0
    meter.add(3)
    assert reports == [(10, pytest.approx(16.0))]  # eight to come, at two in four seconds
    meter.begin(2)
    clock.now = 6.0
    meter.add(5)
    assert reports[1:] == [(15, pytest.approx(2.0))]


@pytest.mark.slow
def test_a_run_on_two_devices_shows_its_answers_and_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.evaluation.worker_reports.INTERVAL_S", 0.0)
    monkeypatch.setattr("harness.engine.token_meter.INTERVAL_S", 0.0)
    checkpoints = [Checkpoint(f"m{n}", str(tiny.llama(tmp_path / f"m{n}", n)), "transformers") for n in (1, 2)]
    tasks, watcher = api.resolve_tasks(["world_sums_validation"]), Watcher()
    load = api.Backend("transformers", {"dtype": "float32", "device": "cpu"}).loader()
    run = workers.SpreadRun(checkpoints, tasks, Results.make(tmp_path / "out"), api.default_settings())
    outcomes = workers.score_on_devices(run, {"cpu": load, "cpu (2)": load}, watcher)
    assert [o.state for o in outcomes] == ["done", "done"]
    last = watcher.states[-1]
    assert (last.cells, last.workers) == (2, 2)
    assert last.answers == last.questions == sum(o.samples for o in outcomes)
    assert last.tokens > last.answers
    assert len(watcher.outcomes) == 2
