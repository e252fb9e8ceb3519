"""The workers of a cluster: what each is at, what becomes of the work of one that is lost, and who takes what no other can.

A thread for each worker takes jobs from one queue.  Each job has a home, the worker that is to hold its checkpoint; others help
when nothing is left to begin.  The job of a lost worker goes back to the queue; a worker that cannot take a checkpoint leaves
it to the others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from harness.cluster.hosts import Host, HostLostError, HostStarter, Job
from harness.cluster.orders import LAST_REPLIES, Failure, Unfit
from harness.evaluation.work_queue import WorkQueue
from harness.types import SkilldeltaError

MAX_LOSSES = 3  # workers that a job may take with it
MAX_WAIT_S = 600.0  # for which a run waits while it has no worker
START_S = 60.0  # for which a worker that starts may still be the one that takes what the others cannot
RETRY_S = 1.0  # before a worker is started again that was lost as it started
MAX_STARTS = 5  # workers in a row that may be lost as they start


class HostSlot:
    """A place for a worker: the one that is there, and what it could not take."""

    def __init__(self, pool: HostPool, name: str) -> None:
        self.pool, self.name = pool, name
        self.host: Host | None = None
        self.refusals: dict[int, str] = {}  # by checkpoint
        self.problem = ""  # why no worker comes here
        self.is_free = False  # whether nothing is left to begin here
        self.since = time.monotonic()  # when the start of the present worker began
        self.thread = threading.Thread(target=self.run, name=name, daemon=True)

    def run(self) -> None:
        """Keeps a worker here, and gives it jobs, until the pool is closed."""
        starts = 0
        while not self.pool.is_closed():
            self.since, self.refusals, starts = time.monotonic(), {}, starts + 1
            try:
                self.host = self.pool.starter.start(self.pool.is_closed)
            except HostLostError as error:
                if starts == MAX_STARTS:
                    return self.give_up(f"{starts} workers in a row were lost as they started: {error}")
                self.pool.note_loss(f"a worker was lost as it started: {error}")
                self.pool.closing.wait(RETRY_S)
                continue
            except Exception as error:  # noqa: BLE001  it is told where the run waits for workers
                return self.give_up(str(error) if isinstance(error, SkilldeltaError) else f"{type(error).__name__}: {error}")
            starts = 0
            try:
                self.serve(self.host)
            finally:
                self.host.stop()
                self.since = time.monotonic()  # before there is none: the next one is expected
                self.host = None
        return None

    def give_up(self, problem: str) -> None:
        """No worker comes here."""
        self.problem = problem
        self.pool.say(problem)

    def is_expected(self) -> bool:
        """Whether there is a worker, or one starts that may soon be there."""
        return self.host is not None or (not self.problem and time.monotonic() - self.since < START_S)

    def serve(self, host: Host) -> None:
        """Gives the worker jobs until it is lost or the pool is closed."""
        while (job := self.pool.take(self)) is not None:
            try:
                for reply in host.work(job.order, job.requests):
                    if isinstance(reply, Unfit):
                        self.pool.refuse(self, job, reply.reason)
                    else:
                        job.replies.put((job.unit, reply))
                    if isinstance(reply, LAST_REPLIES):  # a worker that is lost now has done this job
                        break
            except HostLostError as error:
                self.pool.lose(self, job, host, str(error))
                return
            except Exception as error:  # noqa: BLE001  nobody else would answer who waits for the replies
                job.replies.put((job.unit, Failure.of(error)))
                return


class HostPool:
    """All workers of a run."""

    def __init__(self, starter: HostStarter, size: int, remark: Callable[[str], None] = lambda text: None) -> None:
        self.starter, self.remark = starter, remark
        self.queue: WorkQueue[Job] = WorkQueue()
        self.condition = threading.Condition()
        self.closing = threading.Event()
        self.slots = {name: HostSlot(self, name) for name in (f"worker {number + 1}" for number in range(size))}
        self.losses = 0
        self.remarks: set[str] = set()
        self.last_problem = "The cluster has no room for one"
        self.last_time = time.monotonic()  # when a worker was last there

    def is_closed(self) -> bool:
        return self.closing.is_set()

    def start(self) -> None:
        for slot in self.slots.values():
            slot.thread.start()

    def running(self) -> int:
        """How many workers there are now."""
        return sum(slot.host is not None for slot in self.slots.values())

    def say(self, text: str) -> None:
        """Tells the user, once."""
        with self.condition:
            is_new = text not in self.remarks
            self.remarks.add(text)
        if is_new and not self.is_closed():
            self.remark(text)

    def free(self, name: str) -> None:
        """Nothing is left to begin for a worker: it helps the others."""
        with self.condition:
            self.slots[name].is_free = True
            self.condition.notify_all()

    def submit(self, job: Job, first: bool = False) -> None:
        with self.condition:
            if self.is_closed():
                job.replies.put((job.unit, None))
                return
            self.queue.add(job, first)
            self.condition.notify_all()

    def withdraw(self, jobs: Iterable[Job]) -> None:
        """Takes back what no worker has begun: nobody waits for it any more."""
        with self.condition:
            waiting = list(self.queue)
            for job in jobs:
                if any(job is other for other in waiting):
                    self.queue.remove(job)

    def take(self, slot: HostSlot) -> Job | None:
        """The next job for a worker, once there is one; None when the pool is closed."""
        with self.condition:
            while not self.is_closed():
                exclusions = {c for c, jobs in self.queue.by_checkpoint.items() if not self.may_take(slot, c, jobs)}
                if (job := self.queue.next(slot.name, exclusions)) is not None:
                    return job
                self.condition.wait(RETRY_S)
        return None

    def may_take(self, slot: HostSlot, checkpoint: int, jobs: Iterable[Job]) -> bool:
        """Whether a worker takes jobs of a checkpoint: its own, those that nobody else will take, and as help."""
        if checkpoint in slot.refusals:
            return False
        if slot.is_free or self.queue.last_checkpoint.get(slot.name) == checkpoint:
            return True
        homes = (self.slots[job.home] for job in jobs)
        return any(home is slot or not home.is_expected() or checkpoint in home.refusals for home in homes)

    def lose(self, slot: HostSlot, job: Job, host: Host, reason: str) -> None:
        """A worker is lost: its job is for another one, but not for ever."""
        job.losses += 1
        if job.losses >= MAX_LOSSES:
            way_out = "Does it need more memory than a worker has?  The same command continues from the stored samples."
            text = f"{job.losses} workers were lost over it, the last on {host.machine} ({reason}).  {way_out}"
            job.replies.put((job.unit, Failure(text)))
        with self.condition:
            self.queue.forget(slot.name)
        if job.losses < MAX_LOSSES:
            self.submit(job, first=True)
        self.note_loss(f"{slot.name} on {host.machine} is lost ({reason}); what it was at is asked again")

    def note_loss(self, text: str) -> None:
        self.last_problem = text
        if not self.is_closed():
            self.losses += 1
            self.remark(text)

    def refuse(self, slot: HostSlot, job: Job, reason: str) -> None:
        """A worker cannot take a job's checkpoint: the others may."""
        slot.refusals[job.checkpoint] = reason
        with self.condition:
            self.queue.forget(slot.name)
        self.submit(job, first=True)
        self.say(f"{job.order.checkpoint.name} is left to other workers: {reason}")

    def check(self) -> None:
        """Fails the jobs that no worker can take.  SkilldeltaError where there are no workers, and none comes."""
        slots = list(self.slots.values())
        if self.running():
            self.last_time = time.monotonic()
            with self.condition:
                for job in [job for job in self.queue if self.is_refused_by_all(job)]:
                    self.queue.remove(job)
                    reasons = dict.fromkeys(s.refusals[job.checkpoint] for s in slots if job.checkpoint in s.refusals)
                    job.replies.put((job.unit, Failure("no worker can take it: " + "; ".join(reasons) + ".")))
        elif all(slot.problem for slot in slots):
            raise SkilldeltaError("No worker could be started.  " + "\n".join(dict.fromkeys(slot.problem for slot in slots)))
        elif time.monotonic() - self.last_time > MAX_WAIT_S:
            raise SkilldeltaError(
                f"For {MAX_WAIT_S:.0f} s there was no worker.  {self.last_problem}.\n"
                "Ask for less with --cluster-args, or give the cluster more machines; the same command continues."
            )

    def is_refused_by_all(self, job: Job) -> bool:
        slots = [slot for slot in self.slots.values() if slot.is_expected()]
        return bool(slots) and all(job.checkpoint in slot.refusals for slot in slots)

    def close(self) -> None:
        """Ends all workers; who waits for replies gets None."""
        self.closing.set()
        with self.condition:
            for job in list(self.queue):
                job.replies.put((job.unit, None))
            self.queue = WorkQueue()
            self.condition.notify_all()
        for slot in self.slots.values():
            if (host := slot.host) is not None:
                host.stop()
        for slot in self.slots.values():
            if slot.thread.is_alive():
                slot.thread.join()
