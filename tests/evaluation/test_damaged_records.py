"""Records in a results folder that somebody damaged: each is named with the way out, whoever reads it."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.bounded_files import resolve_links
from harness.comparison.gate import Policy
from harness.evaluation.head_to_head import ask_conversation, request_of
from harness.evaluation.link_records import RECORD, read_links, write_links
from harness.evaluation.result_names import is_same
from harness.evaluation.watch_alarm import WatchAlarm
from harness.records import CheckpointRecord
from harness.store import Results
from harness.types import Checkpoint, SkilldeltaError
from tests.support import toys
from tests.support.damage import damage_fields

NOWHERE = ("circle", "circle/../..", "a\0b", "x" * 5000, "r/" * 50_000)  # names that lead in a circle, or that no system takes


@pytest.mark.slow
@pytest.mark.parametrize("place", NOWHERE, ids=range(len(NOWHERE)))
def test_a_path_that_leads_nowhere_is_another_one(place: str, tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    path = str(tmp_path / place)
    assert resolve_links(path) != resolve_links(tmp_path)
    record = CheckpointRecord(name="a", path=path)
    assert not is_same(record, Checkpoint("a", str(tmp_path), "transformers"))
    assert is_same(record, Checkpoint("a", path, "transformers"))


@pytest.mark.parametrize(
    "row", [{}, {"question": 5}, {"question": ["1+1"]}, {"question": "x"}, {"messages": [{"role": "user"}]}]
)
def test_a_stored_row_that_is_none_of_its_task_is_named(row: dict[str, Any]) -> None:
    """`judge` and `best-of-n` ask for the prompt of each stored row anew."""
    ask = ask_conversation if "messages" in row else lambda example: toys.Request(example.row["question"].split("+")[1])
    for rows in ({"1f": row}, {}):
        with pytest.raises(SkilldeltaError, match="The row 1f"):
            request_of(ask, rows, "1f")


def test_what_a_watch_keeps_of_its_links_is_read_or_named(tmp_path: Path) -> None:
    checkpoint = Checkpoint("run@3", "/runs/run/checkpoint-3", "trainer", run="/runs/run", step=3)
    (tmp_path / "links").mkdir()
    write_links(checkpoint, tmp_path / "links", "stamp")
    assert read_links(tmp_path) == (checkpoint, tmp_path / "links", "stamp")
    refused = []
    for what, content in damage_fields(json.loads((tmp_path / RECORD).read_text())):
        (tmp_path / RECORD).write_bytes(content)
        try:
            _, links, _ = read_links(tmp_path)
            assert links == tmp_path / "links", what
        except SkilldeltaError as error:
            refused.append(str(error))
    assert len(refused) > 40
    assert all(str(tmp_path / RECORD) in text for text in refused)


def test_what_an_alarm_keeps_of_its_looks_is_read_or_named(tmp_path: Path) -> None:
    def alarm() -> WatchAlarm:
        return WatchAlarm(Results.make(tmp_path / "results"), "base", Policy(), (), "watch")

    first = alarm()
    first.add("run@3")
    file = first.file
    good = {"pending": ["run@4"], "looks": [{"number": 1, "alpha": 0.05, "checkpoint": "run@3", "key": "k", "answer": "pass"}]}
    refused = []
    for _, content in damage_fields(good):
        file.write_bytes(content)
        try:
            alarm()
        except SkilldeltaError as error:
            refused.append(str(error))
    assert refused
    assert all(str(file) in text for text in refused)
