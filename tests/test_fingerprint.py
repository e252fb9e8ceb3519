"""Fingerprints see content, never paths."""

from pathlib import Path

from harness import fingerprint
from harness.types import Checkpoint
from tests.test_discover import model, weights


def test_the_same_files_elsewhere_are_the_same_checkpoint(tmp_path: Path) -> None:
    one, two = model(tmp_path / "a"), model(tmp_path / "b" / "c")
    assert fingerprint.checkpoint(Checkpoint("a", str(one), "x")) == fingerprint.checkpoint(Checkpoint("b", str(two), "x"))


def test_retraining_into_the_same_folder_is_another_checkpoint(tmp_path: Path) -> None:
    folder = model(tmp_path / "a")
    before = fingerprint.checkpoint(Checkpoint("a", str(folder), "x"))
    weights(folder / "model.safetensors", size=32)
    after = fingerprint.checkpoint(Checkpoint("a", str(folder), "x"))
    assert {name for name, *_ in fingerprint.differences(before, after)} == {"weights"}


def test_a_chat_template_is_part_of_the_checkpoint(tmp_path: Path) -> None:
    folder = model(tmp_path / "a")
    before = fingerprint.checkpoint(Checkpoint("a", str(folder), "x"))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert fingerprint.checkpoint(Checkpoint("a", str(folder), "x")) != before


def test_differences_are_named_side_by_side() -> None:
    one, other = {"a": {"b": 1, "c": 2}, "d": 1}, {"a": {"b": 1, "c": 3}}
    assert fingerprint.differences(one, other) == [("a.c", "2", "3"), ("d", "1", "null")]
