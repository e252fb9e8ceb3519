"""Two further ways of judging: by what a program prints, and by unit tests that must share its process.

Both run a program of this module's in the place of the candidate, which runs the model's program and says what came of it.
What it says can be forged where it decides itself (`Cooperative`); it cannot where the right output never enters the
sandbox (`Stdout`).
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness.sandbox.inside.wire import decode, encode
from harness.sandbox.verdict import Record, Verdict

Run = Callable[[str, Record], Verdict]

# Standard input is a file, standard output another; the program is __main__, and its threads are waited for.
PRINTING = """
import builtins, os, sys, threading, types

builtins.exit = builtins.quit = sys.exit

def run(program, given):
    with open("given", "w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        file.write(given)
    for number, name, flags in ((0, "given", os.O_RDONLY), (1, "printed", os.O_RDWR | os.O_CREAT)):
        opened = os.open(name, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        exec(compile(program, "<program>", "exec", dont_inherit=True), main.__dict__)
    except SystemExit as end:
        if end.code not in (None, 0):
            raise RuntimeError(f"ended with status {end.code!r}")
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    sys.stdout.flush()
    with open("printed", encoding="utf-8", errors="replace") as file:
        return file.read()
"""
# Program and tests are one module, as BigCodeBench has them.
TOGETHER = """
import sys, types, unittest

def run(program, tests):
    module = sys.modules["together"] = types.ModuleType("together")
    exec(compile(program + "\\n" + tests, "<together>", "exec", dont_inherit=True), module.__dict__)
    found = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromModule(module).run(found)
    failed = [told.strip().split("\\n")[-1][:300] for _, told in found.failures + found.errors]
    return found.testsRun, len(found.skipped), failed
"""


@dataclass(frozen=True)
class Stdout:
    """Inputs with the text that must be printed for each; what is right is compared here and never enters the sandbox.

    A program that ends by `os._exit` fails, whatever it printed: nobody is left to say what that was.
    """

    cases: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Cooperative:
    """Unit tests that run in the program's own process, for they patch what is in it: a program can forge them."""

    code: str

    @property
    def count(self) -> int:
        """Test methods in the source."""
        classes = [node for node in ast.walk(ast.parse(self.code)) if isinstance(node, ast.ClassDef)]
        return sum(isinstance(n, ast.FunctionDef) and n.name.startswith("test") for found in classes for n in found.body)


def judge(run: Run, program: str, tests: Stdout | Cooperative) -> Verdict:
    """The verdict, with the mode as its integrity."""
    return printed(run, program, tests) if isinstance(tests, Stdout) else cooperative(run, program, tests)


def printed(run: Run, program: str, tests: Stdout) -> Verdict:
    """Each case in processes of its own; the first that is wrong decides."""
    verdict = Verdict("error", "there is nothing to compare", integrity="stdout")
    for i, (given, expected) in enumerate(tests.cases):
        verdict = replace(run(PRINTING, asked(program, given)), integrity="stdout")
        if not verdict.passed:
            return replace(verdict, detail=f"case {i}: {verdict.detail}", outputs=())
        found = decode(verdict.outputs[0], str)
        if not isinstance(found, str) or lines(found) != lines(expected):
            return replace(verdict, outcome="wrong", detail=f"case {i}: {found!r}"[:1000], outputs=())
    return replace(verdict, outputs=())


def lines(text: str) -> list[str]:
    """Lines without space at their ends, and without empty ones at the end of all."""
    return [line.rstrip() for line in text.rstrip().split("\n")]


def cooperative(run: Run, program: str, tests: Cooperative) -> Verdict:
    """All tests in one process; as many must have run, and none been skipped, as there are in the source."""
    verdict = replace(run(TOGETHER, asked(program, tests.code)), integrity="cooperative")
    if not verdict.passed:
        return verdict
    found = decode(verdict.outputs[0], str)
    if tests.count and found == (tests.count, 0, []):
        return replace(verdict, outputs=())
    return replace(
        verdict, outcome="wrong", detail=f"of {tests.count} tests ran, skipped, failed: {found!r}"[:1000], outputs=()
    )


def asked(program: str, other: str) -> Record:
    return Record("run", [json.dumps(encode([program, other]))])
