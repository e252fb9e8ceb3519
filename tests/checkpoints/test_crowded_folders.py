"""Run folders with more in them than is looked at: the search ends soon, finds the checkpoints, and says what it left out."""

from collections import Counter
from pathlib import Path

import pytest

from harness import discovery, folder_entries, registry
from harness.run_logs.find import read_run_logs
from harness.types import SkilldeltaError
from tests.checkpoints.test_discovery import run


def crowd(folder: Path, count: int, name: str = "sample_{}.txt") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / name.format(number)).write_text("x")
    return folder


def test_checkpoints_among_more_files_than_are_looked_at_are_found_and_the_rest_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(folder_entries, "MAX_ENTRIES", 40)
    monkeypatch.setattr(discovery, "MAX_ENTRIES", 40)
    folder = crowd(run(tmp_path / "dpo", (10, 20)), 60)
    assert [c.name for c in discovery.find_checkpoints([str(folder)])] == ["dpo@10", "dpo@20"]
    assert f"Of the files in {folder}, 40 were looked at: it has more." in caplog.text


def test_an_ordinary_run_folder_is_looked_at_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    discovery.find_checkpoints([str(crowd(run(tmp_path / "dpo", (10,)), 60))])
    assert not caplog.text


def test_a_search_lists_each_folder_once_and_asks_once_which_producers_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "runs" / "dpo", tuple(range(10, 90, 10)))
    (tmp_path / "runs" / "dpo" / "trainer_log.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    listed, read_entries, modules, asked = Counter[str](), folder_entries.read_entries, registry.modules, list[str]()
    monkeypatch.setattr(folder_entries, "read_entries", lambda folder: (listed.update([str(folder)]), read_entries(folder))[1])
    monkeypatch.setattr(registry, "modules", lambda kind: (asked.append(kind), modules(kind))[1])
    assert len(discovery.find_checkpoints([str(tmp_path)])) == 8
    assert set(listed.values()) == {1}
    first = len(asked)
    run(tmp_path / "runs" / "ppo", tuple(range(10, 90, 10)))
    assert len(discovery.find_checkpoints([str(tmp_path)])) == 16
    assert len(asked) == 2 * first  # though there are twice as many folders


def test_a_search_that_meets_more_names_than_it_reads_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "MAX_LISTED", 50)
    for place in "abcdef":
        crowd(tmp_path / place, 30)
    with pytest.raises(SkilldeltaError, match="Only 3 folders with 66 names were searched: name one nearer to the models"):
        discovery.find_checkpoints([str(tmp_path)])


def test_a_log_among_files_that_are_none_is_read(tmp_path: Path) -> None:
    crowd(tmp_path, 400, "answer_{}.json")
    (tmp_path / "trainer_log.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    assert read_run_logs(tmp_path) == [{"step": 1, "loss": 2.0}]


def test_what_comes_into_a_folder_is_seen_by_the_next_search(tmp_path: Path) -> None:
    folder = run(tmp_path / "dpo", (10,))
    assert len(discovery.find_checkpoints([str(folder)])) == 1
    run(folder, (20,))
    assert [c.step for c in discovery.find_checkpoints([str(folder)])] == [10, 20]


def test_the_systems_account_of_itself_is_not_searched(tmp_path: Path) -> None:
    """/proc/self/root leads to every folder there is, of which the search looked into 5,000."""
    for place in (Path("/proc/self"), Path("/sys")):
        search = discovery.FolderSearch(place.resolve())
        assert (search.run(), search.folders) == ([], set())
        assert "is made up by the system, and holds no models" in search.limits
    (tmp_path / "link").symlink_to("/proc/self")
    search = discovery.FolderSearch(tmp_path)
    assert (search.run(), search.folders) == ([], {tmp_path})
