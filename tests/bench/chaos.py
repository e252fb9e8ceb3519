"""Faults at seeded moments of scoring, comparing, exporting, importing and training, and what was lost by them.

python -m tests.bench.chaos [FAULTS] [SEED] [FOLDER]     e.g. 200 0 /tmp/chaos

Each trial forks a process that works in a folder of its own and meets one fault: it is killed, the disk is full, a file may
grow no further (which tears a line in two), the folder is read-only, the clock jumps (an hour or years back, a day on), or
another writer is at work.  Then the same work is done again without a fault.  After the fault nothing that is stored may be
wrong or half; in the end everything must be as in an undisturbed run, and no answer may have been asked again but those that
were on their way.
"""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # threads do not survive a fork

from harness import api
from harness.cli.compare import write_reports
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.run import score_checkpoints
from harness.interchange.export_results import export_results
from harness.interchange.import_logs import import_logs
from harness.store import Results
from harness.system_errors import explain_system_error
from harness.trainers import sft
from harness.types import Request, Response, SkilldeltaError
from tests.support import toys
from tests.support.training_toy import chat, make_model

ITEMS = 40
KINDS = ("killed", "disk full", "file size", "read-only", "clock", "two writers")
SHARES = {"score": 8, "compare": 3, "export": 3, "import": 3, "train": 3}  # of 20 faults
JUMPS = (-3600.0, 86400.0, -10 * 365 * 86400.0)  # seconds
LEAST = 4 * ITEMS  # bytes that a file may always have: the count of answers is one
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
OK, REFUSED, FAILED, INTERNAL = 0, 3, 4, 10
REFUSALS = {"disk full": errno.ENOSPC, "read-only": errno.EROFS}


class BrokenPromiseError(Exception):
    """Something was lost, half or wrong."""


@dataclass(frozen=True)
class Trial:
    """One fault: at which file event, and of how many bytes a file may be at most."""

    work: str
    kind: str
    moment: int
    size: int


@dataclass
class Work:
    """Something that writes into a folder; `files` are what an undisturbed run leaves, `events` how often it touches files."""

    run: Callable[[Path], int]
    files: dict[str, bytes]
    events: int
    largest: int = 0


def run_forked(work: Callable[[Path], int], folder: Path, prepare: Callable[[], None]) -> int:
    """The exit code of a process that does the work; -9 where it was killed."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = INTERNAL
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(null, stream)
        prepare()
        code = work(folder)
    except SkilldeltaError:
        code = REFUSED
    except BaseException as error:  # noqa: BLE001  whatever it is, the process ends with a code, and the parent tells it
        code = REFUSED if explain_system_error(error) else INTERNAL
        if code == INTERNAL:
            folder.with_suffix(".error").write_text("".join(traceback.format_exception(error)))
    finally:
        os._exit(code)


def watch_files(folder: Path, touch: Callable[[str], object]) -> None:
    """Calls `touch` before every change to a file or folder below `folder`, by Python's own audit events."""
    root = str(folder)

    def listen(event: str, arguments: tuple[object, ...]) -> None:
        if event not in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir"):
            return
        if event == "open" and not int(str(arguments[2] or 0)) & WRITING:
            return
        path = str(arguments[1] if event == "os.rename" else arguments[0])
        if path == root or path.startswith(f"{root}/"):
            touch(event)

    sys.addaudithook(listen)


def prepare_fault(trial: Trial, folder: Path) -> None:
    """In the process: makes it meet its fault."""
    count = 0

    def touch(event: str) -> None:
        nonlocal count
        count += 1
        if count < trial.moment:
            return
        if trial.kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if event not in ("os.remove", "os.rmdir") or trial.kind == "read-only":  # a full disk lets files be removed
            raise OSError(REFUSALS[trial.kind], os.strerror(REFUSALS[trial.kind]), str(folder))

    if trial.kind == "clock":
        jump_clock(trial, folder)
    elif trial.kind == "file size":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (trial.size, resource.RLIM_INFINITY))
    elif trial.kind != "two writers":
        flush = os.fsync

        def fsync(descriptor: int) -> None:
            touch("fsync")
            flush(descriptor)

        os.fsync = fsync
        watch_files(folder, touch)


def jump_clock(trial: Trial, folder: Path) -> None:
    """In the process: the clock jumps at the trial's moment, in the middle of the work."""
    count, clock, calendar, jump = 0, time.time, time.gmtime, JUMPS[trial.size % len(JUMPS)]

    def touch(event: str) -> None:
        nonlocal count
        count += 1

    time.time = lambda: clock() + (jump if count >= trial.moment else 0.0)
    time.gmtime = lambda seconds=None: calendar(time.time() if seconds is None else seconds)
    watch_files(folder, touch)


