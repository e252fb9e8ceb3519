"""Asks checkpoints and a baseline a user's prompts, and measures what they answer: from paths to a report.

Everything that is asked is stored as any other answers are, so the same command goes on after an interruption:

OUTPUT/answers      a results folder: the answers to the prompts, and to the tasks whose choices are compared
OUTPUT/divergence   a results folder: log-probabilities of the candidates' answers, by themselves and by the baseline
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.behaviour.choice_calibration import CalibrationRow, calibrate
from harness.behaviour.divergence import (
    SEPARATE_REASONING,
    Divergence,
    absent_divergence,
    answer_rows,
    answer_task,
    measure_divergence,
)
from harness.behaviour.panel import BehaviourRow, measure_behaviour
from harness.behaviour.prompts import PromptFile, prompt_task
from harness.comparison.load import LoadedResults, load_results
from harness.evaluation.run import score_checkpoints
from harness.store import Results
from harness.training.messages import describe_faults
from harness.types import Checkpoint, Json, SkilldeltaError, Task

if TYPE_CHECKING:
    from harness.evaluation.lazy_model import Loader
    from harness.evaluation.outcome import Outcome, Progress
    from harness.evaluation.questions import EvaluationSettings

ANSWERS, DIVERGENCE = "answers", "divergence"
ALL_EMPTY = "all its answers are empty"
LEVEL = 0.95
MAX_TOKENS = 512


@dataclass(frozen=True)
class BehaviourPlan:
    """What is asked of whom.  The baseline is the first of `checkpoints`; `tasks`: further ones, whose choices are compared."""

    checkpoints: Sequence[Checkpoint]
    prompts: PromptFile
    output: Path
    loader: Loader
    settings: EvaluationSettings
    tasks: Sequence[Task] = ()
    allow: Sequence[str] = ()
    measures_divergence: bool = True
    progress: Progress | None = None


@dataclass(frozen=True)
class BehaviourReport:
    """What came of it; `task`: the name of the prompts' task in `results`; `failures`: cells, in words."""

    baseline: str
    candidates: tuple[str, ...]
    task: str
    results: Results
    prompts: PromptFile
    rows: tuple[BehaviourRow, ...]
    divergences: tuple[Divergence, ...] = ()
    calibrations: tuple[CalibrationRow, ...] = ()
    notes: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    settings: Json = field(default_factory=dict)  # of generation

    def to_json(self) -> dict[str, Any]:
        """The content of behaviour.json."""
        return {
            "baseline": self.baseline,
            "candidates": list(self.candidates),
            "prompts": {"file": str(self.prompts.path), "count": len(self.prompts.rows), "left_out": dict(self.prompts.faults)},
            "settings": dict(self.settings),
            "level": LEVEL,
            "measures": [row.to_json() for row in self.rows],
            "divergence": [divergence.to_json() for divergence in self.divergences],
            "calibration": [row.to_json() for row in self.calibrations],
            "notes": list(self.notes),
            "failures": list(self.failures),
        }


def measure_checkpoints(plan: BehaviourPlan) -> BehaviourReport:
    """Asks, stores, measures.  SkilldeltaError where the baseline fails, or no candidate is left."""
    results, prompts = Results.make(plan.output / ANSWERS), prompt_task(plan.prompts, MAX_TOKENS)
    tasks = [prompts, *plan.tasks]
    if any(task.name == prompts.name for task in plan.tasks):
        raise SkilldeltaError(f"The file of prompts is called like the task {prompts.name}: rename the file.")
    outcomes = score_checkpoints(plan.checkpoints, tasks, plan.loader, results, plan.settings, plan.progress)
    failures = [f"{o.checkpoint} on {o.task}: {o.why}" for o in outcomes if o.state == "failed"]
    baseline, candidates = plan.checkpoints[0].name, ready_candidates(plan, prompts.name, outcomes)
    stored_answers = answers_of_plan(load_results([results.folder], baseline, candidates), tasks, outcomes)
    differences = stored_answers.accept_differences(plan.allow)
    rows = measure_behaviour(stored_answers, prompts.name, results.rows(prompts.name), LEVEL)
    calibrations = [
        row for task in plan.tasks if task.name in stored_answers.tasks for row in calibrate(stored_answers, task.name, LEVEL)
    ]
    divergences = ask_divergences(plan, results, prompts.name, candidates) if plan.measures_divergence else []
    return BehaviourReport(
        baseline, tuple(candidates), prompts.name, results, plan.prompts, tuple(rows), tuple(divergences), tuple(calibrations),
        notes=tuple(list_notes(plan, stored_answers, differences, calibrations)), failures=tuple(failures),
        settings=stored_answers.tasks[prompts.name].inputs.settings,
    )  # fmt: skip


