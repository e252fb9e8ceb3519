"""Hostile, cheating and honest programs of tests/sandbox, in the sandbox of a checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.hostile.checkouts import Checkout, Runner
from tests.hostile.findings import Finding
from tests.sandbox.attacks import EXHAUST, REACH
from tests.sandbox.cheats import CHEATS, OWN_TESTS, RIGHT, TESTS
from tests.sandbox.honest import HONEST
from tests.sandbox.test_contained import EXHAUSTING, NAMESPACES, USER, cgroups, interpreter

Program = Sequence[Any]  # name, text, tests, names that the tests use
HONEST_NAMES = ("f", "Node", "größe", "__f__")


def run_programs(checkout: Checkout, limits: Mapping[str, float], programs: Sequence[Program]) -> dict[str, str]:
    """The outcome of each program that has one."""
    with Runner(checkout) as runner:
        ending = runner.run("programs", limits=limits, programs=programs)
    lines = [line for line in ending["output"].splitlines() if line.startswith("[")]
    return dict(json.loads(line) for line in lines)


def run_cheats(checkout: Checkout) -> list[Finding]:
    """A cheat holds if it does not pass; with them runs the right program, which must."""
    cheats = [(name, text, OWN_TESTS.get(name, TESTS), ("add",)) for name, text in CHEATS.items()]
    outcomes = run_programs(checkout, {"cpu_s": 1, "wall_s": 3.0}, [("right", RIGHT, TESTS, ("add",)), *cheats])
    if outcomes.get("right") != "pass":
        return [Finding(name, absent=True) for name in CHEATS]
    faults = {"pass": "passes", "": "has no outcome"}
    return [Finding(name, faults.get(outcomes.get(name, ""), "")) for name in CHEATS]


def run_honest_programs(checkout: Checkout) -> list[Finding]:
    """An honest program holds if it passes."""
    programs = [(name, text, tests, HONEST_NAMES) for name, (text, tests) in HONEST.items()]
    outcomes = run_programs(checkout, {}, programs)
    if not outcomes:
        return [Finding(name, absent=True) for name in HONEST]
    return [Finding(n, "" if outcomes.get(n) == "pass" else f"ends as {outcomes.get(n, 'nothing')}") for n in HONEST]


def run_hostile_programs(checkout: Checkout) -> list[Finding]:
    """Every program in two tiers, by the checkout's own tests/sandbox/outer.py, in namespaces and limits around the sandbox.

    One that reaches for something holds if it reaches nothing; one that uses things up, if it is stopped for the right reason
    and the program after it passes.
    """
    findings: list[Finding] = []
    for tier, user in EXHAUSTING:
        report = observe(checkout, tier, user)
        reach, exhaust = report.get("reach", {}), report.get("exhaust", {})
        names = [attack.name for attack in REACH if tier != "landlock" or attack.hidden]
        findings += [judge_reach(f"{name}, {tier}", reach.get(name)) for name in names]
        findings += [judge_hog(f"{name}, {tier}", exhaust.get(name), outcomes) for name, _, outcomes in EXHAUST]
    return findings


def judge_reach(name: str, seen: Mapping[str, Any] | None) -> Finding:
    faults = [sign for sign in ("reached", "heard", "changed") if seen and seen[sign]]
    return Finding(name, ", ".join(faults), absent=seen is None)


def judge_hog(name: str, seen: Mapping[str, Any] | None, outcomes: Sequence[str]) -> Finding:
    if seen is None:
        return Finding(name, absent=True)
    fault = "" if seen["outcome"] in outcomes else f"ends as {seen['outcome']}"
    return Finding(name, fault or ("" if seen["after"] == "pass" else f"the next program ends as {seen['after']}"))


def observe(checkout: Checkout, tier: str, user: int | None) -> dict[str, Any]:
    """What was seen of every program in a tier; {} where this machine, or this user, cannot run it safely."""
    outer = checkout.folder / "tests" / "sandbox" / "outer.py"
    if (user is not None and os.geteuid() != 0) or not outer.is_file():
        return {}
    python = interpreter(USER if tier == "landlock" and os.geteuid() == 0 else user)
    unshare = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), *NAMESPACES]
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    try:
        with cgroups() as groups:
            request = {"tier": tier, "uid": user, "only": [], "exhaust": True, "cgroups": groups}
            done = subprocess.run(
                [*unshare, python, "-B", str(outer)], input=json.dumps(request), capture_output=True, text=True, check=False,
                env={"PATH": os.environ["PATH"], "TMPDIR": str(folder)},
            )  # fmt: skip
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return report
