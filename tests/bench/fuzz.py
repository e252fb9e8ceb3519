"""`make fuzz`: damaged files of strangers, and whether the commands that read them hold.  Prints counts for each table.

python -m tests.bench.fuzz [--seconds 60] [--seed 0] [--table checkpoints]: with --seconds 0 every case of every table once.
After the systematic cases come hypothesis' own: fields replaced by values that it makes up, bytes cut and put in.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from tests.support import damage
from tests.support.forked import Case, CaseResult, run_cases
from tests.support.hostile_tables import TABLES

JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
BATCH = 200


def random_cases(cases: Sequence[Case], seed: int, count: int) -> list[Case]:
    """Cases with the targets of others, whose damage hypothesis makes up."""
    targets = sorted({(case.name.partition(": ")[0], index) for index, case in enumerate(cases)}, key=lambda pair: pair[1])
    first = {target: cases[index] for target, index in reversed(targets)}
    made: list[Case] = []

    @seeded(seed)
    @settings(
        max_examples=count, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(
        st.sampled_from(sorted(first)), JSON_VALUES, st.binary(max_size=40), st.floats(0, 1), st.randoms(use_true_random=False)
    )
    def collect(target: str, value: Any, data: bytes, place: float, choice: random.Random) -> None:
        case = first[target]

        def act(folder: Path) -> None:
            file = folder / target
            content = file.read_bytes()
            at = int(place * len(content))
            try:
                document = json.loads(content)
                places = list(damage.list_places(document))
                changed = damage.encode(damage.replace_field(document, choice.choice(places), value))
            except ValueError:
                changed = content[:at] + data + content[at + len(data) // 2 :]
            damage.write(changed)(file)

        made.append(Case(f"{target}: made up, {len(made)} of seed {seed}", case.good, act, case.arguments, case.expects))

    collect()
    return made


def endless(cases: list[Case], seed: int) -> Iterator[Case]:
    """The systematic cases in a random order, then made up ones without end."""
    yield from random.Random(seed).sample(cases, len(cases))
    while True:
        seed += 1
        yield from random_cases(cases, seed, BATCH)


def run_table(table: str, folder: Path, seconds: float, seed: int) -> Iterator[CaseResult]:
    """The results of a table's cases: of all of them once, or of as many as the time allows."""
    cases = list(TABLES[table](folder / table))
    if not seconds:
        yield from run_cases(cases, folder)
        return
    supply, end = endless(cases, seed), time.monotonic() + seconds
    while time.monotonic() < end:
        yield from run_cases(list(islice(supply, 20)), folder)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", choices=sorted(TABLES), action="append")
    options = parser.parse_args()
    lines, failures = [], 0
    tables = options.table or list(TABLES)
    for table in tables:
        with tempfile.TemporaryDirectory() as scratch:
            counts = [0, 0]
            for result in run_table(table, Path(scratch), options.seconds / len(tables), options.seed):
                counts[result.is_held] += 1
                if not result.is_held:
                    last = ([each for each in result.output.splitlines() if each.strip()] or [""])[-2:]
                    sys.stdout.write(f"NOT HELD  {table}, {result.name!a}: code {result.code}, {last!a:.300}\n")
                    sys.stdout.flush()
        lines.append(f"{table}: {sum(counts)} cases, {counts[True]} held, {counts[False]} not held")
        failures += counts[False]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