def answers_of_plan(results: LoadedResults, tasks: Sequence[Task], outcomes: Sequence[Outcome]) -> LoadedResults:
    """The cells of these tasks that did not fail: the folder may hold others, and half of what was asked otherwise."""
    names, failures = {task.name for task in tasks}, {(o.checkpoint, o.task) for o in outcomes if o.state == "failed"}
    cells = {key: cell for key, cell in results.cells.items() if key[1] in names and key not in failures}
    return replace(results, cells=cells)


def ready_candidates(plan: BehaviourPlan, task: str, outcomes: Sequence[Outcome]) -> list[str]:
    """The candidates that answered the prompts.  SkilldeltaError where the baseline did not, or none did."""
    failures = {o.checkpoint: o.why for o in outcomes if o.task == task and o.state == "failed"}
    baseline, *candidates = (checkpoint.name for checkpoint in plan.checkpoints)
    if baseline in failures:
        raise SkilldeltaError(f"The baseline {baseline} did not answer the prompts: {failures[baseline]}")
    if not (ready := [name for name in candidates if name not in failures]):
        reasons = "\n".join(f"  {name}: {why}" for name, why in failures.items())
        raise SkilldeltaError(f"No checkpoint is left to compare with {baseline}:\n{reasons}")
    return ready


def ask_divergences(plan: BehaviourPlan, results: Results, task: str, candidates: Sequence[str]) -> list[Divergence]:
    """Each candidate's divergence from the baseline on its own answers; where a model gives no log-probabilities, why not."""
    store, prompts = Results.make(plan.output / DIVERGENCE), results.rows(task)
    settings = replace(plan.settings, overrides={}, draws=None, selections={}, judges={})
    rows, with_reasoning = {}, {}
    for name in candidates:
        rows[name], with_reasoning[name] = answer_rows(results.cell(name, task), prompts)
    tasks = {name: answer_task(name, of_candidate) for name, of_candidate in rows.items() if of_candidate}
    baseline, *others = plan.checkpoints
    own = {c.name: c for c in others if c.name in tasks}
    outcomes = score_checkpoints([baseline], list(tasks.values()), plan.loader, store, settings, plan.progress)
    for name, checkpoint in own.items():
        outcomes += score_checkpoints([checkpoint], [tasks[name]], plan.loader, store, settings, plan.progress)
    failures = {o.task: f"{o.checkpoint}: {o.why}" for o in outcomes if o.state == "failed"}
    divergences = []
    for name in candidates:
        if name not in tasks:
            why = (
                f"none of its {with_reasoning[name]} answers can be asked about: {SEPARATE_REASONING}"
                if with_reasoning[name]
                else ALL_EMPTY
            )
            divergences.append(absent_divergence(name, why, with_reasoning[name]))
        elif failure := failures.get(tasks[name].name):
            divergences.append(absent_divergence(name, failure))
        else:
            cells = [store.cell(who, tasks[name].name) for who in (name, baseline.name)]
            divergence = measure_divergence(name, rows[name], cells[0], cells[1], LEVEL)
            divergences.append(replace(divergence, with_reasoning=with_reasoning[name]))
    return divergences


def list_notes(
    plan: BehaviourPlan, stored_answers: LoadedResults, differences: Sequence[str], calibrations: Sequence[CalibrationRow]
) -> list[str]:
    """Facts that a reader needs, in words."""
    notes = [f"Allowed difference: {text}" for text in differences]
    if plan.prompts.faults:
        notes.append(f"Rows of {plan.prompts.path} that were not asked: {describe_faults(plan.prompts.faults)}.")
    without = [
        t.name for t in plan.tasks if t.name in stored_answers.tasks and t.name not in {row.task for row in calibrations}
    ]
    if without:
        notes.append(f"No calibration on {', '.join(without)}: it takes tasks of choices whose scores are 0 or 1.")
    return notes
