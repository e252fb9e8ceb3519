"""Runs Python that a model wrote: confined, limited, and judged by a process that the program cannot reach.

    with Sandbox() as sandbox:
        verdict = sandbox.run("def f(x):\\n    return x + 1", Asserts("assert f(1) == 2", names=("f",)))

The harness spawns a template (a fresh interpreter with a clean environment), which forks slots; a slot forks, for each
program, a candidate that holds the program and a grader that holds the tests.  Namespaces, seccomp and Landlock confine
them; seccomp and Landlock alone where a machine refuses namespaces; a container where the user chooses one.  Every verdict
names the tier in force.  harness/docs/sandbox.md lists the locks.
Not covered: defects of the kernel, side channels, and tests that are themselves too weak.
"""

from harness.sandbox.limits import ProgramLimits, paper_limits
from harness.sandbox.modes import Cooperative, Stdout
from harness.sandbox.sandbox import Sandbox, SandboxConfig
from harness.sandbox.verdict import Asserts, CallGroup, Calls, RecordCalls, SandboxError, Verdict

__all__ = [
    "Asserts", "CallGroup", "Calls", "Cooperative", "ProgramLimits", "RecordCalls", "Sandbox", "SandboxConfig", "SandboxError",
    "Stdout", "Verdict", "paper_limits",
]  # fmt: skip
