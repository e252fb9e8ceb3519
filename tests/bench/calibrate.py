"""Do the statistics keep their promises?  Simulations with a known truth, seeded; `make calibrate` prints the table.

`python -m tests.bench.calibrate [RUNS] [PART...]` prints the lines of some parts, named as their functions are.

A false alarm rate must not exceed its nominal 5 % by more than three Monte Carlo errors; an exact test of few flips stays
below it.  An interval must hold the truth 93 to 97 % of the time, and more often only where flips are few or where it is
simultaneous over k checkpoints.  Power must be as predicted within 3 points.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from tests.bench import alarms, coverages, edges, findings, races, rare_positives, unequal_weights

RUNS = 2000
PARTS = (
    *alarms.PARTS, *coverages.PARTS, *edges.PARTS, *rare_positives.PARTS, *unequal_weights.PARTS, *findings.PARTS, *races.PARTS
)  # fmt: skip


def main(arguments: Sequence[str] = ()) -> int:
    """Prints the table; 1 if a promise was broken."""
    start = time.monotonic()
    runs = next((int(a) for a in arguments if a.isdigit()), RUNS)
    names = [a for a in arguments if not a.isdigit()]
    by_name = {part.__name__: part for part in PARTS}
    if unknown := [name for name in names if name not in by_name]:
        print(f"No part {', '.join(unknown)}; there are: {', '.join(by_name)}.", file=sys.stderr)
        return 2
    print("| kind | what | promised, % | seen, % |\n|---|---|---|---|")
    broken_count = 0
    for part in [by_name[name] for name in names] or PARTS:
        for line in part(runs):
            print(line.text(), flush=True)
            broken_count += not line.holds
    print(f"\n{broken_count} promises broken; {runs} runs, {time.monotonic() - start:.0f} s", file=sys.stderr)
    return int(broken_count > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
