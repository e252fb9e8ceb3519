"""Do the statistics keep their promises?  Simulations with a known truth, seeded; `make calibrate` prints the table.

A false alarm rate must not exceed its nominal 5 % by more than three Monte Carlo errors; an exact test of few flips stays
below it.  An interval must hold the truth 93 to 97 % of the time, and more often only where flips are few or where it is
simultaneous over k checkpoints.  Power must be as predicted within 3 points.
"""

from __future__ import annotations

import sys
import time

from tests.bench import alarms, coverages, edges, findings, races

RUNS = 2000
PARTS = (*alarms.PARTS, *coverages.PARTS, *edges.PARTS, *findings.PARTS, *races.PARTS)


def main(runs: int = RUNS) -> int:
    """Prints the table; 1 if a promise was broken."""
    start = time.monotonic()
    print("| kind | what | promised, % | seen, % |\n|---|---|---|---|")
    broken_count = 0
    for part in PARTS:
        for line in part(runs):
            print(line.text(), flush=True)
            broken_count += not line.holds
    print(f"\n{broken_count} promises broken; {runs} runs, {time.monotonic() - start:.0f} s", file=sys.stderr)
    return int(broken_count > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS))
