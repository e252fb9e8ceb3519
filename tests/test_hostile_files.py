"""Files of strangers, damaged in every way: the command that reads one ends, says what is wrong, and goes on with the others.

A seeded part of each table of tests/support/hostile_tables.py; `make fuzz` takes all of them, and makes up more.
"""

import errno
import json
import os
import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness import json_texts
from harness.atomic_files import write_json
from harness.bounded_files import UnreadableFileError, read_bytes, read_stored_json
from harness.cli import main
from harness.comparison.load import load_results
from harness.json_texts import MAX_DEPTH, decode_json
from harness.sample_lines import are_plain, is_plain, sample_from_json, sample_to_json
from harness.store import Results
from harness.system_errors import explain_system_error
from harness.types import SkilldeltaError
from harness.yaml_files import load_yaml
from tests.support import damage
from tests.support.forked import run_cases, run_command
from tests.support.hostile_tables import TABLES
from tests.support.results_folder import sample, store_scores

CASES = 40  # of each table; together about a minute
LINE = sample_to_json(sample(1, 1.0, parts={"digits": 1.0}, group="a", cluster="b"))
BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in pairwise("abcdefgh"))
SOME_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
def test_commands_hold_whatever_a_file_holds(table: str, tmp_path: Path) -> None:
    cases = list(TABLES[table](tmp_path))
    chosen = random.Random(len(cases)).sample(cases, CASES)
    results = list(run_cases(chosen, tmp_path))
    assert len(results) == CASES
    assert not [(r.name, r.code, r.output[-500:]) for r in results if not r.is_held]


