"""Two further ways of judging: by a program's standard output, and by unit tests that must share its process.

Both run a driver of this module in the candidate's process: it runs the model's program and returns the result.  A program
can forge that result where the driver itself decides (`Cooperative`), but not where the right output never enters the
sandbox (`Stdout`).
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness.sandbox.inside.wire import decode_value, encode_value
from harness.sandbox.verdict import RecordCalls, Verdict

Run = Callable[[str, RecordCalls], Verdict]

# Files serve as standard input and output; the program is __main__, and the driver waits for its threads.
STDOUT_DRIVER = """
import builtins, os, sys, threading, types

builtins.exit = builtins.quit = sys.exit

def run(program, text):
    with open("given", "w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        file.write(text)
    for number, name, flags in ((0, "given", os.O_RDONLY), (1, "printed", os.O_RDWR | os.O_CREAT)):
        descriptor = os.open(name, flags, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
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
UNITTEST_DRIVER = """
import sys, types, unittest

def run(program, tests):
    module = sys.modules["together"] = types.ModuleType("together")
    exec(compile(program + "\\n" + tests, "<together>", "exec", dont_inherit=True), module.__dict__)
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromModule(module).run(result)
    failures = [trace.strip().split("\\n")[-1][:300] for _, trace in result.failures + result.errors]
    return result.testsRun, len(result.skipped), failures
"""


@dataclass(frozen=True)
class Stdout:
    """Inputs with the right output of each, which stays in the harness and is compared there.

    A program that ends by `os._exit` fails, whatever it printed: its driver ends with it and cannot return the output.
    """

    cases: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Cooperative:
    """Unit tests that run in the program's own process, because they patch its modules: a program can forge their result."""

    code: str

    @property
    def count(self) -> int:
        """The number of test methods in the source."""
        classes = [node for node in ast.walk(ast.parse(self.code)) if isinstance(node, ast.ClassDef)]
        return sum(
            isinstance(n, ast.FunctionDef) and n.name.startswith("test") for class_node in classes for n in class_node.body
        )


def judge_by_mode(run: Run, program: str, tests: Stdout | Cooperative) -> Verdict:
    """The verdict, with the mode as its integrity."""
    return judge_stdout(run, program, tests) if isinstance(tests, Stdout) else judge_cooperative(run, program, tests)


def judge_stdout(run: Run, program: str, tests: Stdout) -> Verdict:
    """Each case in processes of its own; the first that is wrong decides."""
    verdict = Verdict("error", "there is nothing to compare", integrity="stdout")
    for i, (text, right_output) in enumerate(tests.cases):
        verdict = replace(run(STDOUT_DRIVER, driver_call(program, text)), integrity="stdout")
        if not verdict.passed:
            return replace(verdict, detail=f"case {i}: {verdict.detail}", outputs=())
        output = decode_value(verdict.outputs[0], str)
        if not isinstance(output, str) or comparable_lines(output) != comparable_lines(right_output):
            return replace(verdict, outcome="wrong", detail=f"case {i}: {output!r}"[:1000], outputs=())
    return replace(verdict, outputs=())


def comparable_lines(text: str) -> list[str]:
    """Lines without blanks at their ends, and without empty lines after the last."""
    return [line.rstrip() for line in text.rstrip().split("\n")]


def judge_cooperative(run: Run, program: str, tests: Cooperative) -> Verdict:
    """All tests in one process: a pass needs as many tests run as the source has, and none skipped."""
    verdict = replace(run(UNITTEST_DRIVER, driver_call(program, tests.code)), integrity="cooperative")
    if not verdict.passed:
        return verdict
    result = decode_value(verdict.outputs[0], str)
    if tests.count and result == (tests.count, 0, []):
        return replace(verdict, outputs=())
    return replace(
        verdict, outcome="wrong", detail=f"of {tests.count} tests ran, skipped, failed: {result!r}"[:1000], outputs=()
    )


def driver_call(program: str, argument: str) -> RecordCalls:
    return RecordCalls("run", [json.dumps(encode_value([program, argument]))])
