"""What is asked of the sandbox, and what it says: tests, and the verdict on a program."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from harness.types import SkilldeltaError

Outcome = Literal["pass", "wrong", "timeout", "memory", "output", "crash", "error"]
Tier = Literal["namespaces", "landlock", "docker", "podman", "none"]
# How far a pass can be believed.  values: compared by a process that the program cannot reach; stdout: what it printed,
# compared outside; cooperative: by tests in its own process, which it could forge.
Integrity = Literal["values", "stdout", "cooperative"]
OUTCOMES: tuple[Outcome, ...] = ("pass", "wrong", "timeout", "memory", "output", "crash", "error")


class SandboxError(SkilldeltaError):
    """The sandbox itself failed, twice: says nothing about the program, and is never scored."""


@dataclass(frozen=True)
class Asserts:
    """Test code with assertions, run unchanged in a process of its own.

    `names` are the program's top-level names that the code uses; `setup` runs before it (helpers, imports).
    """

    code: str
    names: tuple[str, ...]
    setup: str = ""

    @cached_property
    def text(self) -> bytes:
        """What the grader reads."""
        return json.dumps({"kind": "asserts", "code": self.code, "names": self.names, "setup": self.setup}).encode()


@dataclass(frozen=True)
class Group:
    """Calls with their right outputs: each input is a list of arguments as JSON text, each output as wire.encode gives it."""

    name: str
    inputs: Sequence[str]
    expected: Sequence[Any]


@dataclass(frozen=True)
class Calls:
    """Calls to compare with known outputs, in groups; the first wrong output ends the run.  `oracle`: see inside/compare.py."""

    entry: str
    groups: Sequence[Group]
    atol: float = 0.0
    oracle: str = ""

    @cached_property
    def text(self) -> bytes:
        """What the grader reads."""
        groups = [(g.name, g.inputs, g.expected) for g in self.groups]
        return json.dumps(
            {"kind": "calls", "entry": self.entry, "groups": groups, "atol": self.atol, "oracle": self.oracle}
        ).encode()


@dataclass(frozen=True)
class Record:
    """Calls whose outputs are wanted: `Verdict.outputs`, as wire.encode gives them."""

    entry: str
    inputs: Sequence[str]

    @cached_property
    def text(self) -> bytes:
        """What the grader reads."""
        return json.dumps({"kind": "record", "entry": self.entry, "inputs": list(self.inputs)}).encode()


Tests = Asserts | Calls | Record


@dataclass(frozen=True)
class Verdict:
    """What became of a program.  Only "pass" is a pass; all others say why not."""

    outcome: Outcome
    detail: str = ""  # the failing line, the exception, the limit
    groups: Mapping[str, bool] = field(default_factory=dict)  # of Calls: which groups passed
    output: str = ""  # the beginning of what it printed
    outputs: Sequence[Any] = ()  # of Record
    cpu_s: float = 0.0
    wall_s: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict, compare=False)  # seconds by stage, see sandbox.STAGES
    tier: Tier = "none"
    integrity: Integrity = "values"

    @property
    def passed(self) -> bool:
        return self.outcome == "pass"


@dataclass(frozen=True)
class Reading:
    """What is known after a run: the slot's report and the grader's record (None where it wrote none)."""

    report: Mapping[str, Any]
    record: Mapping[str, Any] | None
    cpu_limit_s: int
    wall_limit_s: float


def outcome(reading: Reading) -> tuple[Outcome, str]:
    """The outcome and its detail; SandboxError where the sandbox, not the program, is to blame."""
    report, record = reading.report, reading.record
    if report["stopped"] == "wall":
        return "timeout", f"not done after {reading.wall_limit_s:g} s by the clock ({report['cpu']:.1f} s of processor time)"
    if report["stopped"] == "disk":
        return "output", "wrote more than the scratch folder may hold"
    if report["grader"] == -signal.SIGXCPU:
        return "timeout", "its values take too long to compare"
    if record is None or report["grader"] not in (0, 3) or record["outcome"] == "fault":
        detail = record["detail"] if record else "no verdict was written"
        raise SandboxError(f"The grader ended with status {report['grader']}: {detail}")
    if record["outcome"] != "gone":
        return record["outcome"], record["detail"]
    return ending(reading, record["detail"])


def ending(reading: Reading, detail: str) -> tuple[Outcome, str]:
    """Why a candidate ended before its tests did."""
    status, cpu = reading.report["candidate"], reading.report["cpu"]
    if status == -signal.SIGXCPU or (status == -signal.SIGKILL and cpu >= reading.cpu_limit_s):
        return "timeout", f"used its {reading.cpu_limit_s} s of processor time"
    if status == -signal.SIGXFSZ:
        return "output", "a file, or its output, grew beyond the limit"
    if reading.report["killed"]:
        return "crash", detail
    if status < 0:
        return "crash", f"ended by {signal.Signals(-status).name if -status in list(signal.Signals) else -status}"
    return "crash", f"ended with status {status} before its tests did"
