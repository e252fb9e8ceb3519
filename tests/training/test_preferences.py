"""Every format of preference data, what is skipped and why, mixtures, and what an audit finds."""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.training import data_report, datasets
from harness.training.preferences import Pair, ParseSettings, UnusableRowError, parse_pair
from harness.training.settings import TrainerSettings
from harness.training.tokenization import Encoder, load_tokenizer
from harness.types import Message, SkilldeltaError

Rows = Callable[[str, Iterable[Any]], str]
HOW = ParseSettings()


def user(said: str) -> dict[str, str]:
    return {"role": "user", "content": said}


def bot(said: str) -> dict[str, str]:
    return {"role": "assistant", "content": said}


ASKED = (Message("user", "2 + 2?"),)
FOUR, FIVE = (Message("assistant", "4"),), (Message("assistant", "5"),)
CONVERSATIONAL = [
    {"prompt": [user("2 + 2?")], "chosen": [bot("4")], "rejected": [bot("5")]},
    {"chosen": [user("2 + 2?"), bot("4")], "rejected": [user("2 + 2?"), bot("5")]},
    {"prompt": [user("2 + 2?")], "chosen": [user("2 + 2?"), bot("4")], "rejected": [user("2 + 2?"), bot("5")]},
    {"chosen": "\n\nHuman: 2 + 2?\n\nAssistant: 4", "rejected": "\n\nHuman: 2 + 2?\n\nAssistant: 5"},
    {"conversation_a": [user("2 + 2?"), bot("5")], "conversation_b": [user("2 + 2?"), bot("4")], "winner": "model_b"},
    {"prompt": "2 + 2?", "response_a": "4", "response_b": "5", "winner": "A"},
    {"history": "2 + 2?", "human_ref_A": "5", "human_ref_B": "4", "score_A": 3, "score_B": 10, "labels": 0},
    {
        "instruction": "2 + 2?",
        "completions": [{"response": "5", "ratings": {"truth": 1}}, {"response": "4", "ratings": {"truth": 5}}],
    },
]


@pytest.mark.parametrize("row", CONVERSATIONAL, ids=lambda r: "+".join(r))
def test_all_formats_say_the_same(row: dict[str, Any]) -> None:
    found = parse_pair(row, HOW)
    assert (found.prompt, found.chosen, found.rejected) == (ASKED, FOUR, FIVE)


SHP = {"history": "2 + 2?", "human_ref_A": "4", "human_ref_B": "5"}


@pytest.mark.parametrize("label", [1, 0, True, False, "1", "0", 1.0])
def test_a_label_of_shp_says_which_answer_is_better_without_scores_too(label: object) -> None:
    pair = parse_pair(SHP | {"labels": label}, HOW)
    is_first = str(label) in ("1", "True", "1.0")
    assert (pair.prompt, pair.chosen, pair.rejected) == (ASKED, *((FOUR, FIVE) if is_first else (FIVE, FOUR)))
    assert pair.margin is None
    scores = {"score_A": 5, "score_B": 2} if is_first else {"score_A": 2, "score_B": 5}
    assert parse_pair(SHP | scores | {"labels": label}, HOW) == replace(pair, margin=3.0)


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"labels": 0, "score_A": 5, "score_B": 2}, "labels that contradicts score_A and score_B"),
        ({"labels": 2}, "labels that is 2, neither 0 nor 1"),
        ({"labels": [0, 1]}, "a labels that is no number"),
        ({"labels": None}, "tied votes"),
        ({"labels": 1, "score_A": 2, "score_B": 2}, "tied votes"),
    ],
)
def test_a_label_that_says_nothing_or_contradicts_the_scores_makes_no_pair(columns: dict[str, Any], fault: str) -> None:
    with pytest.raises(UnusableRowError, match=fault):
        parse_pair(SHP | columns, HOW)


def test_plain_text_stays_plain_text_and_an_implicit_prompt_is_the_line_that_both_begin_with() -> None:
    explicit = parse_pair({"prompt": "The sky is\n", "chosen": "Blue.", "rejected": "Green."}, HOW)
    implicit = parse_pair({"chosen": "The sky is\nBlue.", "rejected": "The sky is\nGreen."}, HOW)
    assert explicit == implicit == Pair("The sky is\n", "Blue.", "Green.")


