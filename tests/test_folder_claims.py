"""A folder has one process at a time that trains or studies there; the others are told who, since when, and the way out."""

import errno
import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import folder_claims
from harness.cli import main
from harness.folder_claims import CLAIM_FILE, FolderInUseError, claim_folder
from harness.studies.work import copy_model
from harness.types import SkilldeltaError
from tests.checkpoints.test_discovery import run
from tests.test_atomic_files import die, killed_child


@contextmanager
def other_process(folder: Path) -> Iterator[int]:
    """A process that has the folder; its number."""
    (ready, tell), (wait, end) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(end)
            with claim_folder(folder, "trains"):
                os.write(tell, b"x")
                os.read(wait, 1)
        finally:
            os._exit(0)
    os.close(tell)
    assert os.read(ready, 1), "the other process has failed"
    yield child
    os.close(end)
    os.waitpid(child, 0)
    for descriptor in (ready, wait):
        os.close(descriptor)


@pytest.fixture(autouse=True)
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_claims, "GRACE", 0.0)


def test_a_second_process_reads_who_has_the_folder_since_when_and_the_way_out(tmp_path: Path) -> None:
    with other_process(tmp_path / "run") as child:
        with pytest.raises(FolderInUseError) as refusal, claim_folder(tmp_path / "run", "trains"):
            pass
        words = str(refusal.value)
    assert f"{tmp_path}/run is in use: process {child} on {os.uname().nodename} trains there since 20" in words
    assert "Wait for it, stop it, or name another folder with -o." in words
    with claim_folder(tmp_path / "run", "trains"):
        pass
    assert not (tmp_path / "run").exists(), "nothing was written there"


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    def begin() -> None:
        with claim_folder(tmp_path, "trains"):
            die()

    killed_child(begin)
    assert json.loads((tmp_path / CLAIM_FILE).read_text())["work"] == "trains"
    with claim_folder(tmp_path, "runs a study"):
        assert json.loads((tmp_path / CLAIM_FILE).read_text())["process"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_claim_waits_for_a_holder_that_is_about_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the stages of a killed study do: they end a moment after it."""
    monkeypatch.setattr(folder_claims, "GRACE", 600.0)
    claim = claim_folder(tmp_path, "trains")
    claim.__enter__()
    monkeypatch.setattr(folder_claims.time, "sleep", lambda seconds: claim.__exit__(None, None, None))
    with claim_folder(tmp_path, "trains"):
        assert (tmp_path / CLAIM_FILE).is_file()


@pytest.mark.parametrize("content", ["", "{", '{"process": "\\u001b[2J", "host": [], "work": "x", "since": 1e999}', "[1]"])
def test_what_a_claim_says_is_read_with_care(content: str, tmp_path: Path) -> None:
    (tmp_path / CLAIM_FILE).write_text(content)
    words = folder_claims.explain_holder(tmp_path / CLAIM_FILE)
    assert words.startswith(f"{tmp_path} is in use: ")
    assert "\x1b" not in words


def plant(kind: str, file: Path) -> None:
    {"folder": file.mkdir, "pipe": lambda: os.mkfifo(file), "link": lambda: file.symlink_to(file.with_name("other"))}[kind]()


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_work_goes_on_where_something_else_has_the_name_of_the_claim(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plant(kind, tmp_path / CLAIM_FILE)
    with caplog.at_level(logging.WARNING), claim_folder(tmp_path, "trains"):
        (tmp_path / "a").touch()
    assert caplog.text
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(("code", "words"), [(errno.ENOLCK, "keeps no locks"), (errno.EROFS, "Read-only file system")])
def test_a_file_system_without_locks_or_rights_is_named_and_stops_nobody(
    code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    if code == errno.EROFS:
        monkeypatch.setattr(folder_claims.os, "open", refuse)
    else:
        monkeypatch.setattr(fcntl, "flock", refuse)
    with caplog.at_level(logging.WARNING), claim_folder(tmp_path, "trains"), claim_folder(tmp_path, "trains"):
        pass
    assert words in caplog.text


def command(verb: str, folder: Path) -> list[str]:
    data = folder / "pairs.jsonl"
    if verb == "train":
        return ["train", "dpo", "--model", "none", "--data", str(data), "-o", str(folder / "run")]
    study = folder / "study.yaml"
    study.write_text(
        "summary: made up\ntasks: quick\nseeds: [0]\nbases: {small: {path: model}}\ndata: {own: {files: [pairs.jsonl]}}\n"
        "settings: {dpo: {lr: 1.0e-5}}\ngrid: [{method: [dpo], data: [own]}]\n"
    )
    return ["study", str(study), "-o", str(folder / "run")]


@pytest.mark.parametrize("verb", ["train", "study"])
def test_the_verbs_that_work_for_hours_refuse_a_folder_in_use(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    with other_process(tmp_path / "run"), pytest.raises(SystemExit) as end:
        main(command(verb, tmp_path))
    assert end.value.code == 3
    assert "is in use: process" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "other"), [("dpo", "DPO"), ("caf\u00e9", "cafe\u0301"), ("stra\u00dfe", "STRASSE")])
def test_a_folder_is_claimed_by_one_spelling_of_its_name_alone(name: str, other: str, tmp_path: Path) -> None:
    with claim_folder(tmp_path / name, "trains"), claim_folder(tmp_path / other, "trains"):
        (tmp_path / name / "model").touch()
        (tmp_path / other / "model").touch()
    if not (tmp_path / other).samefile(tmp_path / name):
        (tmp_path / other / "model").unlink()
        (tmp_path / other).rmdir()
        (tmp_path / other).symlink_to(name)  # as a file system shows it that takes both for one
    with pytest.raises(SkilldeltaError, match="one folder here"), claim_folder(tmp_path / other, "trains"):
        pass
    assert [path.name for path in (tmp_path / name).iterdir()] == ["model"]


def test_the_copy_of_a_model_keeps_others_out_and_comes_whole(tmp_path: Path) -> None:
    run(tmp_path / "sft", (10, 20))
    with other_process(tmp_path / "copy"), pytest.raises(FolderInUseError, match="trains there since"):
        copy_model(tmp_path / "sft", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    copy_model(tmp_path / "sft", tmp_path / "copy")
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["checkpoint-20"]
    files = [path for path in (tmp_path / "sft" / "checkpoint-20").rglob("*") if path.is_file()]
    assert files
    assert all((tmp_path / "copy" / path.relative_to(tmp_path / "sft")).read_bytes() == path.read_bytes() for path in files)