@pytest.mark.parametrize("kind", ["pipe", "folder", "link to an endless device", "link to itself", "a terabyte of nothing"])
def test_what_is_no_file_is_not_read(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    damage.FILES[kind](file)
    with pytest.raises(UnreadableFileError, match=r"config\.json"):
        read_bytes(file)


def test_metrics_without_number_are_refused(tmp_path: Path) -> None:
    store_scores(tmp_path / "r", "base", "sums", [1.0, 0.0])
    record = Results(tmp_path / "r").cell("base", "sums").record_file
    content = read_stored_json(record)
    content["task"]["metrics"] = [{"name": f"m{i}", "part": "digits"} for i in range(1_001)]
    write_json(record, content)
    code, output = run_command(["compare", str(tmp_path / "r"), "--baseline", "base"])
    assert (code, "task.json: it names 1,001 metrics" in output) == (3, True), output


@pytest.mark.slow
def test_a_key_that_is_there_twice_among_many_is_named_at_once() -> None:
    keys = [*map(str, range(300_000)), "299999"]  # compared each with each, they would take an hour
    with pytest.raises(ValueError, match="'299999' is there twice"):
        decode_json("{" + ",".join(f'"{key}":0' for key in keys) + "}", once=True)


def test_a_name_that_no_utf8_holds_is_refused_where_it_is_read(tmp_path: Path) -> None:
    store_scores(tmp_path / "r", "base", "sums", [1.0, 0.0])
    record = tmp_path / "r" / "base" / "checkpoint.json"
    record.write_text(record.read_text().replace('"name": "base"', '"name": "b\\udcffse"'))
    code, output = run_command(["compare", str(tmp_path / "r"), "--baseline", "base"])
    assert (code, "base/checkpoint.json cannot be read" in output, "udcff" in output) == (3, True, True), output


def test_a_file_of_the_system_is_read_though_it_says_that_it_is_empty() -> None:
    assert Path("/proc/version").stat().st_size == 0
    assert read_bytes(Path("/proc/version")).startswith(b"Linux")


@pytest.mark.parametrize("text", ["[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "[" * 100_000, '{"a":NaN}', "[1e5,-Infinity]"])
def test_json_that_is_none_or_too_deep_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"nested too deeply|no number"):
        decode_json(text)


def test_json_as_deep_as_allowed_is_read() -> None:
    assert decode_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


@pytest.mark.slow
@given(st.sampled_from(sorted(LINE)), SOME_JSON)
@example("parts", None)
@example("reading", None)
@example("parts", {"digits": ""})
@example("parts", {"digits": False})
def test_a_line_with_a_field_of_anything_is_a_sample_or_a_value_error(name: str, value: object) -> None:
    line = LINE | {name: value}
    try:
        read = sample_from_json(line)
    except ValueError:
        assert not is_plain(line)
        return
    assert sample_from_json(sample_to_json(read)) == read
    if are_plain([LINE, line]):
        assert isinstance(read.score.value, float | int | None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, "aliases of aliases"),
        ("a: &a {b: *a}", "stands within what it stands for"),
        ("[" * 1000, "nested too deeply"),
        ("a: 1\na: 2", "is there twice"),
        ("a: 2020-99-99", "cannot be read"),
        ("a: !!bool x", "cannot be read"),
        ("a: !!python/object/apply:os.getcwd []", "is not YAML"),
        ("- 1", "holds list"),
        (b"a: \xff\xfe", "is not YAML"),
        ("a: " + "9" * 5000, "cannot be read"),
    ],
)  # fmt: skip
def test_yaml_that_would_hurt_is_refused(text: str | bytes, words: str, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SkilldeltaError, match=words):
        load_yaml(file)


def test_yaml_with_aliases_and_other_encodings_is_read(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        file.write_text("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]\n", encoding=encoding)
        assert load_yaml(file) == {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": [{"x": 1}, {"x": 1}]}


def test_a_checkpoints_record_in_another_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = TABLES["results"](tmp_path)
    good = next(cases).good
    (good / "cand").rename(good / "other")
    with pytest.raises(SystemExit) as end:
        main(["compare", str(good), "--baseline", "base"])
    assert end.value.code == 3
    assert "is of a checkpoint named 'cand', which belongs into another folder" in capsys.readouterr().err


def test_a_stored_key_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """Of two scores or thresholds nobody knows which one was meant."""
    file = tmp_path / "task.json"
    file.write_text('{"a": {"share": 1, "share": 2}}')
    with pytest.raises(SkilldeltaError, match="'share' is there twice"):
        read_stored_json(file)
    assert decode_json('{"a": 1, "a": 2}') == {"a": 2}, "other programs' files are read as they are by these programs"


@pytest.mark.parametrize("target", ["cand/checkpoint.json", "cand/sums/task.json", "cand/sums/samples.jsonl", "_suite.json"])
@pytest.mark.parametrize("kind", ["link to itself", "link to nothing", "pipe"])
def test_what_a_results_folder_lists_is_not_passed_over(target: str, kind: str, tmp_path: Path) -> None:
    """A link to another disk that is not mounted today is no reason to compare without what lies there."""
    good = next(TABLES["results"](tmp_path)).good
    (good / target).touch()
    damage.FILES[kind](good / target)

    def read_all() -> list[object]:
        return [cell.columns() for _, cell in load_results([good], "base").candidates("sums")]

    with pytest.raises(SkilldeltaError, match=Path(target).name.replace(".", r"\.")):
        read_all()


def test_a_disk_that_fails_while_samples_are_read_is_named(tmp_path: Path) -> None:
    good = next(TABLES["results"](tmp_path)).good
    cell = Results(good).cell("cand", "sums")
    cell.samples_file.unlink()
    cell.samples_file.symlink_to("/proc/self/mem")  # its first page cannot be read: EIO
    with pytest.raises(SkilldeltaError, match=r"samples\.jsonl cannot be read: Input/output error"):
        list(cell.samples())
    for code in (errno.EIO, errno.ESTALE, errno.ENAMETOOLONG, errno.ENOTDIR):
        assert explain_system_error(OSError(code, os.strerror(code), "results"))


def test_json_of_more_brackets_than_memory_holds_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_texts, "MAX_OPENINGS", 1000)
    assert len(decode_json("[" + "[]," * 998 + "[]]")) == 999
    with pytest.raises(ValueError, match="more than 1,000 brackets"):
        decode_json("[" + "[]," * 999 + "[]]")


@pytest.mark.parametrize(
    "reading", [{"a": 5}, {"reasoning": 1}, {"reasoning": 1, "answer": -1}, {"reasoning": 1, "answer": 0.5}, [], 7]
)
def test_a_reading_without_its_lengths_is_an_error_of_its_line(reading: object, tmp_path: Path) -> None:
    store_scores(tmp_path / "r", "base", "sums", [1.0, 0.0])
    store_scores(tmp_path / "r", "cand", "sums", [1.0, 0.0])
    file = tmp_path / "r" / "cand" / "sums" / "samples.jsonl"
    rows = [json.loads(line) | {"reading": reading} for line in file.read_text().splitlines()]
    assert (are_plain(rows), is_plain(rows[0])) == (False, False)
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    code, output = run_command(["compare", str(tmp_path / "r"), "--baseline", "base"])
    assert (code, "samples.jsonl, line 1, is not a sample (reading" in output) == (3, True), output
    sound = [row | {"reading": {"reasoning": 3, "answer": 0, "loop": 2}} for row in rows]
    assert (are_plain(sound), is_plain(sound[0])) == (True, True)


def test_a_file_of_text_with_holes_is_not_read(tmp_path: Path) -> None:
    """A gigabyte of nothing takes no place on the disk, and would take it in memory."""
    store_scores(tmp_path / "r", "base", "sums", [1.0, 0.0])
    cell = Results(tmp_path / "r").cell("base", "sums")
    os.truncate(cell.samples_file, 1 << 33)
    for read in (lambda: read_bytes(cell.samples_file, 1 << 34), lambda: list(cell.samples())):
        with pytest.raises(SkilldeltaError, match=r"samples\.jsonl has holes from byte"):
            read()


def test_a_key_in_somebodys_results_is_not_shown(tmp_path: Path) -> None:
    for name in ("base", "cand"):
        store_scores(tmp_path / "r", name, "sums", [1.0, 0.0])
    file = Results(tmp_path / "r").cell("cand", "sums").record_file
    secret = "sk-0123456789abcdef0123"
    settings = {"url": f"http://user:{secret}@host/?api_key={secret}", "api_key": "short"}
    write_json(file, read_stored_json(file) | {"backend": settings, "state": "failed", "why": f"401 for Bearer {secret}"})
    code, output = run_command(["compare", str(tmp_path / "r"), "--baseline", "base"])
    assert (code, secret in output, "short" in output, "***" in output) == (3, False, False, True), output


@pytest.mark.parametrize("text", ["[]\n", '{"example": "a"}\n', '{"example": "a", "row": 5}\n', "no JSON\n"])
@pytest.mark.parametrize("exporter", ["lm-eval", "nel"])
def test_damaged_rows_are_an_error_of_their_file_for_exporters_too(text: str, exporter: str, tmp_path: Path) -> None:
    store_scores(tmp_path / "r", "base", "sums", [1.0, 0.0])
    rows = Results(tmp_path / "r").examples_file("sums")
    rows.parent.mkdir()
    rows.write_text(text)
    code, output = run_command(["export", str(tmp_path / "r"), "--to", exporter, "-o", str(tmp_path / "out")])
    assert (code, "sums.jsonl is damaged" in output) == (3, True), output