def score(folder: Path) -> int:
    """Two tasks; every answer leaves a byte in a file beside the results."""
    asked = os.open(folder.with_suffix(".asked"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def answer(request: Request) -> Response:
        os.write(asked, b".")
        return toys.answer_sum(request)

    tasks = [toys.adding(ITEMS), toys.adding(ITEMS, "more")]
    results = Results.make(folder)
    outcomes = score_checkpoints([toys.checkpoint()], tasks, lambda _: toys.model(answer), results, EvaluationSettings())
    return FAILED if any(o.state == "failed" for o in outcomes) else OK


def train(model: str, data: Path, folder: Path) -> int:
    sft.train(sft.SFTConfig(model=model, data=(str(data),), out=str(folder), lr=3e-3, batch=4, max_steps=4, save_steps=2))
    return OK


def compare(results: Path, folder: Path) -> int:
    write_reports(api.compare(results, "base"), folder)
    return OK


def export(results: Path, folder: Path) -> int:
    export_results(results, "csv", folder)
    return OK


def import_into(logs: Path, folder: Path) -> int:
    return FAILED if any(o.state == "failed" for o in import_logs([logs], Results.make(folder))) else OK


def content_of(folder: Path) -> dict[str, bytes]:
    """What must be the same in the end: every file but those with times, costs and the paths of the run."""
    if not folder.exists():
        return {}
    variable = ("task.json", "run.json", "trainer_state.json", "rng_state.pth", "optimizer.pt", "scheduler.pt")
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {p.relative_to(folder).as_posix(): b"" if p.name in variable else p.read_bytes() for p in files}


def measure(run: Callable[[Path], int], folder: Path) -> Work:
    """An undisturbed run: what it leaves, and how many file events it has."""
    log = folder.with_suffix(".events")
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    code = run_forked(run, folder, lambda: watch_files(folder, lambda _: os.write(descriptor, b".")))
    os.close(descriptor)
    if code != OK:
        raise BrokenPromiseError(f"the undisturbed run ended with {code}")
    files = content_of(folder)
    return Work(run, files, log.stat().st_size, max(map(len, files.values())))


def check_after_fault(trial: Trial, work: Work, folder: Path) -> None:
    """Nothing that is stored is wrong or half."""
    if trial.work == "score":
        check_samples(work, folder)
        return
    whole = {name: content for name, content in content_of(folder).items() if "/." not in f"/{name}"}
    if trial.work == "train":
        finished = {p.parent.name for p in folder.glob("checkpoint-*/trainer_state.json")}
        whole = {name: content for name, content in whole.items() if name.partition("/")[0] in finished}
    if wrong := [name for name, content in whole.items() if work.files.get(name) != content]:
        raise BrokenPromiseError(f"{', '.join(wrong)}: half or wrong")


def check_samples(work: Work, folder: Path) -> None:
    for name in ("adding", "more"):
        if not (folder / "skilldelta.json").is_file():
            continue
        cell = Results(folder).cell("toy", name)
        lines = work.files[f"toy/{name}/samples.jsonl"].splitlines()
        stored = cell.samples_file.read_bytes().splitlines(keepends=True) if cell.samples_file.exists() else []
        if wrong := [line for line in stored if line.endswith(b"\n") and line.rstrip(b"\n") not in lines]:
            raise BrokenPromiseError(f"{len(wrong)} stored samples of {name} are wrong")
        if cell.record_file.exists() and cell.read().state == "done" and len(stored) != ITEMS:
            raise BrokenPromiseError(f"{name} passes for done with {len(stored)} samples")


def check_in_the_end(trial: Trial, work: Work, folder: Path) -> int:
    """Everything is as in an undisturbed run; gives how many answers were asked again."""
    files = content_of(folder)
    if unlike := sorted({name for name in files.keys() | work.files.keys() if files.get(name) != work.files.get(name)}):
        raise BrokenPromiseError(f"unlike an undisturbed run: {', '.join(unlike)}")
    if trial.work != "score":
        return 0
    asked_again = folder.with_suffix(".asked").stat().st_size - 2 * ITEMS
    # One answer at a time is on its way to its cell; a full disk refuses one for each of the two cells.
    allowed = {"killed": 1, "clock": 0, "two writers": 0}.get(trial.kind, 2)
    if not 0 <= asked_again <= allowed:
        raise BrokenPromiseError(f"{asked_again} answers were asked again")
    return asked_again


@contextmanager
def other_writer(trial: Trial, work: Work, folder: Path) -> Iterator[None]:
    """A process that is in the middle of the same work, and is killed at the end."""
    reading, writing = os.pipe()
    count = 0

    def stop(_: str) -> None:
        nonlocal count
        count += 1
        if count == trial.moment:
            os.write(writing, b".")
            signal.pause()

    child = os.fork()
    if not child:
        os.close(reading)
        watch_files(folder, stop)
        work.run(folder)
        os._exit(OK)
    os.close(writing)
    os.read(reading, 1)  # it has come to its moment, or ended
    os.close(reading)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def carry_out(trial: Trial, work: Work, folder: Path) -> tuple[int, int]:
    """One trial: the exit code of the process that met the fault, and the answers that were asked again."""
    if trial.kind == "two writers":
        with other_writer(trial, work, folder):
            code = OK
    else:
        code = run_forked(work.run, folder, lambda: prepare_fault(trial, folder))
    if code == INTERNAL:
        raise BrokenPromiseError(f"an internal error, see {folder.with_suffix('.error')}")
    check_after_fault(trial, work, folder)
    end = run_forked(work.run, folder, lambda: None)
    if end != OK and not (trial.work == "export" and code == OK):  # an export that is there is not written again
        raise BrokenPromiseError(f"the same command ended with {end}")
    return code, check_in_the_end(trial, work, folder)


def prepare_works(folder: Path) -> dict[str, Work]:
    """What is disturbed, each done once undisturbed."""
    results, data = folder / "compared", folder / "chats.jsonl"
    store = Results.make(results)
    loaders = {"base": toys.answer_sum, "tuned": lambda r: Response("4") if "7" in str(r.prompt) else toys.answer_sum(r)}
    for name, answer in loaders.items():
        score_checkpoints(
            [toys.checkpoint(name)], [toys.adding(ITEMS)], lambda _, a=answer: toys.model(a), store, EvaluationSettings()
        )
    from harness.json_lines import encode_lines

    data.write_bytes(encode_lines(chat(i) for i in range(16)))
    model = make_model(folder / "tiny")
    compare(results, folder / "warm-compare")  # what is imported now is there for every trial
    export(results, folder / "warm-export")
    export_results(results, "lm-eval", folder / "logs")
    runs = {
        "score": score,
        "compare": lambda place: compare(results, place),
        "export": lambda place: export(results, place),
        "import": lambda place: import_into(folder / "logs", place),
        "train": lambda place: train(model, data, place),
    }
    return {name: measure(run, folder / f"undisturbed-{name}") for name, run in runs.items()}


def draw_trials(works: dict[str, Work], count: int, seed: int) -> list[Trial]:
    source = random.Random(seed)
    names = [name for name, share in SHARES.items() for _ in range(share)]
    trials = []
    for number in range(count):
        work, kind = names[number * 7 % len(names)], KINDS[number % len(KINDS)]
        if kind == "two writers" and work == "train":  # a run folder has no lock
            kind = "killed"
        moment, size = source.randint(1, works[work].events), source.randint(LEAST, max(works[work].largest, LEAST))
        trials.append(Trial(work, kind, moment, size))
    return trials


def main() -> None:
    count, seed = (int(x) for x in (*sys.argv[1:3], *("200", "0")[len(sys.argv) - 1 :]))
    place = sys.argv[3] if len(sys.argv) > 3 else tempfile.mkdtemp(prefix="chaos-")
    folder = Path(place)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    works = prepare_works(folder)
    endings: Counter[tuple[str, str]] = Counter()
    broken, asked_again = [], 0
    for number, trial in enumerate(draw_trials(works, count, seed)):
        target = folder / f"trial-{number}"
        try:
            _, again = carry_out(trial, works[trial.work], target)
            asked_again += again
            shutil.rmtree(target, ignore_errors=True)
        except BrokenPromiseError as error:
            broken.append(f"{target}: {trial}: {error}")
        endings[trial.work, trial.kind] += 1
    for (work, kind), times in sorted(endings.items()):
        print(f"{work:8} {kind:12} {times}")
    print(
        f"{count} faults; answers asked again because they were on their way: {asked_again}; lost, half or wrong: {len(broken)}"
    )
    print("\n".join(broken))
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
