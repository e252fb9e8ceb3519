"""What a run would cost: cells, seconds from measured cells, memory, and who does what."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cluster.measured_rates import MeasuredRates, Measurement, read_measurements, weights_size
from harness.cluster.plan import plan_run
from harness.cluster.spread import score_on_workers
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.run import score_checkpoints
from harness.evaluation.workers import SpreadRun
from harness.store import Results
from harness.types import Checkpoint
from tests.checkpoints.test_discovery import run
from tests.support import toys
from tests.support.cluster_toys import Sums, ThreadStarter
from tests.test_cli import skilldelta

GIGA = 10**9


def test_seconds_are_the_median_of_models_of_the_same_size() -> None:
    rates = MeasuredRates(
        [
            Measurement("gsm8k", 100.0, 50, 2 * GIGA, "cuda"),
            Measurement("gsm8k", 150.0, 50, 2 * GIGA, "cuda"),
            Measurement("gsm8k", 900.0, 50, 2 * GIGA, "cuda"),
            Measurement("gsm8k", 9.0, 50, GIGA // 5, "cuda"),
        ]
    )
    estimate = rates.estimate("gsm8k", 100, 2 * GIGA)
    assert (estimate.seconds, estimate.basis) == (300.0, "3 cells, cuda")
    assert rates.estimate("gsm8k", 100, GIGA // 5).seconds == pytest.approx(18.0)
    larger = rates.estimate("gsm8k", 50, 16 * GIGA)
    assert larger.seconds == pytest.approx(8 * 100.0)
    assert larger.basis.startswith("a model 0.12 times as large, in proportion")
    assert rates.estimate("ifeval", 100, GIGA).seconds is None


def make_run(folder: Path, count: int = 3) -> SpreadRun:
    checkpoints = [toys.checkpoint(f"c{number}") for number in range(count)]
    return SpreadRun(checkpoints, [toys.adding(20), toys.adding(10, "more")], Results.make(folder), EvaluationSettings())


def test_a_plan_counts_what_is_left_done_and_refused(tmp_path: Path) -> None:
    planned = make_run(tmp_path / "r")
    loader = Sums().loader()
    score_checkpoints(planned.checkpoints[:1], planned.tasks, loader, planned.results, planned.settings)
    cell = planned.results.cell("c0", "more")
    cell.update(state="running")
    cell.samples_file.write_bytes(b"".join(cell.samples_file.read_bytes().splitlines(keepends=True)[:4]))
    broken = replace(planned, checkpoints=[*planned.checkpoints, replace(toys.checkpoint("bad"), problem="half written")])
    plan = plan_run(broken, loader, MeasuredRates([Measurement("adding", 4.0, 20, 0, "cpu")]))
    states = [(cell.state, cell.questions) for cell in plan.cells]
    assert states == [
        ("done", 0),
        ("open", 6),
        ("open", 20),
        ("open", 10),
        ("open", 20),
        ("open", 10),
        ("refused", 0),
        ("refused", 0),
    ]
    assert plan.cells[-1].why == "half written"
    assert plan.device_seconds() == pytest.approx(8.0)
    assert plan.unmeasured_tasks() == ["more"]
    (measured,) = [m for m in read_measurements([planned.results]) if m.task == "adding"]
    assert (measured.questions, measured.size) == (20, 0)
    assert measured.seconds > 0


def test_a_resumed_cell_and_one_of_a_cluster_cost_what_their_own_answers_took(tmp_path: Path) -> None:
    part = make_run(tmp_path / "r", 1)
    source = Sums(pause_s=0.002)
    score_checkpoints(part.checkpoints, part.tasks, source.loader(), part.results, part.settings)
    assert dict(part.results.cell("c0", "adding").read().cost) == {}, "its seconds say it"
    cell = part.results.cell("c0", "adding")
    cell.update(state="running")
    cell.samples_file.write_bytes(b"".join(cell.samples_file.read_bytes().splitlines(keepends=True)[:15]))
    score_checkpoints(part.checkpoints, part.tasks, source.loader(), part.results, part.settings)
    (resumed,) = [m for m in read_measurements([part.results]) if m.task == "adding"]
    assert resumed.questions == 5
    spread = make_run(tmp_path / "spread", 1)
    score_on_workers(spread, source.loader(), ThreadStarter(source), 2)
    for measured in read_measurements([spread.results]):
        assert measured.seconds >= measured.questions * source.pause_s
        assert measured.seconds == spread.results.cell("c0", measured.task).read().cost["seconds"]
    cell.update(cost={"seconds": "many", "answers": None})
    assert len(read_measurements([part.results])) == 2, "a stranger's record is no error"


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=8), st.integers(1, 5))
def test_the_shares_hold_every_cell_once_and_are_no_shorter_than_can_be(costs: list[float], workers: int) -> None:
    from harness.cluster.measured_rates import CostEstimate
    from harness.cluster.plan import CellPlan, RunPlan
    from harness.evaluation.work_queue import WorkUnit

    cells = tuple(CellPlan(WorkUnit(c, t), "open", 1, CostEstimate(cost, "")) for c, cost in enumerate(costs) for t in range(2))
    plan = RunPlan(None, cells, ())  # type: ignore[arg-type]
    shares = plan.shares(workers)
    assert sum(share.cells for share in shares) == len(cells)
    last = max(share.seconds for share in shares)
    assert plan.device_seconds() / workers <= last * (1 + 1e-9)
    assert last <= plan.device_seconds() / workers + max(costs) * (1 + 1e-9), "no worker idles while cells are left"


def test_weights_are_counted_with_the_base_and_what_is_elsewhere_is_not_known(tmp_path: Path) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    for folder, name, size in ((base, "model.safetensors", 1000), (adapter, "adapter_model.safetensors", 10)):
        folder.mkdir()
        (folder / name).write_bytes(b"x" * size)
    assert weights_size(Checkpoint("a", str(adapter), "peft", base=str(base))) == 1010
    assert weights_size(Checkpoint("b", str(base), "transformers")) == 1000
    assert weights_size(Checkpoint("c", "somebody/else", "hub")) == 0
    (base / "model.safetensors").unlink()
    (base / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../etc/passwd"}}')
    assert weights_size(Checkpoint("b", str(base), "transformers")) == 0


@pytest.mark.slow
def test_the_plan_is_printed_and_scores_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(tmp_path / "dpo", (10, 20))
    flags = ["-t", "world_sums_validation", "--backend", "scripted", "--backend-args", "text=4", "-L", "5"]
    code, _, err = skilldelta(capsys, "score", folder, *flags, "-o", tmp_path / "r", "--steps", "10")
    assert code == 0, err
    code, out, err = skilldelta(capsys, "score", folder, *flags, "-o", tmp_path / "r", "--plan", "--cluster-args", "workers=2")
    assert code == 0, err
    assert "1 cells left" in out
    assert "2 workers: ready after" in out
    assert "worker 1: dpo@20" in out
    code, out, _ = skilldelta(capsys, "score", folder, *flags, "-o", tmp_path / "r", "--plan", "--json")
    facts = json.loads(out)
    assert [(cell["checkpoint"], cell["state"], cell["questions"]) for cell in facts["cells"]] == [
        ("dpo@10", "done", 0),
        ("dpo@20", "open", 5),
    ]
    assert facts["device_seconds"] > 0
    assert not Results(tmp_path / "r").cell("dpo@20", "world_sums_validation").folder.exists()
