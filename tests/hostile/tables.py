"""The tables of `make damage`, and how their cases are run on a checkout and judged."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from tests.hostile import programs
from tests.hostile.checkouts import Checkout, Runner
from tests.hostile.edits import MARKER, SECRET, put
from tests.hostile.findings import Finding
from tests.support.forked import Case
from tests.support.hostile_server import KEY, QUESTION, Attack, Ending, reply, serve

FORK = multiprocessing.get_context("fork")  # cases are functions, which no other way of starting a process takes along
RIGHT = ((0,), (0, 1, 2))  # exit codes of a command without damage; the gate's verdicts are three
Work = Callable[[Runner, Any, Path], Finding]


def is_raw(text: str) -> bool:
    """Whether a terminal would obey letters of a text, or show it in another order."""
    return any(
        letter in "\x7f\u202a\u202b\u202d\u202e\u2066\u2067\u2068" or (not letter.isprintable() and ord(letter) < 0xA0)
        for letter in text
        if letter not in "\n\t\r"
    )


def find_fault(case: Case, ending: dict[str, Any], place: Path) -> str:
    """Why a command does not hold, "" where it does."""
    output = ending["output"]
    lines = [line for line in output.splitlines() if line.strip() and "report it with the lines above" not in line] or [""]
    faults = {
        ending["fault"]: ending["fault"],
        "runs a stranger's code": (place / MARKER).exists(),
        f"exit code {ending['code']}: {lines[-1][-200:]}": ending["code"] not in range(6),
        "prints a traceback": "Traceback (most recent call last)" in output,
        "prints letters that a terminal obeys": is_raw(output),
        "shows a key": SECRET in output,
        "stores a key": any(SECRET.encode() in file.read_bytes() for file in written_files(place / "case")),
        f"does not say {case.expects!r}": case.expects not in output,
    }
    return next((fault for fault, is_so in faults.items() if is_so), "")


def written_files(folder: Path) -> list[Path]:
    """Ordinary files of modest size that the command wrote."""
    found = [file for top in ("out", "page") for file in (folder / top).rglob("*")]
    return [file for file in found if file.is_file() and not file.is_symlink() and file.stat().st_size < 50_000_000]


def remove(folder: Path) -> None:
    """Removes a folder, however deep its folders and whatever their rights."""
    if folder.exists():
        subprocess.run(["chmod", "-R", "u+rwX", str(folder)], check=False, stderr=subprocess.DEVNULL)  # of links to nothing
        subprocess.run(["rm", "-rf", str(folder)], check=True)


def run_in_copy(runner: Runner, case: Case, place: Path) -> tuple[Finding, dict[str, Any]]:
    """Damages a fresh copy of the case's good folder and runs its command on it; the finding, and how the command ended."""
    remove(place)
    folder = place / "case"
    shutil.copytree(case.good, folder, symlinks=True)
    case.damage(folder)
    ending = runner.run("command", arguments=case.arguments(folder), folder=str(folder))
    if ending["code"] in (2, 3) and ("No such command" in ending["output"] or "No such option" in ending["output"]):
        return Finding(case.name, absent=True), ending
    return Finding(case.name, find_fault(case, ending, place)), ending


def run_file_case(runner: Runner, case: Case, place: Path) -> Finding:
    return run_in_copy(runner, case, place)[0]


def run_reply(runner: Runner, attack: Attack, place: Path) -> Finding:
    """Asks a server that answers with the attack."""
    with serve(attack.behaviour) as url:
        choices = [QUESTION[:-4], QUESTION[-4:]] if attack.choices else []
        ended = runner.run("server", url=url, key=attack.key, choices=choices, timeout=attack.timeout)
    if ended["fault"] or ended["code"]:
        return Finding(attack.name, ended["fault"] or f"exit code {ended['code']}: {ended['output'][-200:]}")
    ending = Ending(**json.loads(ended["output"].splitlines()[-1]))
    faults = {
        f"raises {ending.kind}": ending.kind not in ("answer", "error", "cell"),
        "takes a lie for an answer": ending.kind == "answer" and "answer" not in attack.wanted,
        "loses the answer before": not ending.sound and attack.key == KEY,  # an odd key may be refused at once
        "shows the key": ending.leaks,
        "prints letters that a terminal obeys": ending.kind != "answer" and is_raw(ending.text),
    }
    return Finding(attack.name, "; ".join(fault for fault, is_so in faults.items() if is_so))


