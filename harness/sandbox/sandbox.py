"""The sandbox: runs programs that nobody has read, and judges them in a process that they cannot reach."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Self

from harness.sandbox import modes, tiers
from harness.sandbox.limits import ProgramLimits
from harness.sandbox.modes import Cooperative, Stdout
from harness.sandbox.process import Slot, SlotTemplate
from harness.sandbox.verdict import Asserts, RecordCalls, SandboxError, Tests, Tier, Verdict, decide_outcome
from harness.visible_text import replace_surrogates

ATTEMPTS = 2
ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")  # of an object, in the text of an exception: chance, which must not be stored
VISIBLE_FOLDER = "/tmp"  # noqa: S108  as a program's own folder is named in what is stored
# The stages of a run: handing the program to a slot, forking its two processes, locking them down (until the grader is ready),
# running the program's top level, its tests, ending and reaping both processes, tidying the scratch folder, reporting.
STAGES = ("hand over", "fork", "lock down", "load", "test", "end", "tidy", "report")


@dataclass(frozen=True)
class SandboxConfig:
    """The set-up of a sandbox.

    `tier`: "" for the strongest that this machine allows; "none", which must be named, runs programs unconfined.
    """

    limits: ProgramLimits = field(default_factory=ProgramLimits)
    workers: int = 0  # programs at a time; 0: one per processor
    packages: tuple[str, ...] = ("numpy",)
    tier: Tier | str = ""


class Sandbox:
    """Runs programs and judges them; several threads may use it.  A context manager.

    Programs whose text names one of the packages run in processes that have loaded it, all others in lighter ones.
    """

    def __init__(self, config: SandboxConfig | None = None) -> None:
        self.config = config or SandboxConfig()
        self.workers = self.config.workers or os.cpu_count() or 1
        self.owner = os.getpid()
        self.tier: Tier = tiers.choose_tier(self.config.tier, self.config.limits)
        self.run_gate = RunGate(self.workers)
        self.pools: dict[bool, SlotPool] = {}
        self.lock = threading.Lock()
        names = "|".join(map(re.escape, self.config.packages))
        self.package_names = re.compile(rf"\b(?:{names})\b" if names else r"(?!)")

    def run(self, program: str, tests: Tests | Stdout | Cooperative, limits: ProgramLimits | None = None) -> Verdict:
        """Runs `program` and judges it.  SandboxError if the sandbox itself fails twice.

        A program that the wall clock stopped before half its processor time was used runs again, alone: the machine was busy.
        """
        if os.getpid() != self.owner:
            raise SandboxError("This sandbox belongs to the process that made it; make another one after a fork.")
        if isinstance(tests, Stdout | Cooperative):
            return modes.judge_by_mode(lambda driver, record: self.run(driver, record, limits), program, tests)
        run_limits = limits or self.config.limits
        with self.run_gate.one_of_many():
            verdict = self.judge_with_retry(program, tests, run_limits)
        if verdict.outcome == "timeout" and verdict.wall_s >= run_limits.wall and verdict.cpu_s < run_limits.cpu_s / 2:
            with self.run_gate.alone():
                verdict = self.judge_with_retry(program, tests, run_limits)
        return verdict

    def judge_with_retry(self, program: str, tests: Tests, limits: ProgramLimits) -> Verdict:
        """One run, and one more if the sandbox failed."""
        packages = bool(self.package_names.search(f"{program}\n{package_text(tests)}"))
        for attempt in range(ATTEMPTS):
            pool = None
            try:
                pool = self.get_pool(packages)
                return replace(run_once(pool, program, tests, limits), tier=self.tier)
            except (SandboxError, OSError) as error:  # OSError: no process, descriptor, memory or place on a disk is left
                if pool:
                    self.drop_dead_pool(packages, pool)
                if attempt + 1 == ATTEMPTS:
                    if isinstance(error, SandboxError):
                        raise
                    raise SandboxError(f"No program can be run: {error}") from error
        raise AssertionError("not reached")

    def get_pool(self, packages: bool) -> SlotPool:
        """The slots with or without the packages; the first call makes them."""
        with self.lock:
            if packages not in self.pools:
                names = self.config.packages if packages else ()
                self.pools[packages] = SlotPool(SlotTemplate(self.tier, names, self.config.limits, self.workers))
            return self.pools[packages]

    def drop_dead_pool(self, packages: bool, pool: SlotPool) -> None:
        """Closes a pool whose template has ended: the next program gets a new one."""
        with self.lock:
            if self.pools.get(packages) is pool and pool.template.has_ended():
                del self.pools[packages]
                pool.close()

    def settings(self) -> dict[str, Any]:
        """The settings that can change a verdict, as JSON."""
        return {"tier": self.tier, "packages": list(self.config.packages), **self.config.limits.settings()}

    def close(self) -> None:
        with self.lock:
            for pool in self.pools.values():
                pool.close()
            self.pools.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def package_text(tests: Tests) -> str:
    """The text, besides the program, that may name packages: test code, or the arguments of a lone recorded call.

    A lone call is a driver's (modes.py), whose argument is the model's program.
    """
    if isinstance(tests, Asserts):
        return f"{tests.code}\n{tests.setup}"
    return tests.inputs[0] if isinstance(tests, RecordCalls) and len(tests.inputs) == 1 else ""


def run_once(pool: SlotPool, program: str, tests: Tests, limits: ProgramLimits) -> Verdict:
    """One run in one slot."""
    start = time.monotonic()
    with pool.borrow_slot() as slot:
        report, record, output = slot.run(program, tests, limits)
        slot.reusable = report["reusable"]
        outcome, detail = decide_outcome(report, record, limits)
        detail = detail.replace(slot.folder, VISIBLE_FOLDER)  # its name is chance, outside of namespaces
    return Verdict(
        outcome=outcome,
        detail=ADDRESS.sub("at 0x...", replace_surrogates(detail))[:1000],
        groups=record.get("groups", {}),
        output=output,
        outputs=record.get("outputs", ()),
        cpu_s=report["cpu"],
        wall_s=report["wall"],
        stages=stage_seconds(start, report["stamps"], record.get("stamps", [])),
    )


def stage_seconds(start: float, slot: list[float], grader: list[float]) -> dict[str, float]:
    """Seconds between time stamps; all processes read the same clock.  Empty where the tests did not end."""
    if len(grader) < 3:  # the program's top level never ended
        return {}
    fork_end = min(slot[1], grader[0])  # where processes share a processor, the grader is ready before the slot hears of it
    points = (start, slot[0], fork_end, *grader, *slot[2:], time.monotonic())
    return {name: end - begin for name, begin, end in zip(STAGES, points, points[1:], strict=False)}


class SlotPool:
    """A template with those of its slots that are free."""

    def __init__(self, template: SlotTemplate) -> None:
        self.template = template
        self.free: list[Slot] = []
        self.lock = threading.Lock()

    @contextlib.contextmanager
    def borrow_slot(self) -> Iterator[Slot]:
        """A slot for one run.  It returns to the pool if it may run another program."""
        with self.lock:
            slot = self.free.pop() if self.free else None
        slot = slot or self.template.new_slot()
        try:
            yield slot
        except BaseException:
            slot.close()
            raise
        if slot.reusable:
            with self.lock:
                self.free.append(slot)
        else:
            slot.close()

    def close(self) -> None:
        for slot in self.free:
            slot.close()
        self.template.close()


class RunGate:
    """Lets `width` programs run at a time, or one alone."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.inside = 0
        self.waiting = 0  # programs that wait to run alone: they go first, or they might wait for ever
        self.turn = threading.Condition()

    @contextlib.contextmanager
    def one_of_many(self) -> Iterator[None]:
        with self.turn:
            self.turn.wait_for(lambda: self.inside < self.width and not self.waiting)
            self.inside += 1
        try:
            yield
        finally:
            self.leave(1)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
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
