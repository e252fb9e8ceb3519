"""Fingerprints see content, never paths."""

import hashlib
import os
from pathlib import Path

import pytest

from harness import api, differences, file_hashes, fingerprint
from harness.prompts.tokenizer_cache import tokenizer_key
from harness.types import Checkpoint
from tests.checkpoints.test_discovery import model, weights
from tests.support import toys


def test_the_same_files_elsewhere_are_the_same_checkpoint(tmp_path: Path) -> None:
    one, two = model(tmp_path / "a"), model(tmp_path / "b" / "c")
    assert fingerprint.hash_checkpoint(Checkpoint("a", str(one), "x")) == fingerprint.hash_checkpoint(
        Checkpoint("b", str(two), "x")
    )


def test_retraining_into_the_same_folder_is_another_checkpoint(tmp_path: Path) -> None:
    folder = model(tmp_path / "a")
    before = fingerprint.hash_checkpoint(Checkpoint("a", str(folder), "x"))
    weights(folder / "model.safetensors", size=32)
    after = fingerprint.hash_checkpoint(Checkpoint("a", str(folder), "x"))
    assert {name for name, *_ in differences.differences(before, after)} == {"weights"}


def test_a_chat_template_is_part_of_the_checkpoint(tmp_path: Path) -> None:
    folder = model(tmp_path / "a")
    before = fingerprint.hash_checkpoint(Checkpoint("a", str(folder), "x"))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert fingerprint.hash_checkpoint(Checkpoint("a", str(folder), "x")) != before


def test_differences_are_named_side_by_side() -> None:
    one, other = {"a": {"b": 1, "c": 2}, "d": 1}, {"a": {"b": 1, "c": 3}}
    assert differences.differences(one, other) == [("a.c", "2", "3"), ("d", "1", "null")]


def test_the_remembered_hash_of_a_large_file_is_never_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(file_hashes, "LARGE", 4)
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"one weight")
    before, kept = file_hashes.hash_content(file), file.stat()
    assert list(file_hashes.cache_folder().iterdir()), "a large file's hash is remembered"
    assert file_hashes.hash_content(file) == before
    file.write_bytes(b"two weight")
    os.utime(file, ns=(kept.st_atime_ns, kept.st_mtime_ns))  # the same size, the same modification time
    assert file_hashes.hash_content(file) == hashlib.sha256(b"two weight").digest()


def test_other_recorded_outputs_under_the_same_name_are_another_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "said.jsonl"
    for text, state in (("4", "done"), ("5", "failed")):
        file.write_text("".join(f'{{"prompt": "What is {i}+{i}? ", "response": "{text}"}}\n' for i in range(3)))
        (outcome,) = api.score_recorded([str(file)], [toys.adding(3)], tmp_path / "results", options=api.RunOptions("said"))
        assert outcome.state == state, outcome.why
    assert "fingerprint.outputs: stored" in outcome.why
    assert "Give this checkpoint a --name" in outcome.why


VOCABULARIES = ("vocab.txt", "tekken.json", "spiece.model", "qwen.tiktoken", "sentencepiece.bpe.model", "bpe.codes")


def whole_checkpoint(folder: Path) -> Checkpoint:
    return Checkpoint(folder.name, str(folder), "transformers")


@pytest.mark.parametrize("name", [*VOCABULARIES, "additional_chat_templates/tools.jinja"])
def test_a_vocabulary_or_template_beside_the_ordinary_files_is_part_of_the_tokenizer(name: str, tmp_path: Path) -> None:
    folders = [model(tmp_path / place) for place in ("a", "b", "neither")]
    for folder in folders[:2]:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(folder.name)
    (one, two, neither), keys = zip(
        *((fingerprint.hash_checkpoint(whole_checkpoint(f)), tokenizer_key(str(f))) for f in folders), strict=True
    )
    assert {part for part, *_ in differences.changed_parts(one, two)} == {"tokenizer_files"}
    assert {part for part, *_ in differences.changed_parts(one, neither)} == {"tokenizer_files"}
    assert len(set(keys)) == 3


def test_results_of_before_that_part_are_of_the_same_checkpoint(tmp_path: Path) -> None:
    folder = model(tmp_path / "a")
    assert "tokenizer_files" not in fingerprint.hash_checkpoint(whole_checkpoint(folder))  # judges store a hash of all parts
    (folder / "vocab.txt").write_text("one\ntwo\n")
    now = fingerprint.hash_checkpoint(whole_checkpoint(folder))
    older = {name: value for name, value in now.items() if name != "tokenizer_files"}
    assert differences.changed_parts(older, now) == []
