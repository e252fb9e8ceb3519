"""Rows of the labelled sets that are not as their sources write them: an error of the set, and never another label."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.grading.labelled_sets import SETS, read_sets
from harness.types import SkilldeltaError
from tests.support.damage import damage_fields

QUESTION, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
MESSAGES = [QUESTION, ANSWER]
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "auto-j": (
        "preference/autoj_testdata_pairwise.jsonl",
        {"prompt": "p", "response 1": "a", "response 2": "b", "scenario": "s", "label": 1},
    ),
    "hh-harmless": (
        "hh_rlhf/harmless-base_test.jsonl",
        {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"},
    ),
    "mt-bench-votes": (
        "mt_bench/human_judgments.jsonl",
        {
            "turn": 1,
            "winner": "model_b",
            "conversation_a": MESSAGES,
            "conversation_b": [QUESTION, ANSWER | {"content": "b"}],
        },
    ),
}
HARMLESS = ("prompt", "response", "scenario", "chosen", "rejected", "content", "role")  # texts may be any, where they are texts


@pytest.mark.parametrize("name", ROWS)
def test_a_damaged_row_is_an_error_of_its_set_or_the_same_label(name: str, tmp_path: Path) -> None:
    local, row = ROWS[name]
    file = tmp_path / local
    file.parent.mkdir()
    file.write_text(json.dumps(row))
    (whole,) = read_sets([name], tmp_path)[0].values()
    assert len(whole) == 1
    endings = [(damage, ending(file, content, name, tmp_path)) for damage, content in damage_fields(row)]
    refusals = {damage: why for damage, why in endings if isinstance(why, str)}
    assert len(refusals) > 15
    for damage, why in refusals.items():
        assert damage.startswith("whole") or "cannot be read" in why or local in why, damage
        assert why.replace("\n", "").isprintable(), damage
    for damage, questions in endings:
        place = damage.partition(":")[0].split(".")[-1]
        assert damage in refusals or place.split(" ")[0] in HARMLESS or not questions or questions == whole, damage


def ending(file: Path, content: bytes, name: str, folder: Path) -> object:
    """Why the set is refused, or its questions."""
    file.write_bytes(content)
    try:
        (questions,) = read_sets([name], folder)[0].values()
    except SkilldeltaError as error:
        return str(error)
    return questions


@pytest.mark.parametrize("label", ["3", "0", "-1", '"1"', "null", "1.5"])
def test_a_label_of_llmbar_that_names_no_output_is_refused(label: str, tmp_path: Path) -> None:
    """-1 and 0 chose an output from the end of the pair, 3 ended the command as an error of this program."""
    (tmp_path / "llmbar").mkdir()
    row = f'[{{"input": "i", "output_1": "a", "output_2": "b", "label": {label}}}]'
    (tmp_path / "llmbar" / "Natural.json").write_text(row)
    (llmbar,) = [each for each in SETS if each.name == "llmbar"]
    with pytest.raises(SkilldeltaError, match=r"Row 0 of .*Natural.json: label is .*Fetch the file again"):
        llmbar.read(tmp_path)
