"""How many replies of a hostile server hold: `python -m tests.bench.hostile_server`, about half a minute.

A reply holds if its request ends by itself within 20 s, as an answer or as an error of the request or its cell, whichever fits;
if the sound answer before it is kept; and if nothing that can be read holds the key, or what a terminal would obey.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections import Counter

from harness import http
from tests.support.hostile_server import ATTACKS, Attack, attack
from tests.support.odd_replies import ODD_REPLIES

LIMIT = 20.0  # seconds
FORK = multiprocessing.get_context("fork")


def find_faults(one: Attack) -> list[str]:
    """What is wrong with how an attack ends; [] where it holds."""
    for name in ("MAX_PAUSE", "MAX_PAUSE_SECONDS"):
        if hasattr(http, name):
            setattr(http, name, 0.05)
    ending = attack(one)
    kinds = [] if ending.kind in one.wanted else [f"ends as {ending.kind}, not {' or '.join(one.wanted)}"]
    signs = {"loses the answer before": not ending.sound, "shows the key": ending.leaks, "has raw escapes": ending.is_raw}
    return kinds + [sign for sign, is_so in signs.items() if is_so]


def find_faults_in_time(one: Attack) -> list[str]:
    """The same in a process of its own, which is ended after LIMIT."""
    here, there = FORK.Pipe(duplex=False)
    process = FORK.Process(target=lambda: there.send(find_faults(one)), daemon=True)
    process.start()
    there.close()
    try:
        return here.recv() if here.poll(LIMIT) else [f"has not ended after {LIMIT:.0f} s"]
    except EOFError:
        return ["ends the process"]
    finally:
        process.kill()
        process.join()


def main() -> None:
    faults = {one.name: find_faults_in_time(one) for one in [*ATTACKS, *ODD_REPLIES]}
    for name, wrong in faults.items():
        if wrong:
            sys.stdout.write(f"{name.encode('unicode_escape').decode()}: {'; '.join(wrong)}\n")
    kinds = Counter(fault for wrong in faults.values() for fault in wrong)
    for fault, count in kinds.most_common():
        sys.stdout.write(f"{count:4} {fault}\n")
    held = sum(not wrong for wrong in faults.values())
    sys.stdout.write(f"{held} of {len(faults)} replies hold.\n")


if __name__ == "__main__":
    main()
