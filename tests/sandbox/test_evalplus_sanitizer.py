"""The program found in an answer against EvalPlus's sanitizer: whatever that reads, is read here.

EvalPlus's own requirements do not fit beside this project's, so the sanitizer runs in an interpreter of its own:

    python -m venv PEER && PEER/bin/pip install --no-deps evalplus==0.3.1 tree-sitter tree-sitter-python tqdm termcolor
    SKILLDELTA_EVALPLUS=PEER/bin/python pytest tests/sandbox/test_evalplus_sanitizer.py
"""

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.sandbox.extract import extract_program

PEER = """
import json, sys, types
stub = types.ModuleType("evalplus.data")  # it fetches data sets; the sanitizer itself needs none
stub.__getattr__ = lambda name: None
sys.modules["evalplus.data"] = stub
from evalplus.sanitize import sanitize
print("ready", flush=True)
for line in sys.stdin:
    print(json.dumps(sanitize(json.loads(line), "solve")), flush=True)
"""
VARIABLE = "SKILLDELTA_EVALPLUS"


class Sanitizer:
    """EvalPlus's sanitizer in a process of its own, which stays."""

    def __init__(self, python: str) -> None:
        self.process = subprocess.Popen([python, "-c", PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.read_line() == "ready"

    def read_line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def sanitize(self, text: str) -> str:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(text) + "\n")
        self.process.stdin.flush()
        return str(json.loads(self.read_line()))


@pytest.fixture(scope="module")
def sanitizer() -> Iterator[Sanitizer]:
    if not os.environ.get(VARIABLE):
        pytest.skip(f"{VARIABLE} names no interpreter that has EvalPlus's sanitizer")
    peer = Sanitizer(os.environ[VARIABLE])
    yield peer
    peer.process.kill()
    peer.process.wait()
    for stream in (peer.process.stdin, peer.process.stdout):
        assert stream
        stream.close()


IMPORTS = st.sampled_from(
    ["", "import math\n", "from math import floor, sqrt as root\n", "import math, os\nfrom typing import List\n"]
)
CONSTANTS = st.sampled_from(["", "BASE = 7\n", "TABLE = [\n    1,\n    2,\n]\n", "BASE: int = 7\n", "X, Y = 1, 2\n"])
HELPERS = st.sampled_from(
    [
        "",
        "def helper(n):\n    return n + 1\n",
        "class Helper:\n    step = 1\n    def add(self, n):\n        return n + self.step\n",
        "def outer(n):\n    def inner(m):\n        return m + 1\n    return inner(n)\n\ndef helper(n):\n    return outer(n)\n",
    ]
)
DOCSTRINGS = st.sampled_from(
    ["", '    """Adds one."""\n', '    """Adds.\n\n    >>> solve(1)\n    2\n    """\n', "    # a comment\n", "\n"]
)
BODIES = st.sampled_from(
    [
        "    return n + 1\n",
        "    if n > 3:\n        return n + 1\n\n    return 1 + n\n",
        "    total = (\n        n\n        + 1\n    )\n    return total\n",
        "    for step in range(1):\n        n += 1\n    return n\n",
        "    try:\n        return n + 1\n    finally:\n        pass\n",
    ]
)
USES = st.sampled_from(
    [
        "",
        "print(solve(3))\n",
        "assert solve(1) == 5\n",
        "for i in range(3):\n    print(solve(i))\n",
        "result = solve(2)\nprint(result)\n",
        'if __name__ == "__main__":\n    print(solve(int(input())))\n',
        "def test():\n    assert solve(1) == 3\n    return True\n\ntest()\n",
        "solve('x' * 3)\n",
        "# Example:\n# solve(3)\n",
    ]
)
PROSE = st.sampled_from(
    [
        "",
        "Here is the function:",
        "Sure! It's easy (see below).",
        "### Solution",
        "1. First, add one.\n2. Then return it.",
        "Note",
        "- item",
        "This isn't hard: use `solve(1)`.",
        "> quoted",
        'He said "add',
        "Yes, indeed",
        "```",
        "[BEGIN]",
        "def",
        "The code (in Python",
    ]
)
FENCES = st.sampled_from(
    [
        ("", ""),
        ("```python\n", "```"),
        ("```\n", "```"),
        ("```Python\n", "```"),
        ("```python2\n", "```\n"),
        ("~~~\n", "~~~"),
        ("```py title=x\n", "```"),
        ("Code: ```python\n", "```"),
        ("1. ```python\n", "```"),
        ("```python\n", ""),
        ("", "```"),
        ("[BEGIN]\n", "[DONE]"),
    ]
)


@st.composite
def answers(draw: st.DrawFn) -> str:
    """A right program, in the dress of a chat answer."""
    body = draw(BODIES)
    helper = draw(HELPERS)
    if "def helper" in helper and draw(st.booleans()):
        body = "    return helper(n)\n"
    program = f"{draw(IMPORTS)}{draw(CONSTANTS)}\n{helper}\ndef solve(n):\n{draw(DOCSTRINGS)}{body}"
    opening, closing = draw(FENCES)
    return f"{draw(PROSE)}\n\n{opening}{program}\n{draw(USES)}{closing}\n\n{draw(PROSE)}\n"


def works(program: str) -> bool:
    """Does it add one?  Only programs of this file are run."""
    space: dict[str, Any] = {"__name__": "candidate"}
    try:
        exec(program, space)
        return [space["solve"](n) for n in (0, 5)] == [1, 6]
    except Exception:  # noqa: BLE001  any failure means that it does not
        return False


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=answers())
def test_what_evalplus_reads_is_read_here(text: str, sanitizer: Sanitizer) -> None:
    if works(sanitizer.sanitize(text)):
        assert works(extract_program(text, "solve")), text


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(text=answers())
def test_a_right_program_is_found_in_every_dress(text: str) -> None:
    """Also where EvalPlus reads too much or too little."""
    assert works(extract_program(text, "solve")), text
