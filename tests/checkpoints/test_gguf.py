"""GGUF files as checkpoints: which are found, which are refused, and that a real one answers."""

import os
from pathlib import Path

import pytest

from harness.backends.transformers import TransformersOptions, load
from harness.checkpoints import gguf
from harness.discovery import find_checkpoints
from harness.types import Request


def write_file(place: Path, content: bytes = b"GGUF" + bytes(20)) -> Path:
    place.write_bytes(content)
    return place


def test_each_file_of_a_folder_and_a_file_that_is_named_are_checkpoints(tmp_path: Path) -> None:
    for name in ("b-Q4_K_M.gguf", "a-F16.gguf", "mmproj-b.gguf"):
        write_file(tmp_path / name)
    assert [(c.name, c.producer, c.problem) for c in gguf.find(tmp_path)] == [("a-F16", "gguf", ""), ("b-Q4_K_M", "gguf", "")]
    (alone,) = find_checkpoints([str(tmp_path / "a-F16.gguf")])
    assert (alone.path, alone.problem) == (str(tmp_path / "a-F16.gguf"), "")
    assert [c.name for c in find_checkpoints([str(tmp_path)])] == [alone.name, "b-Q4_K_M"]


def test_a_model_of_its_own_stays_one_with_gguf_files_in_its_folder(tmp_path: Path) -> None:
    write_file(tmp_path / "a.gguf")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    assert gguf.find(tmp_path) == []


def test_settings_of_an_experiment_hide_no_gguf_file(tmp_path: Path) -> None:
    write_file(tmp_path / "a.gguf")
    (tmp_path / "config.json").write_text('{"lr": 1e-5}', encoding="utf-8")
    assert [(c.path, c.producer) for c in find_checkpoints([str(tmp_path)])] == [(str(tmp_path / "a.gguf"), "gguf")]


def test_what_cannot_be_read_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "join the parts" in gguf.find_problem(write_file(tmp_path / "m-00001-of-00003.gguf"))
    assert "does not begin with the letters GGUF" in gguf.find_problem(
        write_file(tmp_path / "m.gguf", b"version https://git-lfs")
    )
    monkeypatch.setattr(gguf, "find_spec", lambda name: None)
    assert "pip install 'skilldelta[gguf]'" in gguf.find_problem(write_file(tmp_path / "n.gguf"))


def test_a_file_that_was_hardly_written_is_no_model_and_nobody_reads_its_terabyte(tmp_path: Path) -> None:
    half, whole = write_file(tmp_path / "half.gguf"), write_file(tmp_path / "whole.gguf", b"GGUF" + bytes(3 << 20))
    os.truncate(half, 1 << 40)
    os.truncate(whole, 4 << 20)  # its last weights are zeros
    problem = gguf.find_problem(half)
    if half.stat().st_blocks * 512 < 1 << 30:  # a file system without holes writes the zeros
        assert problem.startswith("half a download: of its 1,099,511,627,776 bytes ")
    assert "half a download" not in gguf.find_problem(whole)


@pytest.mark.slow
@pytest.mark.skipif("SKILLDELTA_GGUF" not in os.environ, reason="SKILLDELTA_GGUF names no file of an instruction-tuned model")
def test_a_real_file_answers_with_its_own_tokenizer_and_template() -> None:
    pytest.importorskip("gguf")
    (checkpoint,) = find_checkpoints([os.environ["SKILLDELTA_GGUF"]])
    model = load(checkpoint, TransformersOptions(device="cpu", dtype="float32"))
    assert model.template.name != "none"
    assert model.engine.name == "tree"
    ((_, response),) = model.answer([Request("What is the capital of France?", max_tokens=24)])
    assert "Paris" in response.text
