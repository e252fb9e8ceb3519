"""Runs Python that a model wrote: contained, bounded, and judged by a process that the program cannot reach.

    with Sandbox() as sandbox:
        verdict = sandbox.run("def f(x):\\n    return x + 1", Asserts("assert f(1) == 2", names=("f",)))

The harness spawns a template (a fresh interpreter with a clean environment), which forks slots; a slot forks, for each
program, a candidate that holds the program and a grader that holds the tests.  Confinement is by namespaces, seccomp and
Landlock, by the last two where a machine refuses namespaces, or by a container where one is asked for; which is in force is
in every verdict.
Not promised: defects of the kernel, side channels, and tests that are themselves too weak.
"""

from harness.sandbox.limits import Limits, paper
from harness.sandbox.modes import Cooperative, Stdout
from harness.sandbox.sandbox import Options, Sandbox
from harness.sandbox.verdict import Asserts, Calls, Group, Record, SandboxError, Verdict

__all__ = [
    "Asserts", "Calls", "Cooperative", "Group", "Limits", "Options", "Record", "Sandbox", "SandboxError", "Stdout", "Verdict",
    "paper",
]  # fmt: skip
