"""The command line: `python -m harness`, or this file by its path (see registry.command_line)."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Before a working folder with packages `tasks` or `reports` of its own.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from harness.cli import main

    main()
