"""Processes that end with the one that started them, also where that was killed."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CHAIN = """
import multiprocessing, os, sys, threading
from harness.parent_process import end_with_ancestor

def work(ancestor, ids):
    end_with_ancestor(ancestor)
    ids.send(os.getpid())
    threading.Event().wait()

def lead(ancestor, ids):
    worker = multiprocessing.get_context("spawn").Process(target=work, args=(ancestor, ids))
    worker.start()
    ids.send(os.getpid())
    worker.join()

if __name__ == "__main__":
    out, ids = multiprocessing.Pipe()
    multiprocessing.get_context("spawn").Process(target=lead, args=(os.getpid(), ids)).start()
    print(out.recv(), out.recv(), flush=True)
    threading.Event().wait()
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux tells of the end of any process")
def test_a_killed_process_takes_those_below_it_along(tmp_path: Path) -> None:
    """A process that starts one that starts another, as vLLM does, of which the last alone watches the first."""
    file = tmp_path / "chain.py"
    file.write_text(CHAIN)
    with subprocess.Popen([sys.executable, str(file)], stdout=subprocess.PIPE, text=True, start_new_session=True) as first:
        assert first.stdout
        below = [os.pidfd_open(int(pid)) for pid in first.stdout.readline().split()]
        assert len(below) == 2
        assert select.select(below, [], [], 0)[0] == []
        first.send_signal(signal.SIGKILL)
        try:
            for process in below:
                assert select.select([process], [], [], 300)[0] == [process]  # it has ended
                os.close(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(first.pid, signal.SIGKILL)
