"""The template runs the code of a grader and a candidate before it forks any.

The interpreter adapts code and fills caches while it runs: in memory that a forked process shares until it writes to it, page
by page, and each such page costs more than the call that wrote to it.  What has adapted here is written to no more.
"""

from __future__ import annotations

import os
import sys
import types
from dataclasses import dataclass
from typing import Any

from harness.sandbox.inside import grader, wire
from harness.sandbox.inside.candidate import NAME, CandidateObjects, GraderLine, run_program
from harness.sandbox.inside.candidate_client import Candidate
from harness.sandbox.inside.channel import Channel

ROUNDS = 16  # after which the interpreter writes to none of this code
PROGRAM = b"""
from typing import List

def answer(values: List[int], name: str = "") -> List[int]:
    \"\"\"Values.\"\"\"
    return sorted(v * 2 for v in values) + [len(name)]
"""
OUTPUT = [2, 4, 1]
ASSERTS = """
def check(candidate):
    assert candidate([2, 1], "a") == [2, 4, 1]
    assert (candidate([2, 1], "a"), 0.5) == ([2, 4, 1], 0.5)

check(answer)
"""
TASKS: tuple[dict[str, Any], ...] = (
    {"kind": "calls", "oracle": "", "entry": "answer", "atol": 0, "groups": [["base", ['[[2, 1], "a"]'] * 3, [OUTPUT] * 3]]},
    {"kind": "asserts", "setup": "from typing import List", "names": ["answer"], "code": ASSERTS},
)


def warm_up() -> None:
    """Both sides of the conversation, in this process alone; RuntimeError where one does not understand the other."""
    questions, replies, nothing = os.pipe(), os.pipe(), os.open("/dev/null", os.O_WRONLY)
    try:
        for task in ROUNDS * TASKS:
            run_task(task, Channel(questions[0], replies[1]), (replies[0], questions[1]), nothing)
    finally:
        for descriptor in (*questions, *replies, nothing):
            os.close(descriptor)


def run_task(task: dict[str, Any], candidate_channel: Channel, grader_ends: tuple[int, int], verdict: int) -> None:
    module = types.ModuleType(NAME)
    line = GraderLine(candidate_channel, CandidateObjects(module), (sys.stdout.flush, sys.stderr.flush))
    line.answer(0, 0, lambda: run_program(PROGRAM, module))
    candidate = Candidate(AnsweredChannel(*grader_ends, line))
    top_level = candidate.reply()
    record = grader.RUNNERS[task["kind"]](candidate, task, grader.GroupVerdicts({}, verdict))
    if top_level is not None or record["outcome"] != "pass":
        raise RuntimeError(f"the sandbox's own program fails: {wire.dumps(record)}")


@dataclass
class AnsweredChannel(Channel):
    """The grader's end of the pipes; what it sends is answered at once, in the same process."""

    reading: int
    writing: int
    line: GraderLine

    def send(self, text: str) -> None:
        super().send(text)
        self.line.serve_request()
