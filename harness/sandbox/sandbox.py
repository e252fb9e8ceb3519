"""The sandbox: runs programs that nobody has read, and judges them where they cannot reach."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from harness.sandbox import modes, tiers
from harness.sandbox.limits import Limits
from harness.sandbox.modes import Cooperative, Stdout
from harness.sandbox.process import Packages, Slot, Template
from harness.sandbox.verdict import Asserts, Reading, Record, SandboxError, Tests, Tier, Verdict, outcome

ATTEMPTS = 2
# What a program's time goes into: handing it to a slot, forking its two processes, locking them down (the grader is the first
# to be ready), running the program's top level, its tests, ending and reaping both, tidying the scratch folder, reporting.
STAGES = ("hand over", "fork", "lock down", "load", "test", "end", "tidy", "report")


@dataclass(frozen=True)
class Options:
    """How a sandbox is set up.

    `tier`: "" for the strongest that this machine allows; "none" runs programs unconfined, for those who ask for it by name.
    """

    limits: Limits = field(default_factory=Limits)
    workers: int = 0  # programs at a time; 0: one per processor
    packages: tuple[str, ...] = ("numpy",)
    tier: Tier | str = ""


class Sandbox:
    """Runs programs and judges them; may be used from several threads.  A context manager.

    Programs that name one of the packages run in processes that have loaded it; all others in lighter ones.
    """

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self.workers = self.options.workers or os.cpu_count() or 1
        self.owner = os.getpid()
        self.tier: Tier = tiers.choose(self.options.tier, self.options.limits)
        self.gate = Gate(self.workers)
        self.pools: dict[bool, Pool] = {}
        self.lock = threading.Lock()
        names = "|".join(map(re.escape, self.options.packages))
        self.wants_packages = re.compile(rf"\b(?:{names})\b" if names else r"(?!)")

    def run(self, program: str, tests: Tests | Stdout | Cooperative, limits: Limits | None = None) -> Verdict:
        """Runs `program` and judges it.  SandboxError if the sandbox itself fails twice.

        A program that the wall clock stopped before it had used half its processor time is run again, with nothing beside it.
        """
        if os.getpid() != self.owner:
            raise SandboxError("This sandbox belongs to the process that made it; make another one after a fork.")
        if isinstance(tests, Stdout | Cooperative):
            return modes.judge(lambda driver, record: self.run(driver, record, limits), program, tests)
        allowed = limits or self.options.limits
        with self.gate.shared():
            verdict = self.judge(program, tests, allowed)
        if verdict.outcome == "timeout" and verdict.wall_s >= allowed.wall and verdict.cpu_s < allowed.cpu_s / 2:
            with self.gate.exclusive():
                verdict = self.judge(program, tests, allowed)
        return verdict

    def judge(self, program: str, tests: Tests, limits: Limits) -> Verdict:
        """One run, and one more if the sandbox failed."""
        packages = bool(self.wants_packages.search(f"{program}\n{told(tests)}"))
        for attempt in range(ATTEMPTS):
            pool = self.pool(packages)
            try:
                return replace(once(pool, program, tests, limits), tier=self.tier)
            except SandboxError:
                self.renew(packages, pool)
                if attempt + 1 == ATTEMPTS:
                    raise
        raise AssertionError("not reached")

    def pool(self, packages: bool) -> Pool:
        """The slots with or without the packages, made when they are first needed."""
        with self.lock:
            if packages not in self.pools:
                names = self.options.packages if packages else ()
                self.pools[packages] = Pool(Template(self.tier, Packages(names), self.options.limits, self.workers))
            return self.pools[packages]

    def renew(self, packages: bool, pool: Pool) -> None:
        """Lets go of a pool whose template has ended: the next program gets a new one."""
        with self.lock:
            if self.pools.get(packages) is pool and pool.template.process.poll() is not None:
                del self.pools[packages]
                pool.close()

    def settings(self) -> dict[str, Any]:
        """What moves a verdict, for the record."""
        return {"tier": self.tier, "packages": list(self.options.packages), **self.options.limits.settings()}

    def close(self) -> None:
        with self.lock:
            for pool in self.pools.values():
                pool.close()
            self.pools.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def told(tests: Tests) -> str:
    """The text in which packages may be named besides the program: test code, or what a record's one call is given."""
    if isinstance(tests, Asserts):
        return f"{tests.code}\n{tests.setup}"
    return tests.inputs[0] if isinstance(tests, Record) and len(tests.inputs) == 1 else ""


def once(pool: Pool, program: str, tests: Tests, limits: Limits) -> Verdict:
    """One run in one slot."""
    started = time.monotonic()
    with pool.slot() as slot:
        report, record, output = slot.run(program, tests, limits)
        slot.spent = report["spent"]
        found, detail = outcome(Reading(report, record, limits.cpu_s, limits.wall))
    return Verdict(
        outcome=found,
        detail=clean(detail)[:1000],
        groups=record["groups"] if record else {},
        output=output,
        outputs=record.get("outputs", ()) if record else (),
        cpu_s=report["cpu"],
        wall_s=report["wall"],
        stages=stages(started, report["stamps"], record["stamps"] if record else []),
    )


def stages(started: float, slot: list[float], grader: list[float]) -> dict[str, float]:
    """Seconds from one stamp to the next; all processes read the same clock.  Empty where the tests did not end."""
    if len(grader) < 3:  # the program never loaded
        return {}
    points = (started, *slot[:2], *grader, *slot[2:], time.monotonic())
    return {name: end - begin for name, begin, end in zip(STAGES, points, points[1:], strict=False)}


def clean(text: str) -> str:
    """Without lone surrogates, which no file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


class Pool:
    """Slots of one template that are free, and the template."""

    def __init__(self, template: Template) -> None:
        self.template = template
        self.free: list[Slot] = []
        self.lock = threading.Lock()

    @contextlib.contextmanager
    def slot(self) -> Iterator[Slot]:
        """A slot for one run.  It is used again only if nothing was wrong with it."""
        with self.lock:
            slot = self.free.pop() if self.free else None
        slot = slot or self.template.slot()
        try:
            yield slot
        except BaseException:
            slot.close()
            raise
        if slot.spent:
            slot.close()
        else:
            with self.lock:
                self.free.append(slot)

    def close(self) -> None:
        for slot in self.free:
            slot.close()
        self.template.close()


class Gate:
    """Lets `width` programs through at a time, or one that must be alone."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.inside = 0
        self.waiting = 0  # for the whole gate
        self.turn = threading.Condition()

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        with self.turn:
            self.turn.wait_for(lambda: self.inside < self.width and not self.waiting)
            self.inside += 1
        try:
            yield
        finally:
            self.leave(1)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        with self.turn:
            self.waiting += 1
            self.turn.wait_for(lambda: self.inside == 0)
            self.inside = self.width
            self.waiting -= 1
        try:
            yield
        finally:
            self.leave(self.width)

    def leave(self, places: int) -> None:
        with self.turn:
            self.inside -= places
            self.turn.notify_all()
