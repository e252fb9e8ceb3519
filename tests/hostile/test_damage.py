"""`make damage` tells what holds and what not, on a toy program with every fault; its commands are right without damage."""

import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import damage
from tests.hostile import edits, programs
from tests.hostile.checkouts import ROOT, Checkout, Runner
from tests.hostile.findings import Finding
from tests.hostile.tables import (
    FILE_TABLES,
    remove,
    reply_table,
    run_file_case,
    run_file_table,
    run_side_by_side,
    verb_of,
)
from tests.support.forked import Case, run_command
from tests.support.results_folder import sample, store_scores

PROGRAM = f"""
import os, sys
def main(arguments):
    [what, folder] = arguments
    print("listed: neighbour")
    if what == "internal": sys.exit(10)
    if what == "error": raise ValueError("a defect")
    if what == "escapes": print("\\x1b[31mred")
    if what == "turned": print("\\u202egnp.exe")
    if what == "key": print({edits.SECRET!r})
    if what == "key in a file": os.mkdir(folder + "/out"); open(folder + "/out/x", "w").write({edits.SECRET!r})
    if what == "code": open(folder + "/../{edits.MARKER}", "w").close()
    if what == "wait": os.read(os.pipe()[0], 1)
    if what == "abort": os.abort()
    if what == "memory": bytearray(1 << 40)
    if what == "command": print("No such command 'x'."); sys.exit(2)
    if what == "damaged": sys.exit(3 if os.path.exists(folder + "/x") else 0)
    sys.exit(3)
"""
FAULTS = {
    "internal": "exit code 10",
    "error": "exit code 10",
    "escapes": "a terminal obeys",
    "turned": "a terminal obeys",
    "key": "shows a key",
    "key in a file": "stores a key",
    "code": "runs a stranger's code",
    "wait": "hangs",
    "abort": "SIGABRT",
    "memory": "exit code 10",
    "fine": "",
    "damaged": "",
    "command": "",
}


