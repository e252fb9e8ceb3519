"""How the sandbox's interpreter is started: with an environment of ten fixed variables, and what it imports alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "HOME": "/",
}
# The template imports harness.sandbox.inside without running the __init__ of its parents: they belong to the harness, and
# every module that the template loads is memory that programs inherit.
START_PROGRAM = """
import sys, types
for name, path in (("harness", sys.argv[1]), ("harness.sandbox", sys.argv[1] + "/sandbox")):
    package = types.ModuleType(name); package.__path__ = [path]; sys.modules[name] = package
from harness.sandbox.inside import entrance
entrance.main(*sys.argv[2:])
"""
INTERPRETER_ARGUMENTS = ["-P", "-s", "-S", "-B", "-c", START_PROGRAM, str(Path(__file__).parent.parent)]  # then the socket


def environment_names() -> Sequence[str]:
    """The variables of a program's environment."""
    return sorted([*ENVIRONMENT, "TMPDIR"])
