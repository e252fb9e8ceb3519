"""Each writer on a disk that fills up, beside a clock that jumps, and beside itself: nothing half, and the same in the end."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness import api
from harness.cli.compare import write_reports
from harness.evaluation.head_to_head import HeadToHead, judge_against
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.rescore import rescore
from harness.evaluation.run import score_checkpoints
from harness.evaluation.watch import score_new_checkpoints
from harness.folder_claims import claim_folder
from harness.interchange.export_results import export_results
from harness.interchange.import_logs import import_logs
from harness.judge_binding import LazyJudge
from harness.store import MARKER, Results
from harness.studies.work import copy_model
from harness.system_errors import ROOM, explain_system_error
from harness.types import Score, SkilldeltaError
from tests.checkpoints.test_discovery import run
from tests.evaluation.test_bisect import bisect, run_of
from tests.evaluation.test_choose import choose, models
from tests.evaluation.test_watch import looking
from tests.support import toys
from tests.support.disk_faults import faults_from
from tests.support.results_folder import about, sample, store
from tests.support.sources import store_sources

MOMENTS = 7  # of each writer, evenly spread over its changes
EVERY_MOMENT = ("judge", "rescore", "copy")  # of writers that replace what is there
JUDGE = "llm:scripted:any,by=text,text=A"
VARIABLE = ("task.json", "run.json")  # hold times


def score(source: Path, folder: Path) -> list[str]:
    tasks = [toys.adding(6), toys.adding(6, "more")]
    loader = lambda _: toys.model()  # noqa: E731
    outcomes = score_checkpoints([toys.checkpoint()], tasks, loader, Results.make(folder), EvaluationSettings())
    return [o.why for o in outcomes if o.state == "failed"]


def watch(source: Path, folder: Path) -> list[str]:
    results = Results.make(folder)
    watching = looking([source / "dpo"], results)
    found = score_new_checkpoints(watching, [toys.adding(6)], lambda _: toys.model(), results, EvaluationSettings(), idle=0.0)
    failures = [o.why for outcomes in found for o in outcomes if o.state == "failed"]
    return [*failures, *(text for text in watching.failures.values() if "cannot be linked" in text)]


def choose_from(source: Path, folder: Path) -> list[str]:
    choice = choose(folder, models({"sft": 0.4, "a": 0.9}), toys.adding(40))
    return [s.why for s in choice.standings if s.state == "failed"]


def bisect_in(source: Path, folder: Path) -> list[str]:
    bisect(folder, run_of([0.8, 0.2]), items=40)
    return []


def compare(source: Path, folder: Path) -> list[str]:
    write_reports(api.compare(source / "results", "base"), folder)
    return []


def import_from(source: Path, folder: Path) -> list[str]:
    return [o.why for o in import_logs([source / "logs"], Results.make(folder)) if o.state == "failed"]


def judge(source: Path, folder: Path) -> list[str]:
    match = HeadToHead(Results(source / "judged"), "sft", LazyJudge(JUDGE), Results.make(folder))
    return [o.why for o in judge_against(match) if o.state == "failed"]


def rescore_in(source: Path, folder: Path) -> list[str]:
    """By a scorer that has turned round: a cell's samples and its record are both of before, or both of after."""
    tasks = {name: replace(toys.adding(6, name), score=lambda e, r: Score(0.25), version=2) for name in ("adding", "more")}
    return [o.why for o in rescore(Results(folder), tasks, EvaluationSettings()) if o.state == "failed"]


def copy_in(source: Path, folder: Path) -> list[str]:
    copy_model(source / "dpo", folder)
    return []


def export_as(to: str) -> Callable[[Path, Path], list[str]]:
    def export(source: Path, folder: Path) -> list[str]:
        export_results(source / "results", to, folder)
        return []

    return export


WRITERS: dict[str, Callable[[Path, Path], list[str]]] = {
    "score": score, "watch": watch, "choose": choose_from, "bisect": bisect_in, "compare": compare, "import": import_from,
    "judge": judge, "rescore": rescore_in, "copy": copy_in,
    **{f"export {to}": export_as(to) for to in ("csv", "lm-eval", "nel", "hub")},
}  # fmt: skip


