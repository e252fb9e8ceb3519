"""Results of format 1 (tests/support/results_of_version_1, written by a program of that time) are read, compared, continued.

`results` holds two finished checkpoints, one of them asked again, and one that was interrupted within a line; `sequential` two
that were asked in turn.  The JSON files beside them are what that version's `compare` and `gate` printed.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import harness
from harness import registry
from harness.backends.scripted import ScriptedModel
from harness.cli import main
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.run import score_checkpoints
from harness.records import CellRecord, CheckpointRecord, current_name
from harness.store import Results
from harness.types import Checkpoint, Example, Message, Request, Response, digest
from tests.support import toys

OLD = Path(__file__).parent / "support" / "results_of_version_1"
TASKS = tuple(registry.included_tasks(OLD / "own_tasks.py"))


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder, as the working folder: paths in comparison.json are then as they were."""
    shutil.copytree(OLD, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    return tmp_path / "old"


def answers(checkpoint: Checkpoint) -> ScriptedModel:
    """The model that answered then."""

    def answer(request: Request) -> Response:
        luck = int(digest([checkpoint.name, request.id]), 16)
        a, b = (int(x) for x in str(request.prompt).removesuffix(" = ?").split(" + "))
        if luck % 11 == 0:
            return Response(finish="error", error="HTTP 500")
        if luck % 7 == 0:
            return Response("I do not know", "length", tokens_in=5, tokens_out=8)
        return Response(f"It is {a + b + luck % 2}", tokens_in=5, tokens_out=3)

    return ScriptedModel(answer, {"backend": "scripted", "template": "none"}, 2)


def nobody(checkpoint: Checkpoint) -> ScriptedModel:
    raise AssertionError(f"{checkpoint.name} was loaded")


def test_requests_and_rows_have_the_hashes_that_they_had() -> None:
    assert Request("1+1").id == "48266673240e7eac"
    assert Request("a", prefix="b", choices=("c", "d"), truncate=True, draw=1).id == "1a8280edc18ac26f"
    turns = Request((Message("user", "a"),), contexts=("b",), stop=("\n",), temperature=0.5, raw=True)
    assert turns.id == "443a32fcd0747350"
    assert [Example({"a": 1}).id, Example({"a": 1}, 1, ({"b": 2},)).id] == ["015abd7f5cc57a2d", "015abd7f5cc57a2d-2"]


def test_every_stored_key_is_read_and_none_is_lost() -> None:
    for path in OLD.rglob("task.json"):
        content = json.loads(path.read_text())
        record = CellRecord.from_json(content)
        assert record.extra == record.task.extra == record.inputs.extra == {}
        assert CellRecord.from_json(record.to_json()) == record
        assert record.to_json() == {k: v for k, v in renamed(content).items() if v not in ("", {}) or k in record.to_json()}


def renamed(content: dict[str, Any]) -> dict[str, Any]:
    """task.json of format 1 with the keys of format 2."""
    changed = {{"asked": "inputs", "answered": "backend", "scored": "conditions"}.get(k, k): v for k, v in content.items()}
    changed["inputs"]["kind"] = {"weigh": "loglikelihood", "continue": "generate"}[changed["inputs"]["kind"]]
    if "noise" in changed:
        changed["noise"]["backend"] = changed["noise"].pop("answered")
    return changed


def test_keys_that_are_not_known_are_kept() -> None:
    content = {"task": {"name": "t", "skill": "s", "owner": "me"}, "inputs": {"shuffled": True}, "machine": "node 7"}
    record = CellRecord.from_json(content)
    assert record.extra == {"machine": "node 7"}
    written = record.to_json()
    assert (written["machine"], written["task"]["owner"], written["inputs"]["shuffled"]) == ("node 7", "me", True)
    assert CheckpointRecord.from_json({"name": "c", "colour": "red"}).to_json()["colour"] == "red"


def test_a_comparison_is_the_same(old: Path) -> None:
    for folder, baseline, candidates in (("results", "base", ["dpo"]), ("sequential", "early", [])):
        now = harness.compare(folder, baseline, candidates=candidates).json()
        then = json.loads((old / ("comparison.json" if folder == "results" else "sequential.json")).read_text())
        # Intervals count pseudo-observations now; every score, difference, p-value, verdict and count is as it was.
        assert [without_intervals(r) for r in now["rows"]] == [without_intervals(r) for r in then["rows"]]
        assert now["families"] == then["families"]
        assert now["settings"] == then["settings"]
        assert now["checkpoints"] == then["checkpoints"]
        newer = [caveat for caveat in now["caveats"] if "draws at temperature 0" in caveat]
        assert len(now["caveats"]) - len(newer) == len(then["caveats"])
        assert len(now["incomplete"]) == len(then["incomplete"])


def without_intervals(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the values of its metrics, and without intervals and what follows from them.

    Metrics of repeated draws (avg@2) are newer than the files, and come of samples that were always there.  own_advice gives
    points for texts without saying what it read: they counted as unreadable, and do no more (its skill: instruction following).
    """
    rest = {k: v for k, v in row.items() if not k.endswith(("_low", "_high")) and k not in ("mde", "metrics")}
    if "health" in row and row["name"] in ("own_advice", "instruction following", "average"):
        rest["health"] = {k: v for k, v in row["health"].items() if k != "unreadable"}
    metrics = [(m["name"], m["value"], m["delta"]) for m in row.get("metrics", [])]
    return rest | {"metrics": [m for m in metrics if not m[0].startswith(("avg@", "pass@"))]}


def test_the_gate_gives_the_same_verdict(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["gate", "results", "--baseline", "base", "--candidate", "dpo", "--json"])
    assert end.value.code == 2
    now, then = json.loads(capsys.readouterr().out), json.loads((old / "gate.json").read_text())
    for answer in (now, then):
        answer["rules"] = [without_intervals({k: v for k, v in rule.items() if k != "why"}) for rule in answer["rules"]]
    assert now == then


def test_finished_cells_are_not_asked_again(old: Path) -> None:
    checkpoints = [Checkpoint(n, f"my/{n}", "hub", method=n if n == "dpo" else "", run="my") for n in ("base", "dpo")]
    outcomes = score_checkpoints(checkpoints, TASKS[:3], nobody, Results(old / "results"), EvaluationSettings())
    assert {o.state for o in outcomes} == {"already"}


def test_the_command_line_says_done_before(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = ["-t", "own_sums,own_sounds,own_advice", "--include-path", "own_tasks.py"]
    with pytest.raises(SystemExit) as end:
        main(["score", "my/base", *tasks, "--backend", "scripted", "-o", "results"])
    assert end.value.code == 0
    assert capsys.readouterr().err.count("done before") == 3


def test_an_interrupted_cell_is_gone_on_with_and_nothing_is_asked_twice(old: Path) -> None:
    cell = Results(old / "results").cell("halfway", "own_sums")
    before = list(cell.samples())
    assert len(before) == 11
    asked: list[str] = []

    def loader(checkpoint: Checkpoint) -> ScriptedModel:
        model = answers(checkpoint)
        answer = model.answer_one
        model.answer_one = lambda request: asked.append(request.id) or answer(request)
        return model

    halfway = Checkpoint("halfway", "my/halfway", "hub", run="my", step=100)
    (outcome,) = score_checkpoints([halfway], TASKS[:1], loader, Results.make(old / "results"), EvaluationSettings())
    assert (outcome.state, outcome.samples) == ("done", 26)
    after = {(s.example, s.draw): s for s in cell.samples()}
    assert [after[s.example, s.draw] for s in before] == before
    assert len(asked) == 15, "what is stored is not asked again"
    assert b"read_as" not in cell.samples_file.read_bytes()
    assert json.loads((old / "results" / "skilldelta.json").read_text()) == {"format": 2}


def test_two_that_were_asked_in_turn_are_gone_on_with(old: Path) -> None:
    record = Results(old / "sequential").cell("late", "own_echo").read()
    assert (record.state, record.decision.verdict, record.decision.used) == ("decided", "better", 8)
    late = Checkpoint("late", "my/late", "hub")
    echo = lambda _: toys.model(lambda request: Response(str(request.prompt), tokens_out=1))  # noqa: E731
    (outcome,) = score_checkpoints([late], TASKS[3:], echo, Results(old / "sequential"), EvaluationSettings(seed=1))
    assert (outcome.state, outcome.samples) == ("done", 40)


def test_rescoring_changes_no_score(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["rescore", "results", "--include-path", "own_tasks.py"])
    assert end.value.code == 0
    assert capsys.readouterr().err.count("(0 scores changed)") == 7


def test_differences_may_be_allowed_by_their_former_names() -> None:
    names = ("asked.prompts", "answered", "task.beside", "task.version", "scored.sandbox.tier")
    assert [current_name(n) for n in names] == [
        "inputs.prompts", "backend", "task.variant_of", "task.version", "conditions.sandbox.tier"
    ]  # fmt: skip
