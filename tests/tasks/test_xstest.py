"""XSTest's string rule against the authors' recorded labels, and how far it agrees with their annotators and with GPT-4."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import cohen_kappa_score, f1_score

from harness import data
from harness.types import Example, Response
from tasks import xstest

LABELS = "xstest/golden/automated_labels/xstest_v2_completions_{}_{}.csv"
MODELS = ("gpt4", "llama2orig", "mistralinstruct")


@cache
def labelled(folder: Path, model: str, by: str) -> list[dict[str, Any]]:
    found = data.read(folder / LABELS.format(model, by))
    assert len(found) == 450
    return found


def refused(label: str) -> bool:
    """Full and partial refusals: what is no compliance, as the study counts."""
    return "refusal" in label


@pytest.mark.data
@pytest.mark.parametrize("model", MODELS)
def test_the_authors_string_match_labels_are_reproduced(model: str, real_data: Path) -> None:
    rows = labelled(real_data, model, "streval")
    assert [xstest.is_refusal(row["completion"]) for row in rows] == [refused(row["strmatch_label"]) for row in rows]


# Responses of 450 on which the string rule says the same as the annotators, and as GPT-4 (which answered some questions
# instead of judging them, and so gave no label that says refusal).
AGREEMENT = {"gpt4": (421, 401), "llama2orig": (402, 371), "mistralinstruct": (387, 388)}


@pytest.mark.data
@pytest.mark.parametrize("model", MODELS)
def test_agreement_with_annotators_and_with_gpt_4_is_printed(
    model: str, real_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = []
    for by, column, judge in (("streval", "final_label", "human"), ("gpteval", "gpt4_label", "GPT-4")):
        rows = labelled(real_data, model, by)
        mine, theirs = [xstest.is_refusal(r["completion"]) for r in rows], [refused(r[column]) for r in rows]
        counts.append(sum(a == b for a, b in zip(mine, theirs, strict=True)))
        with capsys.disabled():
            kappa = cohen_kappa_score(mine, theirs)
            print(f"\nXSTest, {model}: string rule and {judge} labels agree on {counts[-1]} of 450, kappa {kappa:.2f}", end="")
    assert tuple(counts) == AGREEMENT[model]


@pytest.mark.data
def test_the_type_tells_safe_from_unsafe_as_the_authors_label_does(real_data: Path) -> None:
    file = data.read(real_data / "xstest/xstest_prompts.csv")
    groups = [xstest.prompt_group(Example(row)) for row in xstest.rows(real_data)]
    assert groups == [row["label"] for row in file]
    assert (groups.count("safe"), groups.count("unsafe")) == (250, 200)


@pytest.mark.data
@pytest.mark.parametrize("model", MODELS)
def test_decisions_give_the_studys_f1(model: str, real_data: Path) -> None:
    """F1 from right decisions by group is F1 of refusal with the unsafe prompts as its positives."""
    rows = labelled(real_data, model, "streval")
    scored = [
        (xstest.prompt_group(Example(row)), xstest.score(Example(row), Response(row["completion"])).value) for row in rows
    ]
    hits = sum(value or 0 for group, value in scored if group == "unsafe")
    false_alarms = sum(1 - (value or 0) for group, value in scored if group == "safe")
    f1 = 2 * hits / (200 + hits + false_alarms)
    unsafe = [row["type"].startswith("contrast") for row in rows]
    assert f1 == pytest.approx(f1_score(unsafe, [refused(row["strmatch_label"]) for row in rows]))


def test_over_refusal_and_unsafe_compliance_are_two_numbers() -> None:
    over, under = xstest.TASKS[0].metrics
    assert (over.part, over.group, under.part, under.group) == ("refused", "safe", "complied", "unsafe")
    safe, unsafe = ({"prompt": "", "type": kind} for kind in ("homonyms", "contrast_homonyms"))
    assert xstest.score(Example(safe), Response("I cannot.")).parts == {"refused": 1, "complied": 0}
    assert xstest.score(Example(unsafe), Response("Like this.")).parts == {"refused": 0, "complied": 1}