def test_a_margin_is_kept_and_votes_make_one() -> None:
    assert parse_pair(CONVERSATIONAL[0] | {"margin": 2}, HOW).margin == 2.0
    assert parse_pair(CONVERSATIONAL[6], HOW).margin == 7.0


ULTRAFEEDBACK = {
    "instruction": "Name a colour.",
    "completions": [
        {"response": "red", "overall_score": 9.0, "annotations": {"honesty": {"Rating": "2"}, "helpfulness": {"Rating": "3"}}},
        {"response": "blue", "overall_score": 5.0, "annotations": {"honesty": {"Rating": "5"}, "helpfulness": {"Rating": "1"}}},
        {
            "response": "table",
            "overall_score": 1.0,
            "annotations": {"honesty": {"Rating": "1"}, "helpfulness": {"Rating": "N/A"}},
        },
    ],
}


@pytest.mark.parametrize(("rate", "best"), [("mean", "blue"), ("overall", "red"), ("honesty", "blue"), ("helpfulness", "red")])
def test_what_decides_between_rated_completions_can_be_chosen(rate: str, best: str) -> None:
    found = parse_pair(ULTRAFEEDBACK, ParseSettings(rate=rate))
    assert found.chosen == (Message("assistant", best),)
    assert found.rejected != found.chosen


def test_each_aspect_says_which_answer_is_better_in_it() -> None:
    found = parse_pair(ULTRAFEEDBACK, ParseSettings(rate="helpfulness"))  # red against blue: "table" has no such rating
    assert found.aspects == {"honesty": -1, "helpfulness": 1}
    assert found.margin == 2.0


def test_the_lower_completion_is_drawn_by_the_seed() -> None:
    drawn = {parse_pair(ULTRAFEEDBACK, ParseSettings(seed=s)).rejected for s in range(20)}
    assert len(drawn) == 2
    assert parse_pair(ULTRAFEEDBACK, ParseSettings(seed=3)) == parse_pair(ULTRAFEEDBACK, ParseSettings(seed=3))


BROKEN = [
    ({"prompt": "a", "rejected": "b"}, "no chosen answer"),
    ({"prompt": "a", "chosen": None, "rejected": "b"}, "no chosen answer"),
    ({"prompt": "a", "chosen": "b", "rejected": " \n"}, "empty rejected answer"),
    ({"prompt": "a", "chosen": "b", "rejected": "b"}, "identical answers"),
    ({"chosen": [user("x"), bot("y")], "rejected": [user("x"), bot("y")]}, "identical answers"),
    ({"chosen": [user("x"), bot("y")], "rejected": [user("z"), bot("y")]}, "the answers part before the assistant speaks"),
    ({"prompt": [user("x")], "chosen": [user("x"), bot("y")], "rejected": [bot("z")]}, "only one answer repeats the prompt"),
    ({"chosen": "abc", "rejected": "xyz"}, "no common prompt"),
    ({"chosen": 3, "rejected": "xyz"}, "neither text nor messages"),
    ({"prompt": "a", "response_a": "x", "response_b": "y", "winner": "tie (bothbad)"}, "tied votes"),
    ({"instruction": "a", "completions": [{"response": "x", "ratings": {"t": 3}}] * 2}, "tied ratings"),
    ({"instruction": "a", "completions": [{"response": "x", "ratings": {"t": "N/A"}}] * 2}, "fewer than two completions"),
]


@pytest.mark.parametrize(("row", "why"), BROKEN, ids=[w for _, w in BROKEN])
def test_a_row_without_a_preference_is_skipped_with_its_reason(row: dict[str, Any], why: str) -> None:
    with pytest.raises(UnusableRowError, match=why.replace("(", r"\(")):
        parse_pair(row, HOW)


def test_an_unknown_format_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(SkilldeltaError, match=r"columns good, bad.*chosen, rejected"):
        parse_pair({"good": "x", "bad": "y"}, HOW)


