"""A stage for tests: python -m tests.stage_toy FILE NAME [CODE] writes its name, and ends with a code.

With the code "wait" it opens FILE, a pipe, for reading, and waits until somebody writes.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    file, name, *code = sys.argv[1:]
    if code == ["wait"]:
        Path(file).read_text()
    with Path(file).open("a") as stream:
        stream.write(name + "\n")
    sys.stdout.write(f"{name} says hello\n")
    sys.exit(int(code[0]) if code else 0)
