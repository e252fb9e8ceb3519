"""The results folder: nothing is lost, nothing is mixed up."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.atomic_files import folder_name
from harness.comparison.sample_table import read_table
from harness.json_lines import encode_lines
from harness.sample_lines import sample_from_json, sample_to_json
from harness.store import Cell, Results, SampleWriter
from harness.types import Checkpoint, Response, Sample, Score, SkilldeltaError
from tests.support import toys

texts = st.text(st.characters(), max_size=40)
scores = st.one_of(st.none(), st.floats(0, 1))
samples = st.builds(
    Sample,
    example=st.text("0123456789abcdef", min_size=1, max_size=16),
    request=texts,
    response=st.builds(
        Response,
        text=texts,
        finish=st.sampled_from(["stop", "length", "overlong", "error"]),
        tokens_in=st.integers(0, 9),
        error=texts,
    ),
    score=st.builds(Score, value=scores, extracted=texts, parts=st.dictionaries(texts, st.floats(0, 1), max_size=2), why=texts),
    draw=st.integers(0, 3),
    group=texts,
)


@given(samples)
def test_a_sample_survives_the_file(sample: Sample) -> None:
    written = encode_lines([sample_to_json(sample)])
    assert written.count(b"\n") == 1
    assert sample_from_json(json.loads(written)) == sample


def test_log_probabilities_survive_the_file() -> None:
    sample = Sample("e", "r", Response(logprobs=(-1.25, -0.1), greedy=(False, True)), Score(1.0, "B"))
    assert sample_from_json(json.loads(encode_lines([sample_to_json(sample)]))) == sample


def cell_with(folder: Path, count: int) -> Cell:
    results = Results.make(folder)
    cell = results.cell("toy", "adding")
    with SampleWriter(cell) as writer:
        for i in range(count):
            writer.append(Sample(f"e{i}", "r", Response(str(i)), Score(1.0)))
    return cell


def test_a_torn_last_line_is_passed_over_and_then_mended(tmp_path: Path) -> None:
    cell = cell_with(tmp_path / "r", 3)
    whole = cell.samples_file.read_bytes()
    for torn in range(1, len(whole.splitlines(keepends=True)[-1])):
        cell.samples_file.write_bytes(whole[:-torn])
        assert [s.example for s in cell.samples()] == ["e0", "e1"]
        with SampleWriter(cell) as writer:
            writer.append(Sample("e2", "r", Response("2"), Score(1.0)))
        assert cell.samples_file.read_bytes() == whole


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    cell = cell_with(tmp_path / "r", 3)
    lines = cell.samples_file.read_bytes().splitlines(keepends=True)
    cell.samples_file.write_bytes(lines[0] + b"{oops}\n" + lines[2])
    with pytest.raises(SkilldeltaError, match="line 2"):
        list(cell.samples())


def edit_line(cell: Cell, place: int, **changes: object) -> None:
    lines = cell.samples_file.read_bytes().splitlines(keepends=True)
    cell.samples_file.write_bytes(
        b"".join([*lines[:place], encode_lines([json.loads(lines[place]) | changes]), *lines[place + 1 :]])
    )


@pytest.mark.parametrize("score", [250.0, -0.5, 1.001, 2])
def test_a_score_that_no_scorer_may_give_is_not_read_either(score: float, tmp_path: Path) -> None:
    cell = cell_with(tmp_path / "r", 3)
    edit_line(cell, 1, score=score)
    for read in (lambda: list(cell.samples()), lambda: read_table(cell)):
        with pytest.raises(SkilldeltaError, match=r"samples\.jsonl, line 2, is not a sample \(score: .*no number from 0 to 1"):
            read()


@pytest.mark.parametrize("score", [0, 1, True, 0.25, 1 + 1e-12, -1e-12])
def test_scores_from_0_to_1_are_read_and_parts_may_be_larger(score: float, tmp_path: Path) -> None:
    cell = cell_with(tmp_path / "r", 3)
    edit_line(cell, 1, score=score, parts={"tokens": 250.0})
    assert [s.score.value for s in cell.samples()] == [1.0, score, 1.0]
    assert read_table(cell).score.tolist() == [1.0, score, 1.0]


def append_line(cell: Cell, **changes: object) -> None:
    """The second sample again, with some fields other than they were."""
    lines = cell.samples_file.read_bytes().splitlines(keepends=True)
    cell.samples_file.write_bytes(b"".join([*lines, encode_lines([json.loads(lines[1]) | changes])]))


def test_two_lines_of_one_sample_with_scores_that_differ_are_named(tmp_path: Path) -> None:
    """The last one counted without a word."""
    cell = cell_with(tmp_path / "r", 4)
    append_line(cell, score=0.0)
    for read in (lambda: list(cell.samples()), lambda: read_table(cell)):
        with pytest.raises(SkilldeltaError, match=r"samples\.jsonl, lines 2 and 5, are one sample .*1 and 0.*\n.*or both"):
            read()


@pytest.mark.parametrize(
    "changes", [{"score": None, "why": "?"}, {"response": "again"}, {"draw": 1, "score": 0.0}, {"example": "e9"}]
)
def test_lines_of_one_sample_with_one_score_may_follow_each_other(changes: dict[str, object], tmp_path: Path) -> None:
    cell = cell_with(tmp_path / "r", 4)
    append_line(cell, **changes)
    last = list(cell.samples())[-1]
    assert {s.key: s for s in cell.samples()}[last.key] == last
    assert len(read_table(cell).keys) == 4 + (last.key not in {("e1", 0)})
    append_line(cell)
    assert len(list(cell.samples())) == 6


@pytest.mark.parametrize("name", ["samples_file", "record_file"])
def test_a_file_that_git_lfs_did_not_fetch_is_not_to_be_mended_by_hand(name: str, tmp_path: Path) -> None:
    """Of samples.jsonl it was said to delete the line."""
    cell = cell_with(tmp_path / "r", 2)
    getattr(cell, name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab12\nsize 4321\n")
    for read in (lambda: list(cell.samples()), lambda: read_table(cell)) if name == "samples_file" else (cell.read,):
        with pytest.raises(SkilldeltaError, match=r"r/toy/adding.* is a pointer of Git LFS: `git lfs pull` fetches the file"):
            read()


def test_two_writers_of_one_cell_are_refused(tmp_path: Path) -> None:
    cell = cell_with(tmp_path / "r", 1)
    with SampleWriter(cell), pytest.raises(SkilldeltaError, match="Another process"):
        SampleWriter(cell)


def test_a_folder_with_other_things_is_no_results_folder(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear committee")
    with pytest.raises(SkilldeltaError, match=r"holds other things"):
        Results.make(tmp_path)
    with pytest.raises(SkilldeltaError, match="Not a results folder"):
        Results(tmp_path)
    with pytest.raises(SkilldeltaError, match="There is no folder"):
        Results(tmp_path / "nowhere")


def test_another_checkpoint_of_the_same_name_is_refused(tmp_path: Path) -> None:
    results = Results.make(tmp_path / "r")
    results.add(toys.checkpoint(), {"weights": "a", "config": "c"})
    results.add(toys.checkpoint(), {"weights": "a", "config": "c"})
    with pytest.raises(SkilldeltaError, match="differ in: weights"):
        results.add(toys.checkpoint(), {"weights": "b", "config": "c"})


def test_checkpoints_come_in_the_order_of_their_steps(tmp_path: Path) -> None:
    results = Results.make(tmp_path / "r")
    for name, step in (("dpo", None), ("dpo@1000", 1000), ("dpo@200", 200)):
        results.add(Checkpoint(name, "", "trainer", run="dpo", step=step), {"weights": name})
    assert list(results.checkpoints()) == ["dpo@200", "dpo@1000", "dpo"]


def test_odd_names_stay_inside_the_folder(tmp_path: Path) -> None:
    results = Results.make(tmp_path / "r")
    cell = results.cell("../../evil/../x", "lm-eval:a/b")
    assert cell.folder.resolve().is_relative_to((tmp_path / "r").resolve())


def test_names_longer_than_a_file_system_allows_have_folders_of_their_own(tmp_path: Path) -> None:
    """Sixty Chinese letters are 540 bytes when encoded; two such names that end differently are two checkpoints."""
    results = Results.make(tmp_path / "r")
    names = ["基线模型" * 15, "基线模型" * 14 + "基线模样", "b" * 255, "b" * 300, "组织/模型@750"]
    for name in names:
        results.add(Checkpoint(name, "", "recorded"), {"outputs": name})
    assert set(results.checkpoints()) == set(names)
    assert all(len(folder_name(name)) <= 255 for name in names)
    assert not [name for name in names if folder_name(name).count("%") != len(re.findall("%[0-9A-F]{2}", folder_name(name)))]
    assert folder_name("b" * 255) == "b" * 255, "names that had a folder before keep it"


@pytest.mark.parametrize(("name", "other"), [("toy", "Toy"), ("caf\u00e9 X", "caf\u00e9 x")])
@pytest.mark.parametrize("is_task", [False, True])
def test_names_that_a_file_system_takes_for_one_are_not_mixed(name: str, other: str, is_task: bool, tmp_path: Path) -> None:
    results = Results.make(tmp_path / "r")
    cells = [results.cell("toy", each) if is_task else results.cell(each, "adding") for each in (name, other)]
    with SampleWriter(cells[0]) as writer:
        writer.append(Sample("e", "r", Response("1"), Score(1.0)))
    with SampleWriter(cells[1]):
        assert not list(cells[1].samples()), "two folders here: each has its own"
    cells[1].folder.rmdir()
    place = cells[1].folder if is_task else cells[1].folder.parent
    if not is_task:
        place.rmdir()
    place.symlink_to(folder_name(name))  # as a file system shows it that ignores case
    with pytest.raises(SkilldeltaError, match="one folder here"):
        SampleWriter(cells[1])
