"""Files and folders that are whole or absent, locks that die with their holder, and what is said when the system refuses."""

import errno
import fcntl
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import atomic_files, file_locks
from harness.atomic_files import atomic_folder, remove_halves, whole_files, write_bytes, write_json
from harness.file_locks import FolderLock, lock_folder
from harness.system_errors import explain_system_error
from harness.types import SkilldeltaError


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KB."""
    place = tmp_path / "small"
    place.mkdir()
    if os.getuid() or os.system(f"mount -t tmpfs -o size=256k tmpfs {place} 2>/dev/null"):
        pytest.skip("this machine lets nobody mount a small file system")
    yield place
    os.system(f"umount --lazy {place}")  # a library may hold a file open still


def test_a_machine_without_room_for_temporary_files_is_told_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/no-such-folder"])
    with pytest.raises(FileNotFoundError) as refusal:
        tempfile.mkdtemp()
    reason = explain_system_error(refusal.value)
    assert (
        reason
        == "No temporary file can be written in any of '/proc/no-such-folder'.  Make room there, or name a folder in TMPDIR."
    )
    assert explain_system_error(FileNotFoundError(errno.ENOENT, "No such file or directory", "/x")) == ""


def test_a_file_on_a_full_disk_stays_as_it_was_and_leaves_no_half(full_disk: Path) -> None:
    write_bytes(full_disk / "a", b"old")
    with pytest.raises(OSError, match="No space") as refusal:
        write_bytes(full_disk / "a", b"x" * 400_000)
    assert (full_disk / "a").read_bytes() == b"old"
    assert names(full_disk) == ["a"]
    assert explain_system_error(refusal.value).startswith(f"No space left on device: {full_disk}/a.  Make room")


@pytest.mark.parametrize("library", ["safetensors", "torch", "tokenizers"])
def test_a_full_disk_is_told_from_an_error_of_ours_whatever_wrote(library: str, full_disk: Path) -> None:
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models

    numbers = torch.zeros(300_000)
    writers = {
        "safetensors": lambda draft: save_file({"a": numbers}, draft / "a"),
        "torch": lambda draft: torch.save(numbers, draft / "a"),
        "tokenizers": lambda draft: Tokenizer(models.WordLevel({f"w{i}": i for i in range(30_000)})).save(str(draft / "a")),
    }
    with pytest.raises(SkilldeltaError) as refusal, atomic_folder(full_disk / "checkpoint-1") as draft:
        writers[library](draft)
    assert str(refusal.value).startswith(f"No space left on device: {full_disk}/checkpoint-1.  Make room")
    assert names(full_disk) == []


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "run"
    for text in ("1", "2"):
        with atomic_folder(target) as draft:
            (draft / "a.txt").write_text(text)
    assert (names(tmp_path), (target / "a.txt").read_text()) == (["run", "run/a.txt"], "2")
    rename = Path.replace

    def refuse(source: Path, place: Path) -> Path:
        if place == target and source.parent.name.startswith(".writing-run.") and source.name == "run":
            raise OSError(errno.EIO, "broken", str(source))
        return rename(source, place)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match=str(target)), atomic_folder(target) as draft:
        (draft / "a.txt").write_text("3")
    assert (names(tmp_path), (target / "a.txt").read_text()) == (["run", "run/a.txt"], "2")


@pytest.mark.parametrize("place", [".writing-run.former", ".writing-run.12ab34cd/former"])  # the first by earlier versions
def test_a_writer_killed_between_its_renames_loses_nothing(place: str, tmp_path: Path) -> None:
    former = tmp_path / place
    former.mkdir(parents=True)
    (former / "a.txt").write_text("1")
    with pytest.raises(KeyError), atomic_folder(tmp_path / "run"):
        raise KeyError
    assert names(tmp_path) == ["run", "run/a.txt"]


def test_of_two_writers_of_one_folder_the_last_ones_stays_whole(tmp_path: Path) -> None:
    target = tmp_path / "run"
    with atomic_folder(target) as one, atomic_folder(target) as two:
        for draft, names_written in ((one, "ab"), (two, "bc")):
            for name in names_written:
                (draft / name).write_text(names_written)
    assert names(tmp_path) == ["run", "run/a", "run/b"], "the outer one ends last"
    assert (target / "b").read_text() == "ab"


def test_a_writer_that_comes_between_two_renames_costs_nobody_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "run"
    with atomic_folder(target) as draft:
        (draft / "a").write_text("1")
    rename, interruptions = Path.replace, [1]

    def interrupt(source: Path, place: Path) -> Path:
        if place == target and interruptions and interruptions.pop():
            with atomic_folder(target) as between:
                (between / "a").write_text("2")
        return rename(source, place)

    monkeypatch.setattr(Path, "replace", interrupt)
    with atomic_folder(target) as draft:
        (draft / "a").write_text("3")
    assert not interruptions
    assert (names(tmp_path), (target / "a").read_text()) == (["run", "run/a"], "3")


def test_drafts_of_dead_writers_go_and_those_of_the_living_and_of_other_folders_stay(tmp_path: Path) -> None:
    def begin() -> None:
        with atomic_folder(tmp_path / "run") as draft:
            (draft / "half").write_text("x")
            die()

    killed_child(begin)
    other = tmp_path / ".writing-run.old.12ab34cd"  # of a folder named run.old
    other.mkdir()
    assert any("half" in name for name in names(tmp_path))
    with atomic_folder(tmp_path / "run") as living:
        (living / "a").write_text("1")
        with atomic_folder(tmp_path / "run"):
            assert not any("half" in name for name in names(tmp_path))
            assert living.is_dir()
        with whole_files(tmp_path):  # clears up after writers of its own kind alone
            assert living.is_dir()
    assert names(tmp_path) == [other.name, "run", "run/a"]


def test_without_locks_a_draft_that_was_just_written_is_not_taken_for_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(file_locks.fcntl, "flock", no_locks)
    fresh, stale = tmp_path / ".writing-run.12ab34cd", tmp_path / ".writing-run.12ab34ce"
    for folder in (fresh, stale):
        (folder / "run").mkdir(parents=True)
    for place in (stale / "run", stale):
        os.utime(place, (1e9, 1e9))
    with atomic_folder(tmp_path / "run"):
        pass
    assert names(tmp_path) == [fresh.name, f"{fresh.name}/run", "run"]


def test_what_is_no_refusal_of_the_system_is_not_explained_away() -> None:
    for error in (ValueError("no"), FileNotFoundError(errno.ENOENT, "x"), RuntimeError("(os error 2)"), TimeoutError()):
        assert explain_system_error(error) == ""
    for code in (errno.EROFS, errno.EACCES):
        assert "another folder with -o" in explain_system_error(OSError(code, os.strerror(code), "/r/skilldelta.json"))


def test_reports_come_together_and_a_failure_between_leaves_the_old_ones(tmp_path: Path) -> None:
    for text in ("1", "2"):
        with whole_files(tmp_path) as draft:
            (draft / "deep").mkdir()
            (draft / "deep" / "a").write_text(text)
            (draft / "b").write_text(text)
    with pytest.raises(IsADirectoryError), whole_files(tmp_path) as draft:
        [(draft / name).write_text("3") for name in ("b", ".")]
    assert names(tmp_path) == ["b", "deep", "deep/a"]
    assert (tmp_path / "b").read_text() == (tmp_path / "deep" / "a").read_text() == "2"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_child(work: Callable[[], object]) -> None:
    """Runs `work` in a process that is killed at its end."""
    child = os.fork()
    if not child:
        try:
            work()
            die()
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


def test_what_a_killed_writer_left_goes_with_the_next_one_and_a_living_ones_stays(tmp_path: Path) -> None:
    def begin() -> None:
        with whole_files(tmp_path) as draft:
            (draft / "half").write_text("x")
            die()

    killed_child(begin)
    assert any("half" in name for name in names(tmp_path))
    with whole_files(tmp_path) as one, whole_files(tmp_path) as two:
        (one / "a").write_text("1")
        (two / "b").write_text("2")
    assert names(tmp_path) == ["a", "b"]


def test_halves_of_a_file_are_removed_and_its_neighbours_stay(tmp_path: Path) -> None:
    for name in (".task.json.12", ".task.json.abcd1234", ".task.jsonl", "task.json", ".[x].json.1"):
        (tmp_path / name).touch()
    remove_halves(tmp_path / "task.json")
    remove_halves(tmp_path / "[x].json")
    assert names(tmp_path) == [".task.jsonl", "task.json"]


def test_a_lock_ends_with_a_killed_holder(tmp_path: Path) -> None:
    killed_child(lambda: FolderLock(tmp_path))
    FolderLock(tmp_path).release()


def test_a_lock_that_another_process_keeps_is_refused_with_a_word(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with pytest.raises(OSError, match="Another process has held") as refusal, lock_folder(tmp_path, wait=0):
        pass
    assert "Wait for it" in explain_system_error(refusal.value)
    lock.release()
    with lock_folder(tmp_path, wait=0), pytest.raises(BlockingIOError):
        FolderLock(tmp_path)


def test_a_file_system_that_locks_only_what_is_open_for_writing_is_locked_by_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock

    def nfs(descriptor: int, operation: int) -> None:
        if not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_RDWR:
            raise OSError(errno.EBADF, "Bad file descriptor")
        real(descriptor, operation)

    monkeypatch.setattr(file_locks.fcntl, "flock", nfs)
    lock = FolderLock(tmp_path)
    with pytest.raises(BlockingIOError):
        FolderLock(tmp_path)
    lock.release()
    FolderLock(tmp_path).release()
    assert names(tmp_path) == [".lock"]
    own_lock = (tmp_path / ".lock").stat().st_ino
    with whole_files(tmp_path) as draft:
        (draft / "a").write_text("1")
    assert names(tmp_path) == [".lock", "a"]
    assert (tmp_path / ".lock").stat().st_ino == own_lock, "who waits for the folder has this one open"


def test_a_file_system_without_locks_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(file_locks.fcntl, "flock", no_locks)
    with lock_folder(tmp_path), lock_folder(tmp_path):
        write_json(tmp_path / "a", {})


def test_containers_with_the_same_process_ids_write_under_different_names(tmp_path: Path) -> None:
    with atomic_files.whole_file(tmp_path / "a") as one, atomic_files.whole_file(tmp_path / "a") as two:
        assert one != two
        one.write_text("1")
        two.write_text("2")
    assert names(tmp_path) == ["a"]
