"""Hostile, cheating and honest programs of tests/sandbox, in the sandbox of a checkout."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.hostile.checkouts import Checkout, Runner
from tests.hostile.findings import Finding
from tests.sandbox.attacks import EXHAUST, REACH
from tests.sandbox.cheats import CHEATS, OWN_TESTS, RIGHT, TESTS
from tests.sandbox.honest import HONEST
from tests.sandbox.test_contained import EXHAUSTING, attempted

Program = Sequence[Any]  # name, text, tests, names that the tests use
HONEST_NAMES = ("f", "Node", "größe", "__f__")


NOT_HERE = ("No module named 'harness.sandbox'", "cannot be run safely here")  # an older checkout; a machine without namespaces


def run_programs(checkout: Checkout, limits: Mapping[str, float], programs: Sequence[Program]) -> tuple[dict[str, str], str]:
    """(the outcome of each program that has one, the last words of the run)."""
    with Runner(checkout) as runner:
        ending = runner.run("programs", limits=limits, programs=programs)
    lines = ending["output"].splitlines()
    return dict(json.loads(line) for line in lines if line.startswith("[")), ending["fault"] or (lines or [""])[-1]


def nothing_seen(names: Sequence[str], why: str) -> list[Finding]:
    """The findings of a run that failed as a whole: not there where it cannot be done, else a fault of each."""
    return [Finding(name, absent=True) if any(sign in why for sign in NOT_HERE) else Finding(name, why) for name in names]


def run_cheats(checkout: Checkout) -> list[Finding]:
    """A cheat holds if it does not pass; with them runs the right program, which must."""
    cheats = [(name, text, OWN_TESTS.get(name, TESTS), ("add",)) for name, text in CHEATS.items()]
    outcomes, words = run_programs(checkout, {"cpu_s": 1, "wall_s": 3.0}, [("right", RIGHT, TESTS, ("add",)), *cheats])
    if outcomes.get("right") != "pass":
        return nothing_seen(list(CHEATS), f"the right program ends as {outcomes.get('right', 'nothing')}: {words}")
    faults = {"pass": "passes", "": "has no outcome"}
    return [Finding(name, faults.get(outcomes.get(name, ""), "")) for name in CHEATS]


def run_honest_programs(checkout: Checkout) -> list[Finding]:
    """An honest program holds if it passes."""
    programs = [(name, text, tests, HONEST_NAMES) for name, (text, tests) in HONEST.items()]
    outcomes, words = run_programs(checkout, {}, programs)
    if not outcomes:
        return nothing_seen(list(HONEST), f"no program has an outcome: {words}")
    return [Finding(n, "" if outcomes.get(n) == "pass" else f"ends as {outcomes.get(n, 'nothing')}") for n in HONEST]


def run_hostile_programs(checkout: Checkout) -> list[Finding]:
    """Every program in two tiers, by the checkout's own tests/sandbox/outer.py, in namespaces and limits around the sandbox.

    One that reaches for something holds if it reaches nothing; one that uses things up, if it is stopped for the right reason
    and the program after it passes.
    """
    outer = checkout.folder / "tests" / "sandbox" / "outer.py"
    findings: list[Finding] = []
    for tier, user in EXHAUSTING:
        reach = [attack.name for attack in REACH if tier != "landlock" or attack.hidden]
        exhaust = {name: outcomes for name, _, outcomes in EXHAUST}
        report = attempted(tier, user, True, outer) if outer.is_file() else "an older checkout"
        if isinstance(report, str):
            findings += [Finding(f"{name}, {tier}", absent=True) for name in (*reach, *exhaust)]
        elif "error" in report:
            words = (report["error"].strip().splitlines() or ["it said nothing"])[-1]
            findings += [Finding(f"{name}, {tier}", f"its run failed: {words}") for name in (*reach, *exhaust)]
        else:
            findings += [judge_reach(f"{name}, {tier}", report["reach"].get(name)) for name in reach]
            findings += [judge_hog(f"{n}, {tier}", report["exhaust"].get(n), outcomes) for n, outcomes in exhaust.items()]
    return findings


def judge_reach(name: str, seen: Mapping[str, Any] | None) -> Finding:
    if seen is None:
        return Finding(name, absent=True)
    return Finding(name, ", ".join(sign for sign in ("reached", "heard", "changed") if seen[sign]))


def judge_hog(name: str, seen: Mapping[str, Any] | None, outcomes: Sequence[str]) -> Finding:
    if seen is None:
        return Finding(name, absent=True)
    fault = "" if seen["outcome"] in outcomes else f"ends as {seen['outcome']}"
    return Finding(name, fault or ("" if seen["after"] == "pass" else f"the next program ends as {seen['after']}"))