def test_skipped_rows_are_counted_and_a_source_with_none_left_is_an_error(write: Rows) -> None:
    good = {"prompt": "a", "chosen": "b", "rejected": "c"}
    found = datasets.load_mixture(
        TrainerSettings(data=(write("some.jsonl", [good, BROKEN[0][0], BROKEN[3][0], BROKEN[3][0]]),)), parse_pair
    )
    assert len(found.rows) == 1
    assert found.report[0]["skipped"] == {"identical answers": 2, "no chosen answer": 1}
    with pytest.raises(SkilldeltaError, match="2 x identical answers"):
        datasets.load_mixture(TrainerSettings(data=(write("none.jsonl", [BROKEN[3][0]] * 2),)), parse_pair)


def rows_of(name: str, count: int) -> list[dict[str, str]]:
    return [{"prompt": f"{name} {i}", "chosen": "yes", "rejected": "no"} for i in range(count)]


def test_sources_are_mixed_by_weight_without_repeating_a_row(write: Rows) -> None:
    files = (write("a.jsonl", rows_of("a", 60)), write("b.jsonl", rows_of("b", 300)))
    found = datasets.load_mixture(TrainerSettings(data=files, weights=(3.0, 1.0), kinds=("human", "synthetic")), parse_pair)
    counts = {k: sum(p.kind == k for p in found.rows) for k in ("human", "synthetic")}
    assert counts == {"human": 60, "synthetic": 20}
    assert [r["used"] for r in found.report] == [60, 20]
    assert len({p.prompt for p in found.rows}) == 80
    limited = datasets.load_mixture(TrainerSettings(data=files, weights=(1.0, 1.0), limit=40), parse_pair)
    assert [r["used"] for r in limited.report] == [20, 20]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=4), st.integers(0, 99), st.data())
def test_a_mixture_never_takes_a_row_twice_nor_one_that_is_not_there(sizes: list[int], seed: int, data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.floats(0.1, 9), min_size=len(sizes), max_size=len(sizes)))
    limit = data.draw(st.integers(0, 120))
    chosen = datasets.draw_mixture(sizes, weights, limit, seed)
    assert len(set(chosen)) == len(chosen)
    assert all(0 <= row < sizes[source] for source, row in chosen)
    assert not limit or len(chosen) <= limit + len(sizes)


def test_lists_of_another_length_than_the_sources_are_refused(write: Rows) -> None:
    with pytest.raises(SkilldeltaError, match="--weights has 2 entries for 1 source"):
        datasets.load_mixture(TrainerSettings(data=(write("a.jsonl", rows_of("a", 3)),), weights=(1.0, 2.0)), parse_pair)


def test_held_out_prompts_are_on_one_side_only(write: Rows) -> None:
    rows = rows_of("a", 200) + [{"prompt": f"a {i}", "chosen": "other", "rejected": "no"} for i in range(200)]
    loaded, held = datasets.split_holdout(
        TrainerSettings(data=(write("a.jsonl", rows),), holdout=0.3), parse_pair, lambda p: p.prompt
    )
    assert not {p.prompt for p in loaded.rows} & {p.prompt for p in held}
    assert len(loaded.rows) + len(held) == 400
    assert 60 <= len(held) <= 180
    other = write("held.jsonl", rows_of("a", 5))
    loaded, held = datasets.split_holdout(
        TrainerSettings(data=(write("a.jsonl", rows),), eval_data=(other,)), parse_pair, lambda p: p.prompt
    )
    assert (len(loaded.rows), len(held)) == (390, 5)


def test_policy_prompts_come_from_any_set(write: Rows) -> None:
    file = write("p.jsonl", [{"question": "2+2?", "answer": "4"}, {"prompt": "x"}, {"messages": [user("2+2?"), bot("4")]}])
    found = datasets.load_mixture(TrainerSettings(data=(file,)), datasets.parse_prompt).rows
    assert [p.prompt for p in found] == [(Message("user", "2+2?"),), "x", (Message("user", "2+2?"),)]


def test_rows_to_imitate(write: Rows) -> None:
    file = write(
        "s.jsonl",
        [{"text": "all"}, {"prompt": "q", "completion": "a"}, {"messages": [user("q"), bot("a")]}, {"messages": [user("q")]}],
    )
    found = datasets.load_mixture(TrainerSettings(data=(file,)), datasets.parse_conversation)
    assert [(r.prompt, r.answer) for r in found.rows] == [
        ("", "all"), ("q", "a"), ((Message("user", "q"),), (Message("assistant", "a"),)),
    ]  # fmt: skip
    assert found.report[0]["skipped"] == {"messages do not end with the assistant": 1}


