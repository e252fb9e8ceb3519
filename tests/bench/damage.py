"""`make damage`: how many damaged files, hostile replies and hostile programs hold, on this checkout and on an older one.

python -m tests.bench.damage [--table checkpoints] [--before COMMIT|FOLDER] prints what did not hold, and a row for each table.

A case holds if its command ends by itself within bounds of time and memory, with an exit code of its own, without a traceback,
without letters that a terminal obeys, without a key on the screen or in a file, without code of a stranger's that ran, and if
it says what it must say all the same.  A reply holds if its request ends in an answer or an error of the program's own, if no
lie is taken for an answer, and if the sound answer before it is kept.  A hostile program holds if it reaches nothing, a cheat
if it does not pass, an honest program if it passes.  The older checkout runs the same cases by its own command line; what it
has no command or flag for is counted as not there.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.hostile.checkouts import ROOT, Checkout
from tests.hostile.findings import Finding
from tests.hostile.tables import FILE_TABLES, TABLES, remove, run_table

COLUMNS = ("table", "cases", "held before", "held now")


def find_checkout(before: str, scratch: Path) -> Path:
    """The folder of an older checkout: the one named, or the files of a commit of this repository."""
    if Path(before, "harness").is_dir():
        return Path(before).resolve()
    archive = scratch / "before.tar"
    done = subprocess.run(
        ["git", "-C", str(ROOT), "archive", "-o", str(archive), before], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{before} is neither a folder with a checkout nor a commit of {ROOT}: {done.stderr.strip()}")
    with tarfile.open(archive) as opened:
        opened.extractall(scratch / "before", filter="data")
    return scratch / "before"


def count(findings: Iterable[Finding]) -> str:
    """held of cases, and how many are not there."""
    there = [finding for finding in findings if not finding.absent]
    absent = len(list(findings)) - len(there)
    held = sum(not finding.fault for finding in there)
    return (f"{held} of {len(there)}" if there else "not run") + (f", {absent} not there" if absent and there else "")


def print_faults(when: str, table: str, findings: Sequence[Finding]) -> int:
    """Prints what does not hold, and what of today's own commands is not there; how many lines these are."""
    lines = [f"NOT HELD {when}: {table}, {f.name!a}: {f.fault!a}\n" for f in findings if f.fault]
    if when == "now" and table in FILE_TABLES:  # programs are not there where a machine cannot confine them
        lines += [f"NOT THERE now: {table}, {f.name!a}: its command fails without damage\n" for f in findings if f.absent]
    sys.stdout.write("".join(lines))
    sys.stdout.flush()
    return len(lines)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--table", choices=sorted(TABLES), action="append")
    parser.add_argument("--before", default="", help="a commit, or the folder of a checkout")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="damage-"))
    try:
        older = [find_checkout(options.before, scratch)] if options.before else []
        rows, failures = [], 0
        for table in options.table or list(TABLES):
            counts = []
            for when, folder in [*(("before", each) for each in older), ("now", ROOT)]:
                findings = run_table(table, Checkout(folder), scratch / f"{table}-{when}", options.jobs)
                faults = print_faults(when, table, findings)
                counts.append(count(findings))
            failures += faults  # of today's, the last
            rows.append((table, str(len(findings)), *counts))
        names = COLUMNS if older else COLUMNS[:2] + COLUMNS[3:]
        widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
        for row in (names, *rows):
            sys.stdout.write(" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")
    finally:
        remove(scratch)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