@pytest.fixture
def toy(tmp_path: Path) -> Checkout:
    """A checkout whose program does what its argument says."""
    package = tmp_path / "toy" / "harness"
    package.mkdir(parents=True)
    for name, text in {"__init__": "", "types": "", "store": "FORMAT = 2\n", "cli": PROGRAM}.items():
        (package / f"{name}.py").write_text(text)
    (tmp_path / "good").mkdir()
    return Checkout(tmp_path / "toy")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy needs no library, and is waited for a second."""
    start, run = Runner.__init__, Runner.run
    monkeypatch.setattr(Runner, "__init__", lambda self, checkout: start(self, checkout, ()))
    monkeypatch.setattr(Runner, "run", lambda self, kind, **request: run(self, kind, idle=1.0, **request))


def case(good: Path, what: str, expects: str = "neighbour") -> Case:
    return Case(what, good, edits.put("x", "damage"), lambda folder: [what, str(folder)], expects)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_every_fault_is_seen_and_what_holds_has_none(toy: Checkout, tmp_path: Path) -> None:
    cases = [*(case(tmp_path / "good", what) for what in FAULTS), case(tmp_path / "good", "fine", "another")]
    findings = run_side_by_side(cases, run_file_case, toy, tmp_path / "scratch", jobs=2)
    for finding, expected in zip(findings, [*FAULTS.values(), "does not say 'another'"], strict=True):
        assert expected in finding.fault, finding
        assert bool(finding.fault) == bool(expected), finding
        assert finding.absent == (finding.name == "command")


@pytest.mark.usefixtures("quick")
def test_what_a_command_does_not_read_without_damage_is_not_there(toy: Checkout, tmp_path: Path) -> None:
    cases = [replace(case(tmp_path / "good", what), name=f"a, by {what}") for what in ("fine", "damaged")]
    findings = run_file_table(cases, toy, tmp_path / "scratch", jobs=1)
    assert [(finding.absent, finding.fault) for finding in findings] == [(True, ""), (False, "")]


def test_a_deep_folder_without_rights_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # which also leads back
    deep = tmp_path / "a"
    for _ in range(1200):
        deep.mkdir()
        os.chdir(deep)
        deep = Path("d")
    os.chdir(tmp_path)
    (tmp_path / "a").chmod(0)
    remove(tmp_path / "a")
    remove(tmp_path / "a")  # what is gone is no error
    assert not (tmp_path / "a").exists()


def test_a_count_tells_what_is_not_there_from_what_holds() -> None:
    findings = [Finding("a"), Finding("b", "hangs"), Finding("c", absent=True)]
    assert damage.count(findings) == "1 of 2, 1 not there"
    assert damage.count(findings[2:]) == "not run"
    assert damage.print_faults("before", "results", findings) == 1
    assert damage.print_faults("now", "results", findings) == 2  # a command of today's that fails without damage is a fault
    assert damage.print_faults("now", "hostile-programs", findings) == 1


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("run", [programs.run_cheats, programs.run_honest_programs])
def test_programs_of_a_sandbox_that_fails_are_faults_and_those_of_none_are_not_there(
    run: Callable[[Checkout], list[Finding]], toy: Checkout
) -> None:
    assert all(finding.absent and not finding.fault for finding in run(toy))
    (toy.folder / "harness" / "sandbox.py").write_text("raise RuntimeError('a defect of the sandbox')")
    findings = run(toy)
    assert findings
    assert all("a defect of the sandbox" in finding.fault and not finding.absent for finding in findings)


def test_a_hostile_run_that_fails_is_a_fault_of_each_program(toy: Checkout) -> None:
    assert all(finding.absent for finding in programs.run_hostile_programs(toy))  # it has no such run
    outer = toy.folder / "tests" / "sandbox" / "outer.py"
    outer.parent.mkdir(parents=True)
    outer.write_text("raise SystemExit('a defect of the run')")
    findings = programs.run_hostile_programs(toy)
    if all(finding.absent for finding in findings):
        pytest.skip("this machine cannot run hostile programs safely")
    assert any("a defect of the run" in finding.fault for finding in findings)
    assert all(finding.absent or "its run failed" in finding.fault for finding in findings)


def test_an_older_checkout_is_found_by_its_folder_or_its_commit(toy: Checkout, tmp_path: Path) -> None:
    assert damage.find_checkout(str(toy.folder), tmp_path) == toy.folder.resolve()
    assert (damage.find_checkout("HEAD", tmp_path) / "harness" / "store.py").is_file()
    with pytest.raises(SystemExit, match="neither a folder with a checkout nor a commit"):
        damage.find_checkout("nothing-of-that-name", tmp_path)


def test_results_in_the_words_of_format_1_are_the_same_results(tmp_path: Path) -> None:
    printed = []
    for older in (False, True):
        folder = tmp_path / str(older)
        for name in ("base", "cand"):
            store_scores(folder, name, "sums", [1.0, 0.0, float(name == "cand")])
        if older:
            edits.write_as_format_1(folder)
        printed.append(run_command(["compare", str(folder), "--baseline", "base", "--json"]))
    assert printed[0][0] == 0
    assert printed[0][1].replace("/False", "/True") == printed[1][1]


@pytest.mark.parametrize("older", [False, True])
def test_an_edit_finds_a_field_by_its_key_of_either_format(older: bool, tmp_path: Path) -> None:
    store_scores(tmp_path, "cand", "sums", [1.0])
    if older:
        edits.write_as_format_1(tmp_path)
    edits.fields("cand/sums/task.json", "inputs", draws=0)(tmp_path)
    edits.every_line("cand/sums/samples.jsonl", extracted="=1")(tmp_path)
    record = json.loads((tmp_path / "cand/sums/task.json").read_text())
    row = json.loads((tmp_path / "cand/sums/samples.jsonl").read_text())
    assert record["asked" if older else "inputs"]["draws"] == 0
    assert row["read_as" if older else "extracted"] == "=1"
    assert len(row) == len(json.loads(json.dumps(edits_of_sample())))


def edits_of_sample() -> dict[str, object]:
    from harness.sample_lines import sample_to_json

    return sample_to_json(sample(0, 1.0))


@pytest.mark.slow
@pytest.mark.parametrize("table", FILE_TABLES)
def test_the_commands_of_a_table_are_right_where_nothing_is_damaged(table: str, tmp_path: Path) -> None:
    """The control: what a case ends with is the damage's doing.  With it goes a seeded part of the table, which holds."""
    build: Callable[[Path, bool], list[Case]] = FILE_TABLES[table]
    cases = build(tmp_path / "good", False)
    assert len({one.name for one in cases}) == len(cases)
    of_each_verb = {verb_of(one): one for one in cases}  # of which run_file_table() tries the command without damage first
    chosen = [*of_each_verb.values(), *random.Random(len(cases)).sample(cases, 12)]
    findings = run_file_table(chosen, Checkout(ROOT), tmp_path / "scratch", jobs=2)
    assert not [finding for finding in findings if finding.fault or finding.absent]


def test_each_reply_is_there_once() -> None:
    names = [attack.name for attack in reply_table()]
    assert len(names) == len(set(names)) > 330