def store_answers(folder: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": f"Say {number}."}]} for number in range(4)]
    Results.make(folder).keep("chat", [toys.example(**row) for row in rows])
    for name in ("sft", "dpo"):
        store(folder, name, about("chat", "writing"), [sample(row, 1.0, text=f"{name} {i}") for i, row in enumerate(rows)])


PREPARED: dict[str, Callable[[Path, Path], list[str]]] = {"rescore": score}  # what is in a writer's folder before


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("source")
    store_sources(place, "gsm8k")
    run(place / "dpo", (10,))
    store_answers(place / "judged")
    return place


def content_of(folder: Path) -> dict[str, bytes]:
    """Every file, those with times without their content; what begins with a point is somebody's draft."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {p.relative_to(folder).as_posix(): b"" if p.name in VARIABLE else p.read_bytes() for p in files}


def prepare(writer: str, source: Path, folder: Path) -> None:
    if writer in PREPARED:
        assert not PREPARED[writer](source, folder)


def check_cells(folder: Path) -> None:
    """A finished cell has its samples, and its record is of the scorer that scored them."""
    for _, record, cell in Results(folder).cells() if (folder / MARKER).is_file() else ():
        scores = [sample.score.value for sample in cell.samples()]
        assert scores or record.state != "done", cell.folder
        assert (0.25 in scores) == (record.task.version == 2 and not record.task.judge), cell.folder


def undisturbed(writer: str, source: Path, folder: Path) -> tuple[dict[str, bytes], int]:
    """What a writer leaves, and how many changes that takes."""
    prepare(writer, source, folder)
    with faults_from(folder) as faults:
        assert not WRITERS[writer](source, folder)
    return content_of(folder), faults.count


@pytest.mark.slow
@pytest.mark.parametrize("writer", [pytest.param(w, marks=[pytest.mark.slow] * (w == "compare")) for w in WRITERS])
def test_a_disk_that_fills_up_leaves_nothing_half_and_the_same_command_ends_the_work(
    writer: str, source: Path, tmp_path: Path
) -> None:
    expected, count = undisturbed(writer, source, tmp_path / "whole")
    last = count - 1 if writer in EVERY_MOMENT else MOMENTS - 1
    for moment in sorted({1 + place * (count - 1) // last for place in range(last + 1)}):
        folder = tmp_path / f"full-{moment}"
        reasons: list[str] = []
        prepare(writer, source, folder)
        with faults_from(folder, moment, is_full=True):
            try:
                reasons = WRITERS[writer](source, folder)
            except (OSError, SkilldeltaError) as error:
                reasons = [explain_system_error(error) or str(error)]
        assert reasons, f"{moment} of {count}: nobody is told"
        assert all(ROOM in reason for reason in reasons), reasons
        for name, content in (content_of(folder) if folder.exists() else {}).items():
            if name.endswith(".json"):
                json.loads(content or (folder / name).read_bytes())
        check_cells(folder)
        assert not WRITERS[writer](source, folder)
        assert content_of(folder) == expected, f"{moment} of {count}"
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("jump", [-3600.0, 86400.0])
@pytest.mark.parametrize("writer", [w for w in WRITERS if w != "compare"])  # it reads no clock
def test_a_clock_that_jumps_in_the_middle_changes_nothing(writer: str, jump: float, source: Path, tmp_path: Path) -> None:
    expected, count = undisturbed(writer, source, tmp_path / "whole")
    prepare(writer, source, tmp_path / "jumps")
    with faults_from(tmp_path / "jumps", count // 2, jump=jump):
        assert not WRITERS[writer](source, tmp_path / "jumps")
    assert content_of(tmp_path / "jumps") == expected
    for record in (tmp_path / "jumps").rglob("task.json"):
        assert json.loads(record.read_bytes()).get("seconds", 0.0) >= 0.0


@pytest.mark.parametrize("jump", [-3600.0, 86400.0])
def test_a_claim_stays_its_holders_whatever_the_clock_says(jump: float, tmp_path: Path) -> None:
    with faults_from(tmp_path / "run", 1, jump=jump), claim_folder(tmp_path / "run", "trains"):
        assert (tmp_path / "run").is_dir()
    assert not (tmp_path / "run").exists()
