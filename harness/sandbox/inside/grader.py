"""The process that knows the tests: it calls the candidate over pipes, compares plain values, and writes the verdict."""

from __future__ import annotations

import gc
import json
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.sandbox.inside import wire
from harness.sandbox.inside.candidate import read_all
from harness.sandbox.inside.candidate_client import MAX_TEXT, SIZE_ERRORS, Candidate, CandidateException, CandidateGone, Handle
from harness.sandbox.inside.channel import Channel, write_all
from harness.sandbox.inside.compare import ORACLES

CHUNK_ITEMS, CHUNK_BYTES = 256, 1 << 20  # of one message with many calls
CANDIDATE_GONE = 3  # exit status where the candidate ended before its tests did
TOO_LARGE_OUTPUT = {"t": "left out", "v": None}


def grade(reading: int, writing: int, tests: int, verdict: int) -> int:
    """Runs the tests and writes their record to `verdict`; gives the exit status.  All arguments are file descriptors."""
    sys.set_int_max_str_digits(0)
    gc.disable()  # a collection would write to, and so copy, pages that the template shares
    stamps = [time.monotonic()]
    candidate = Candidate(Channel(reading, writing))
    record: dict[str, Any] = {"outcome": "error", "detail": "", "groups": {}}
    try:
        task = json.loads(read_all(tests))
        top_level = candidate.reply()
        stamps.append(time.monotonic())
        if isinstance(top_level, CandidateException):
            record |= exception_outcome(top_level)
        else:
            record |= RUNNERS[task["kind"]](candidate, task, GroupVerdicts(record["groups"], verdict))
    except CandidateGone:
        record |= {"outcome": "gone", "detail": candidate.end_reason}
    except MemoryError:
        record |= {"outcome": "memory", "detail": "the values took more memory than the grader has"}
    except RecursionError:
        record |= {"outcome": "error", "detail": "the values are nested too deeply to be compared"}
    except Exception:  # noqa: BLE001  a fault of the tests or of the sandbox is never the program's failure
        record |= {"outcome": "fault", "detail": traceback.format_exc()[-MAX_TEXT:]}
    if candidate.end_reason:  # even where a test caught it
        record |= {"outcome": "gone", "detail": candidate.end_reason}
    record |= {"calls": candidate.calls, "stamps": [*stamps, time.monotonic()]}
    write_all(verdict, json.dumps(record).encode())
    return CANDIDATE_GONE if record["outcome"] == "gone" else 0


@dataclass(frozen=True)
class GroupVerdicts:
    """Which groups of calls passed; each verdict is written at once, and stays if the clock stops a later group."""

    passes: dict[str, bool]
    descriptor: int

    def start(self, name: str) -> None:
        self.passes[name] = False

    def finish(self, name: str) -> None:
        self.passes[name] = True
        write_all(self.descriptor, json.dumps({"groups": self.passes}).encode() + b"\n")


def exception_outcome(exception: CandidateException) -> dict[str, str]:
    kind = "memory" if exception.name == "MemoryError" else "error"
    return {"outcome": kind, "detail": exception.text}


def run_asserts(candidate: Candidate, task: dict[str, Any], groups: GroupVerdicts) -> dict[str, Any]:
    """Runs test code with assertions, unchanged: the candidate's names are handles in it."""
    space: dict[str, Any] = {"__name__": "tests"}
    exec(compile(task["setup"], "<setup>", "exec", dont_inherit=True), space)  # noqa: S102  the benchmark's own code
    space |= {name: Handle(candidate, name) for name in task["names"]}
    code = compile(task["code"], "<tests>", "exec", dont_inherit=True)
    try:
        exec(code, space)  # noqa: S102
    except AssertionError as error:
        return {"outcome": "wrong", "detail": failing_line(error, task["code"])}
    except Exception as error:  # noqa: BLE001  a test that raises has failed
        if isinstance(error, MemoryError) or not hasattr(error, "of_candidate"):
            outcome = "memory" if isinstance(error, MemoryError) else "wrong"
            text = f"{type(error).__name__}: {describe_value(error, str)}"[:MAX_TEXT]
            return {"outcome": outcome, "detail": f"{text} ({failing_line(error, task['code'])})"}
        return {"outcome": "error", "detail": describe_value(error, str)}
    return {"outcome": "pass", "detail": ""}


