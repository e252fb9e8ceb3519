"""The process of a study's stage: forked from a server that holds the heavy libraries, it runs one command of this program."""

from __future__ import annotations

import multiprocessing
import os
import resource
import runpy
import sys
from collections.abc import Sequence
from multiprocessing import forkserver

from harness import own_packages, registry
from harness.parent_process import end_with_parent
from harness.system_errors import explain_system_error
from harness.types import SkilldeltaError

# Imported once, by the process that stages are forked from: this saves seconds of processor time for each of them.
PRELOADED_MODULES = [
    "transformers.models.llama.modeling_llama",
    *(f"harness.trainers.{name}" for name in registry.modules("trainers")),
    "harness.backends.transformers",
    "harness.cli",
    "harness.api",
    "tasks.world",
]


def run_stage(arguments: Sequence[str], folder: str, log: str) -> None:
    """In the process of a stage: `python -m ARGUMENTS` in a folder, with what it says in a file."""
    end_with_parent()
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(target, stream)
    os.chdir(folder)
    sys.argv[1:] = arguments[1:]
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    except (OSError, SkilldeltaError) as error:
        reason = str(error) if isinstance(error, SkilldeltaError) else explain_system_error(error)
        if not reason:
            raise
        sys.exit(reason)
    finally:
        sys.stdout.flush()
        processor_seconds = sum(resource.getrusage(who).ru_utime for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        sys.stderr.write(f"\nprocessor time: {processor_seconds:.1f} s\n")


def fork_server() -> multiprocessing.context.ForkServerContext:
    """Where the processes of stages come from: a server that holds the heavy libraries, forked for each stage."""
    # Small models: one thread each, and the processors are shared by stages.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED_MODULES)
    # The server would look in the working folder first, and take a user's own package `harness` or `tasks` for ours.
    before = {name: os.environ.get(name) for name in ("PYTHONSAFEPATH", "PYTHONPATH")}
    paths = [str(own_packages.ROOT), *filter(None, [before["PYTHONPATH"]])]
    os.environ |= {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}
    try:
        forkserver.ensure_running()
    finally:  # for the server alone: other programs that this process starts look where the user expects
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
    return context
