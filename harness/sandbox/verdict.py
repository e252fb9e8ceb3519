"""The sandbox's inputs and its answer: tests, and the verdict on a program."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from harness.sandbox.limits import ProgramLimits
from harness.types import Json, SkilldeltaError

Outcome = Literal["pass", "wrong", "timeout", "memory", "output", "crash", "error"]
Tier = Literal["namespaces", "landlock", "docker", "podman", "none"]
# How far to trust a pass.  values: a process that the program cannot reach compared them; stdout: the harness compared the
# program's output; cooperative: tests in the program's own process, which the program could forge.
Integrity = Literal["values", "stdout", "cooperative"]


class SandboxError(SkilldeltaError):
    """The sandbox itself failed, twice.  That says nothing about the program, so it is never scored."""


class GraderError(SandboxError):
    """The grader failed, twice, on one program; other programs can still be judged."""


class UnavailableError(OSError):
    """This machine does not allow, or does not have, something that a tier needs."""


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
        """The JSON that the grader reads."""
        return json.dumps({"kind": "asserts", "code": self.code, "names": self.names, "setup": self.setup}).encode()


@dataclass(frozen=True)
class CallGroup:
    """Calls with their right outputs.  Inputs: lists of arguments as JSON text; outputs: in the form of wire.encode_value."""

    name: str
    inputs: Sequence[str]
    expected: Sequence[Any]


@dataclass(frozen=True)
class Calls:
    """Calls to compare with known outputs, in groups; the first wrong output ends the run.  `oracle`: see inside/compare.py."""

    entry: str
    groups: Sequence[CallGroup]
    atol: float = 0.0
    oracle: str = ""

    @cached_property
    def text(self) -> bytes:
        """The JSON that the grader reads."""
        groups = [(g.name, g.inputs, g.expected) for g in self.groups]
        return json.dumps(
            {"kind": "calls", "entry": self.entry, "groups": groups, "atol": self.atol, "oracle": self.oracle}
        ).encode()


@dataclass(frozen=True)
class RecordCalls:
    """Calls to record: their outputs become `Verdict.outputs`, in the form of wire.encode_value."""

    entry: str
    inputs: Sequence[str]

    @cached_property
    def text(self) -> bytes:
        """The JSON that the grader reads."""
        return json.dumps({"kind": "record", "entry": self.entry, "inputs": list(self.inputs)}).encode()


MALFORMED_REPLY = "malformed reply"  # how the grader's reason begins where a program wrote nonsense into its pipe


Tests = Asserts | Calls | RecordCalls


@dataclass(frozen=True)
class Verdict:
    """The outcome of a program.  Only "pass" is a pass; every other outcome is a reason why not."""

    outcome: Outcome
    detail: str = ""  # the failing line, the exception, the limit
    groups: Mapping[str, bool] = field(default_factory=dict)  # of Calls: which groups passed
    output: str = ""  # the beginning of the program's own output
    outputs: Sequence[Any] = ()  # of RecordCalls
    cpu_s: float = 0.0
    wall_s: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict, compare=False)  # seconds by stage, see sandbox.STAGES
    tier: Tier = "none"
    integrity: Integrity = "values"

    @property
    def passed(self) -> bool:
        return self.outcome == "pass"


def decide_outcome(report: Json, record: Json, limits: ProgramLimits) -> tuple[Outcome, str]:
    """The outcome and its detail, by the slot's report and the grader's record (without an outcome where it did not finish).

    SandboxError where the sandbox, not the program, is to blame.
    """
    if report["stopped"] == "wall":
        return "timeout", f"not done after {limits.wall:g} s by the clock"
    if report["stopped"] == "disk":
        return "output", "wrote more than the scratch folder may hold"
    if report["grader"] == -signal.SIGXCPU:
        return "timeout", "its values take too long to compare"
    if report["grader"] not in (0, 3) or record.get("outcome", "fault") == "fault":
        detail = record.get("detail", "no verdict was written")
        raise GraderError(f"The grader ended with status {report['grader']}: {detail}")
    if record["outcome"] != "gone":
        return record["outcome"], record["detail"]
    return explain_end(report, limits.cpu_s, record["detail"])


def explain_end(report: Json, cpu_limit_s: int, detail: str) -> tuple[Outcome, str]:
    """Why a candidate ended before its tests did."""
    status = report["candidate"]
    if status == -signal.SIGXCPU or (status == -signal.SIGKILL and report["cpu"] >= cpu_limit_s):
        return "timeout", f"used its {cpu_limit_s} s of processor time"
    if status == -signal.SIGXFSZ:
        return "output", "a file, or its output, grew beyond the limit"
    if report["killed"] or detail.startswith(MALFORMED_REPLY):  # how it ended after that depends on who was first
        return "crash", detail
    if status < 0:
        return "crash", f"ended by {signal.Signals(-status).name if -status in list(signal.Signals) else -status}"
    return "crash", f"ended with status {status} before its tests did"