def run_side_by_side(cases: Sequence[Any], work: Work, checkout: Checkout, scratch: Path, jobs: int) -> list[Finding]:
    """What every case comes to, in their order."""
    counter = FORK.Value("l", 0)

    def work_through(results: Connection) -> None:
        with Runner(checkout) as runner:
            while True:
                with counter.get_lock():
                    index = counter.value
                    counter.value += 1
                if index >= len(cases):
                    return
                results.send((index, work(runner, cases[index], scratch / str(os.getpid()))))

    workers = []
    ends: dict[Any, Connection] = {}
    for _ in range(jobs):
        here, there = FORK.Pipe(duplex=False)
        worker = FORK.Process(target=work_through, args=(there,))
        worker.start()
        there.close()
        workers.append(worker)
        ends[here] = here
    findings: dict[int, Finding] = {}
    while ends:
        for end in wait(list(ends)):
            try:
                index, finding = ends[end].recv()
                findings[index] = finding
            except EOFError:
                del ends[end]
    for worker in workers:
        worker.join()
        if worker.exitcode:
            raise RuntimeError(f"A process that runs cases on {checkout.folder} has ended with {worker.exitcode}.")
    return [findings[index] for index in range(len(cases))]


def verb_of(case: Case) -> str:
    """The command of a case, as its name says it."""
    return case.name.partition(", by ")[2]


def without_damage(cases: Sequence[Case]) -> dict[str, Case]:
    """A case of each command, in which nothing is damaged: where YAML is tried, a sound file of its kind."""
    from tests.hostile.yaml_cases import FILE, sound_text

    controls = {}
    for case in cases:
        verb = verb_of(case)
        controls[verb] = Case(verb, case.good, put(FILE, sound_text(verb)), case.arguments, case.expects)
    return controls


def run_file_table(cases: Sequence[Case], checkout: Checkout, scratch: Path, jobs: int) -> list[Finding]:
    """What every case comes to; those of a command that fails where nothing is damaged are not there."""

    def run_control(runner: Runner, case: Case, place: Path) -> Finding:
        finding, ending = run_in_copy(runner, case, place)
        return Finding(case.name, finding.fault, absent=finding.absent or ending["code"] not in RIGHT[case.name == "gate"])

    controls = run_side_by_side(list(without_damage(cases).values()), run_control, checkout, scratch, jobs)
    absent = {control.name for control in controls if control.absent}
    there = [case for case in cases if verb_of(case) not in absent]
    findings = {finding.name: finding for finding in run_side_by_side(there, run_file_case, checkout, scratch, jobs)}
    return [findings.get(case.name) or Finding(case.name, absent=True) for case in cases]


def checkpoint_table(good: Path, older: bool) -> list[Case]:
    from tests.hostile.checkpoint_files import make_good
    from tests.hostile.checkpoint_settings import checkpoint_cases

    make_good(good)
    return list(checkpoint_cases(good))


def result_table(good: Path, older: bool) -> list[Case]:
    from tests.hostile.result_cases import make_results, result_cases

    make_results(good, older)
    return list(result_cases(good))


def yaml_table(good: Path, older: bool) -> list[Case]:
    from tests.hostile.yaml_cases import make_yaml_folder, yaml_cases

    make_yaml_folder(good, older)
    return list(yaml_cases(good))


def import_table(good: Path, older: bool) -> list[Case]:
    from tests.hostile.import_cases import import_cases, make_import_folder

    make_import_folder(good)
    return list(import_cases(good))


def reply_table() -> list[Attack]:
    from tests.hostile.key_disguises import ODD_KEYS
    from tests.hostile.server_cases import FURTHER_REPLIES
    from tests.support.hostile_server import ATTACKS, FINE
    from tests.support.odd_replies import ANY, ODD_REPLIES

    keys = [Attack(f"a key with {name}", reply(FINE), ANY, key=key) for name, key in ODD_KEYS.items()]
    return [*ATTACKS, *ODD_REPLIES, *FURTHER_REPLIES, *keys]


FILE_TABLES: dict[str, Callable[[Path, bool], list[Case]]] = {
    "checkpoints": checkpoint_table, "results": result_table, "YAML": yaml_table, "imports": import_table,
}  # fmt: skip
PROGRAM_TABLES: dict[str, Callable[[Checkout], list[Finding]]] = {
    "hostile-programs": programs.run_hostile_programs,
    "cheating-programs": programs.run_cheats,
    "honest-programs": programs.run_honest_programs,
}
TABLES = (*FILE_TABLES, "replies", *PROGRAM_TABLES)


def run_table(table: str, checkout: Checkout, scratch: Path, jobs: int) -> list[Finding]:
    """What the cases of a table come to on a checkout."""
    if table in PROGRAM_TABLES:
        return PROGRAM_TABLES[table](checkout)
    if table == "replies":
        return run_side_by_side(reply_table(), run_reply, checkout, scratch, jobs)
    cases = FILE_TABLES[table](scratch / "good", checkout.is_older)
    return run_file_table(cases, checkout, scratch, jobs)
