"""A stage for tests: python -m tests.support.stage_toy FILE NAME [CODE] writes its name, and ends with a code.

With the code "wait" it writes its process's number to FILE, whole or not at all, and waits for ever.
"""

import os
import signal
import sys
from pathlib import Path

from harness.atomic_files import write_bytes

if __name__ == "__main__":
    file, name, *code = sys.argv[1:]
    if code == ["wait"]:
        write_bytes(Path(file), str(os.getpid()).encode())
        signal.pause()
    with Path(file).open("a") as stream:
        stream.write(name + "\n")
    sys.stdout.write(f"{name} says hello\n")
    sys.exit(int(code[0]) if code else 0)