def test_the_audit_counts_what_is_wrong_with_pairs() -> None:
    rows = [
        Pair("p", "long answer", "short"),
        Pair("p", "long answer", "short"),
        Pair("p", "short", "long answer"),
        Pair("q", "aa", "b"),
    ]
    found = data_report.report_pairs(rows, TrainerSettings())
    assert (found["pairs"], found["prompts"], found["duplicates"], found["contradictions"]) == (4, 2, 1, 3)
    assert found["chosen_longer"] == 0.75


class TestTokens:
    def test_an_answer_begins_after_the_prompt_and_ends_with_one_end_token(self, tiny: str) -> None:
        words = load_tokenizer(tiny)
        (found,) = Encoder(words, 64).encode_answers([(ASKED, FOUR)])
        assert found is not None
        assert words.decode(found.ids[: found.start]) == "<|user|>2 + 2?<|assistant|>"
        assert words.decode(found.ids[found.start :]) == "4<|end|>"

    def test_what_a_template_puts_after_the_end_is_left_out(self, tiny: str) -> None:
        words = load_tokenizer(tiny)
        words.chat_template = words.chat_template.replace("{{ eos_token }}", "{{ eos_token + '\\n' }}")
        (found,) = Encoder(words, 64).encode_answers([(ASKED, FOUR)])
        assert found is not None
        assert words.decode(found.ids[found.start :]) == "4<|end|>"

    def test_an_end_is_added_where_the_template_writes_none(self, tiny: str) -> None:
        words = load_tokenizer(tiny)
        words.chat_template = words.chat_template.replace("{{ eos_token }}", "")
        (found,) = Encoder(words, 64).encode_answers([(ASKED, FOUR)])
        assert found is not None
        assert words.decode(found.ids[found.start :]) == "4<|end|>"

    def test_an_end_token_in_the_prompt_is_no_end(self, tiny: str) -> None:
        words = load_tokenizer(tiny)
        before = (Message("user", "a"), Message("assistant", "b"), *ASKED)
        (found,) = Encoder(words, 64).encode_answers([(before, FOUR)])
        assert found is not None
        assert words.decode(found.ids[found.start :]) == "4<|end|>"
        assert found.ids[: found.start].count(words.eos_token_id) == 1

    def test_over_long_rows_are_dropped_or_cut_and_counted(self, tiny: str) -> None:
        words, long = load_tokenizer(tiny), (Message("assistant", "left " * 50),)
        drop, cut = Encoder(words, 30), Encoder(words, 30, "cut")
        assert drop.encode_answers([(ASKED, long)]) == [None]
        (found,) = cut.encode_answers([(ASKED, long)])
        assert found is not None
        assert len(found) == 30
        assert (drop.losses, cut.losses) == ({"overlong": 1}, {"cut": 1})

    def test_the_templates_have_the_tulu_one(self, tiny: str) -> None:
        words = load_tokenizer(tiny, "tulu")
        (found,) = Encoder(words, 64).encode_answers([(ASKED, FOUR)])
        assert found is not None
        assert words.decode(found.ids) == "<|user|>\n2 + 2?\n<|assistant|>\n4<|end|>"


@pytest.mark.slow
@pytest.mark.data
def test_hh_rlhf_reads_whole() -> None:
    folder = Path(os.environ.get("SKILLDELTA_DATA", "../shared/data"))
    file = folder / "hh_rlhf/harmless-base_test.jsonl.gz"
    if not file.is_file():
        pytest.skip(f"no real data in {folder}: set SKILLDELTA_DATA")
    found = datasets.load_mixture(TrainerSettings(data=(str(file),), kinds=("human",)), parse_pair)
    assert len(found.rows) + sum(found.report[0]["skipped"].values()) == 2312
    assert len(found.rows) > 2290
    assert all(isinstance(p.prompt, tuple) and p.prompt[-1].role == "user" for p in found.rows)
    json.dumps(data_report.report_pairs(found.rows, TrainerSettings()))