def failing_line(error: BaseException, source: str) -> str:
    """The line of the tests that failed."""
    lines = source.split("\n")
    where = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == "<tests>"]
    return lines[where[-1] - 1].strip()[:MAX_TEXT] if where and 0 < where[-1] <= len(lines) else describe_value(error, str)


def describe_value(value: Any, describe: Callable[[Any], str] = repr) -> str:
    """The value as text, shortened; its type where it cannot be described (an array of text that is no Unicode)."""
    try:
        return describe(value)[:MAX_TEXT]
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # noqa: BLE001  whatever a program returned, its verdict is about that program alone
        return f"a {type(value).__name__} that cannot be shown ({type(error).__name__})"


def run_calls(candidate: Candidate, task: dict[str, Any], groups: GroupVerdicts) -> dict[str, Any]:
    """Calls with known outputs, group by group; the first wrong one decides its group and ends the run."""
    is_right = ORACLES[task["oracle"]]
    for name, inputs, right_outputs in task["groups"]:
        groups.start(name)
        if len(inputs) != len(right_outputs):
            raise ValueError(f"group {name!r}: {len(inputs)} inputs, {len(right_outputs)} expected outputs")
        for i, output in enumerate(call_in_chunks(candidate, task["entry"], inputs)):
            if isinstance(output, CandidateException):
                return exception_outcome(output) | {"detail": f"{name} {i}: {output.text}"}
            try:
                arguments = wire.decode_value(json.loads(inputs[i])) if task["oracle"] else ()
                right = is_right(arguments, output, wire.decode_value(right_outputs[i]), task["atol"])
            except (MemoryError, RecursionError):
                raise
            except Exception as error:  # noqa: BLE001  values that cannot be compared are not equal
                return {
                    "outcome": "wrong",
                    "detail": f"{name} {i}: {type(error).__name__}: {describe_value(error, str)}"[:MAX_TEXT],
                }
            if not right:
                return {"outcome": "wrong", "detail": f"{name} {i}: {describe_value(output)}"[:MAX_TEXT]}
        groups.finish(name)
    return {"outcome": "pass", "detail": ""}


def call_in_chunks(candidate: Candidate, entry: str, inputs: list[str]) -> Any:
    """The candidate's reply to each input (JSON text).

    Many calls travel in one message: a process switch for each call would cost more than the calls.
    """
    start = 0
    while start < len(inputs):
        end, size = start, 0
        while end < len(inputs) and end - start < CHUNK_ITEMS and (size < CHUNK_BYTES or end == start):
            size += len(inputs[end])
            end += 1
        candidate.sequence += 1
        candidate.send(f'[{candidate.sequence},"many",{json.dumps(entry)},[{",".join(inputs[start:end])}]]')
        for part in range(end - start):
            candidate.calls += 1
            yield candidate.reply(part)
        start = end


def run_record(candidate: Candidate, task: dict[str, Any], groups: GroupVerdicts) -> dict[str, Any]:
    """Calls a reference solution, whose outputs will be compared with those of other programs.

    TOO_LARGE_OUTPUT stands for an output that is too large to send, or to make at all.
    """
    outputs: list[Any] = []
    for i, output in enumerate(call_in_chunks(candidate, task["entry"], task["inputs"])):
        if isinstance(output, CandidateException) and output.name in SIZE_ERRORS:
            outputs.append(TOO_LARGE_OUTPUT)
        elif isinstance(output, CandidateException):
            return exception_outcome(output) | {"detail": f"call {i}: {output.text}"}
        else:
            try:
                outputs.append(wire.encode_value(output))
            except wire.UnsendableError as error:
                return {"outcome": "error", "detail": f"call {i}: {error}"}
    return {"outcome": "pass", "detail": "", "outputs": outputs}


RUNNERS = {"asserts": run_asserts, "calls": run_calls, "record": run_record}
