"""The alarm of a watch: a gate's policy on each new checkpoint, with one error for all checkpoints together.

A run may have any number of checkpoints, and each is a chance of a false alarm.  Look number k therefore tests at level
alpha / (k (k + 1)), shared by the levels (skills, tasks, metrics, average) that the policy has rules on.  However many
checkpoints come, and however alike they are, equal checkpoints raise an alarm in 5 % of runs at most
(statistics/alpha_spending.py).  The looks are stored in the results folder, so that a restart neither forgets them nor looks
twice.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.atomic_files import write_json
from harness.bounded_files import read_stored_json
from harness.comparison.compare import compare
from harness.comparison.gate import GateResult, Policy, gate
from harness.comparison.result import ComparisonSettings
from harness.records import TaskRecord, build_plain
from harness.statistics.alpha_spending import draws_to_reject, spend_alpha
from harness.types import SkilldeltaError, Task, digest

if TYPE_CHECKING:
    from harness.store import Results

ALPHA = 0.05
STATE_FOLDER = ".watch"  # in the results folder
MAX_DRAWS = 5_000_000  # sign flips of one look: some seconds a task
COMMAND_LIMIT_S = 600.0
END = "end"


@dataclass(frozen=True)
class Look:
    """A checkpoint that was compared with the baseline; `key`: what was compared, by which policy."""

    number: int
    alpha: float
    checkpoint: str
    key: str
    answer: str
    falls: tuple[str, ...] = ()  # rules that are broken, in words
    finished_actions: tuple[str, ...] = ()


@dataclass(frozen=True)
class AlarmAction:
    """What is done when a skill falls: `end` the watch, `stop:FILE` or `run:COMMAND`."""

    text: str

    def __post_init__(self) -> None:
        kind, _, rest = self.text.partition(":")
        if not (self.text == END or (kind in ("stop", "run") and rest.strip())):
            raise SkilldeltaError(f"--on-alarm {self.text}: write end, stop:FILE or run:COMMAND.")
        if kind == "run":
            try:
                shlex.split(rest)
            except ValueError as error:
                raise SkilldeltaError(f"--on-alarm {self.text}: {error}.") from error

    def perform(self, verdict: dict[str, Any]) -> None:
        """Writes the verdict to the stop file, or runs the command.  SkilldeltaError where that fails."""
        kind, _, rest = self.text.partition(":")
        try:
            if kind == "stop":
                write_json(Path(rest), verdict)
            elif kind == "run":
                run_command(shlex.split(rest), str(verdict.get("file")), str(verdict.get("candidate")))
        except (OSError, subprocess.SubprocessError) as error:
            raise SkilldeltaError(f"--on-alarm {self.text} failed: {error}") from error


def run_command(arguments: Sequence[str], file: str, candidate: str) -> None:
    """Runs a command, without a shell.  It finds the verdict in the file SKILLDELTA_ALARM."""
    environment = os.environ | {"SKILLDELTA_ALARM": file, "SKILLDELTA_CHECKPOINT": candidate}
    subprocess.run(arguments, env=environment, timeout=COMMAND_LIMIT_S, check=True, stdin=subprocess.DEVNULL)


@dataclass
class WatchAlarm:
    """Looks at the checkpoints of a watch as they are scored; `name`: the watch's."""

    results: Results
    baseline: str
    policy: Policy
    actions: Sequence[AlarmAction]
    name: str
    looks: list[Look] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)  # checkpoints that are scored and not looked at yet

    def __post_init__(self) -> None:
        if self.file.exists():
            content = read_stored_json(self.file)
            try:
                self.pending = list(map(str, content["pending"]))
                self.looks = [build_plain(Look, value) for value in content["looks"]]
            except (SkilldeltaError, LookupError, TypeError) as error:
                raise SkilldeltaError(
                    f"{self.file} is damaged ({error}).  Remove it: the alarm looks at everything anew."
                ) from error

    @property
    def file(self) -> Path:
        return self.results.folder / STATE_FOLDER / f"{self.name}.json"

    @property
    def alarms(self) -> list[Look]:
        return [look for look in self.looks if look.answer == "regression"]

    def store(self) -> None:
        write_json(self.file, {"pending": self.pending, "looks": [asdict(look) for look in self.looks]})

    def check_names(self, tasks: Sequence[Task]) -> None:
        """Refuses rules on names that neither these tasks nor the baseline's results have."""
        baseline_tasks = [cell.task for who, cell, _ in self.results.cells() if who == self.baseline]
        every: list[Task | TaskRecord] = [*tasks, *baseline_tasks]
        names = {
            "skill": {task.skill for task in every},
            "task": {task.name for task in every},
            "metric": {f"{task.name}/{metric.name}" for task in every for metric in task.metrics},
        }
        self.policy.check_names(names)

    def add(self, checkpoint: str) -> None:
        """A checkpoint that was scored: it is looked at as soon as the baseline is scored too."""
        if checkpoint != self.baseline and checkpoint not in self.pending:
            self.pending.append(checkpoint)
            self.store()

    def look(self, tell: Callable[[str], None]) -> Iterator[Look]:
        """Looks at what is pending; yields each new look.  What cannot be compared yet is said, and stays pending."""
        for checkpoint in list(self.pending):
            key = self.key(checkpoint)
            new_looks = []
            if key not in {look.key for look in self.looks}:
                try:
                    new_looks = [self.compare(checkpoint, key)]
                except SkilldeltaError as error:
                    tell(f"{checkpoint}: the alarm cannot look at it yet: {error}")
                    continue
            self.looks += new_looks
            self.pending.remove(checkpoint)
            self.store()  # before anything is done about it: what is still to be done is known after a restart
            yield from new_looks
            if any(draws_to_reject(look.alpha, self.test_count) > MAX_DRAWS for look in new_looks):
                tell(f"{checkpoint}: so many checkpoints were looked at that only exact p-values can still raise an alarm")

    def key(self, checkpoint: str) -> str:
        """The hash of what a look is about: both checkpoints' files and finished cells, and the policy."""
        records = self.results.checkpoints()
        sides = (checkpoint, self.baseline)
        states = [[who, cell.task.name, cell.state] for who, cell, _ in self.results.cells() if who in sides]
        prints = [dict(records[who].fingerprint) for who in sides if who in records]
        return digest([sides, prints, states, self.policy.model_dump(mode="json")])

    def compare(self, checkpoint: str, key: str) -> Look:
        """One look, at the level that is left for it."""
        number = len(self.looks) + 1
        rules = (self.policy.default or self.policy.skills, self.policy.tasks, self.policy.metrics, self.policy.average)
        alpha = spend_alpha(ALPHA, number) / max(1, sum(map(bool, rules)))
        draws = min(max(draws_to_reject(alpha, self.test_count), ComparisonSettings().draws), MAX_DRAWS)
        settings = ComparisonSettings(level=1 - alpha, candidates=(checkpoint,), draws=draws)
        verdict = gate(compare(self.results.folder, self.baseline, settings), checkpoint, self.policy)
        falls = tuple(
            f"{c.name}: {c.why}" for c in verdict.rule_results if c.answer == "regression" and c.rule.kind == "critical"
        )
        self.store_verdict(verdict)
        return Look(number, alpha, checkpoint, key, verdict.answer, falls)

    @property
    def test_count(self) -> int:
        """The baseline's tasks: no level has more tests."""
        return sum(who == self.baseline for who, *_ in self.results.cells())

    def store_verdict(self, verdict: GateResult) -> None:
        if verdict.answer == "regression":
            file = self.verdict_file(verdict.candidate)
            write_json(file, verdict.json() | {"file": str(file.resolve())})

    def verdict_file(self, checkpoint: str) -> Path:
        return self.file.parent / f"{self.name}-{digest(checkpoint, 8)}.json"

    def act(self, tell: Callable[[str], None]) -> bool:
        """Does what is still to be done for every alarm; whether all of it was done.  What fails is said, and tried again."""
        is_complete = True
        for place, look in enumerate(self.looks):
            for action in self.actions if look.answer == "regression" else ():
                if action.text == END or action.text in self.looks[place].finished_actions:
                    continue
                try:
                    action.perform(read_stored_json(self.verdict_file(look.checkpoint)))
                except SkilldeltaError as error:
                    tell(str(error))
                    is_complete = False
                    continue
                actions = (*self.looks[place].finished_actions, action.text)
                self.looks[place] = replace(look, finished_actions=actions)
                self.store()
        return is_complete

    @property
    def ends_watch(self) -> bool:
        """Whether an alarm ends the watch: where that is asked for, or nothing else is."""
        return not self.actions or END in [action.text for action in self.actions]
