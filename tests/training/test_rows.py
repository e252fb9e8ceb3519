"""Rows as people have them: every format says the same, and what is not understood is refused or counted, never dropped."""

import json
import logging
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.training import datasets
from harness.training.conversations import parse_conversation, parse_prompt
from harness.training.messages import RichMessage, UnusableRowError, as_user_turn
from harness.training.parse_settings import ParseSettings
from harness.training.preferences import Pair, parse_pair
from harness.training.settings import TrainerSettings
from harness.types import Message, SkilldeltaError

Rows = Callable[[str, Iterable[Any]], str]
SETTINGS = ParseSettings(source="rows.jsonl")
ASK, RIGHT, WRONG = "How long is a day?", "A day is 24 hours long.", "A day never ends."
SYSTEM = "Answer in one sentence."


def turn(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def whole(answer: str, system: str = "") -> list[dict[str, Any]]:
    return [*([turn("system", system)] if system else []), turn("user", ASK), turn("assistant", answer)]


PAIRS = {
    "ultrafeedback binarised": {
        "prompt": ASK, "prompt_id": "4a", "chosen": whole(RIGHT), "rejected": whole(WRONG), "messages": whole(RIGHT),
        "score_chosen": 8.5, "score_rejected": 2.0,
    },
    "text prompt, one message": {"prompt": ASK, "chosen": [turn("assistant", RIGHT)], "rejected": [turn("assistant", WRONG)]},
    "text prompt, one answer as text": {"prompt": ASK, "chosen": RIGHT, "rejected": [turn("assistant", WRONG)]},
    "orca": {"system": "", "question": ASK, "chosen": RIGHT, "rejected": WRONG},
    "instruction": {"instruction": ASK, "input": "", "chosen": RIGHT, "rejected": WRONG, "source": "an old book"},
    "sharegpt": {
        "conversations": [{"from": "human", "value": ASK}],
        "chosen": {"from": "gpt", "value": RIGHT},
        "rejected": {"from": "gpt", "value": WRONG},
    },
    "content parts": {
        "prompt": [turn("user", [{"type": "text", "text": ASK}])],
        "chosen": [turn("assistant", [{"type": "text", "text": RIGHT}])],
        "rejected": [turn("assistant", WRONG)],
    },
    "messages as JSON, as a CSV file holds them": {
        "prompt": ASK, "chosen": json.dumps(whole(RIGHT)), "rejected": json.dumps(whole(WRONG)),
    },
    "messages as Python prints them": {"chosen": str(whole(RIGHT)), "rejected": str(whole(WRONG))},
    "answers of text that repeat a question": {"question": ASK, "chosen": f"{ASK} {RIGHT}", "rejected": f"{ASK} {WRONG}"},
    "text prompt in Human and Assistant tags": {
        "prompt": f"\n\nHuman: {ASK}\n\nAssistant:", "chosen": whole(RIGHT), "rejected": whole(WRONG),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_every_format_of_pairs_says_the_same(name: str) -> None:
    pair = parse_pair(PAIRS[name], SETTINGS)
    assert pair.prompt == (Message("user", ASK),)
    assert (pair.chosen, pair.rejected) == ((Message("assistant", RIGHT),), (Message("assistant", WRONG),))


ARENA = {"conversation_a": whole(RIGHT), "conversation_b": whole(WRONG), "winner": "model_a"}
DIALOGUES = {side: f"\n\nHuman: {ASK}\n\nAssistant: {answer}" for side, answer in (("chosen", RIGHT), ("rejected", WRONG))}
OTHER_PAIRS = {
    "two letters": {"prompt": ASK, "response_w": RIGHT, "response_l": WRONG},
    "arena": ARENA,
    "hh-rlhf": DIALOGUES,
    "shp": {"history": ASK, "human_ref_A": RIGHT, "human_ref_B": WRONG, "score_A": 9, "score_B": 2},
    "a vote": {"prompt": ASK, "response_a": RIGHT, "response_b": WRONG, "winner": "a"},
    "ratings": {
        "instruction": ASK,
        "completions": [{"response": RIGHT, "overall_score": 9}, {"response": WRONG, "overall_score": 2}],
    },
}


@pytest.mark.parametrize("row", [*PAIRS.values(), *OTHER_PAIRS.values()], ids=[*PAIRS, *OTHER_PAIRS])
def test_a_policy_answers_the_prompts_of_every_format_of_pairs(row: dict[str, Any]) -> None:
    assert as_user_turn(parse_prompt(row, SETTINGS).prompt) == (Message("user", ASK),)


def test_a_policy_answers_the_prompt_of_answers_that_are_no_pair() -> None:
    row = {"prompt": ASK, "chosen": RIGHT, "rejected": RIGHT}
    assert parse_prompt(row, SETTINGS).prompt == ASK
    for no_prompt in (
        DIALOGUES | {"rejected": DIALOGUES["chosen"]},
        ARENA | {"winner": "tie"},
        {"chosen": "Yes.", "rejected": "No."},
    ):
        with pytest.raises(UnusableRowError):
            parse_prompt(no_prompt, SETTINGS)


def test_a_policy_answers_the_whole_conversation_that_both_answers_repeat() -> None:
    start = [turn("user", "Hello."), turn("assistant", "Hello. What is it?")]
    row = {"prompt": start[:1], "chosen": start + whole(RIGHT), "rejected": start + whole(WRONG)}
    assert len(parse_prompt(row, SETTINGS).prompt) == 3


def test_a_system_prompt_is_kept_wherever_it_stands() -> None:
    expected = (Message("system", SYSTEM), Message("user", ASK))
    column = {"system": SYSTEM, "question": ASK, "chosen": RIGHT, "rejected": WRONG}
    inside = {"prompt": ASK, "chosen": whole(RIGHT, SYSTEM), "rejected": whole(WRONG, SYSTEM)}
    both = inside | {"system": SYSTEM}
    assert {parse_pair(row, SETTINGS).prompt for row in (column, inside, both)} == {expected}
    with pytest.raises(UnusableRowError, match="two different system prompts"):
        parse_pair(inside | {"system": "Shout."}, SETTINGS)


def test_a_conversation_that_both_answers_repeat_is_the_prompt_whole() -> None:
    start = [turn("user", "Hello."), turn("assistant", "Hello. What is it?")]
    row = {"prompt": start[:1], "chosen": start + whole(RIGHT), "rejected": start + whole(WRONG)}
    assert len(parse_pair(row, SETTINGS).prompt) == 3
    assert parse_pair(row, SETTINGS).chosen == (Message("assistant", RIGHT),)


REFUSED = [
    ({"prompt": ASK, "passage": "The Earth turns once.", "chosen": RIGHT, "rejected": WRONG}, "'passage'"),
    ({"prompt": ASK, "source_text": "The Earth turns once.", "chosen": RIGHT, "rejected": WRONG}, "'source_text'"),
    ({"prompt": ASK, "images": ["a.png"], "chosen": RIGHT, "rejected": WRONG}, "'images'"),
    ({"prompt": ASK, "chat_template_kwargs": {"x": False}, "chosen": RIGHT, "rejected": WRONG}, "'chat_template_kwargs'"),
    ({"prompt": ASK, "completion": RIGHT, "label": True}, "train kto"),
    ({"prompt": ASK, "completions": [RIGHT, WRONG], "labels": [True, False]}, "process reward"),
]


@pytest.mark.parametrize(("row", "reason"), REFUSED, ids=[r for _, r in REFUSED])
def test_a_column_that_nobody_understands_is_refused_with_the_way_out(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(SkilldeltaError, match=reason):
        parse_pair(row, SETTINGS)


def test_a_column_can_be_ignored_by_name() -> None:
    row = {"prompt": ASK, "passage": "The Earth turns once.", "chosen": RIGHT, "rejected": WRONG}
    settings = ParseSettings(ignore=("passage",))
    assert parse_pair(row, settings).prompt == ASK
    assert settings.unused == {"passage"}


UNUSABLE = [
    ({"prompt": "Another question?", "chosen": whole(RIGHT), "rejected": whole(WRONG)}, "no turn of the conversations"),
    ({"prompt": ASK, "question": "Another?", "chosen": RIGHT, "rejected": WRONG}, "ask different things"),
    ({"prompt": [turn("user", None)], "chosen": RIGHT, "rejected": WRONG}, "without content"),
    ({"prompt": [turn("narrator", ASK)], "chosen": RIGHT, "rejected": WRONG}, "unknown role 'narrator'"),
    (
        {"prompt": [turn("user", [{"type": "image", "image": "a"}])], "chosen": RIGHT, "rejected": WRONG},
        "'image', which is no text",
    ),
    ({"prompt": [turn("user", ASK, quotes="of two words")], "chosen": RIGHT, "rejected": WRONG}, "'quotes', which is not"),
    ({"prompt": [turn("assistant", "Hm", channel="analysis")], "chosen": RIGHT, "rejected": WRONG}, "channel 'analysis'"),
    ({"prompt": ASK, "chosen": "\u200b", "rejected": WRONG}, "empty chosen answer"),
    ({"chosen": RIGHT, "rejected": "Nobody knows."}, "no common prompt"),
    ({"prompt": ASK, "chosen": str(whole(RIGHT)).replace(", {", "\n {"), "rejected": WRONG}, "text that is no JSON"),
    ({"prompt": ASK, "chosen": RIGHT, "rejected": WRONG, "margin": "large"}, "a margin that is no number"),
    ({"prompt": ASK, "chosen": RIGHT, "rejected": WRONG, "margin": float("nan")}, "a margin that is no number"),
    ({"history": ASK, "human_ref_A": RIGHT, "human_ref_B": WRONG, "score_A": "x", "score_B": 1}, "score_A that is no number"),
    ({"prompt": ASK, "response_a": RIGHT, "response_b": WRONG, "winner": "C"}, "the winner is 'c'"),
    (
        {"chosen": [*whole(RIGHT), turn("user", "Thanks!")], "rejected": [*whole(WRONG), turn("user", "Thanks!")]},
        "does not end with the assistant",
    ),
    (
        {"prompt": ASK, "completions": [{"response": RIGHT, "ratings": [5]}, {"response": WRONG, "ratings": [1]}]},
        "fewer than two",
    ),
]


@pytest.mark.parametrize(("row", "reason"), UNUSABLE, ids=[r for _, r in UNUSABLE])
def test_a_row_that_cannot_be_understood_is_skipped_with_its_reason(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnusableRowError, match=reason):
        parse_pair(row, SETTINGS)


def test_the_json_of_an_answer_is_an_answer() -> None:
    right, wrong = '[{"role": "admin", "rights": 3}]', '{"value": 4}'
    pair = parse_pair({"prompt": ASK, "chosen": right, "rejected": wrong}, SETTINGS)
    assert (pair.chosen, pair.rejected) == (right, wrong)


def test_only_a_prompt_of_several_words_that_both_answers_repeat_is_taken_off() -> None:
    row = {"prompt": "The sky is", "chosen": "The sky is blue.", "rejected": "The sky is green."}
    assert parse_pair(row, SETTINGS) == Pair("The sky is", " blue.", " green.", source="rows.jsonl")
    for rejected in ("Green.", "The sky is"):
        assert parse_pair({**row, "rejected": rejected}, SETTINGS).chosen == row["chosen"]
    assert parse_pair({"prompt": "A", "chosen": "A day", "rejected": "A week"}, SETTINGS).chosen == "A day"


@pytest.mark.parametrize("mark", [{"weight": 0}, {"train": False}, {"loss": "false"}])
def test_a_last_message_that_is_not_to_be_learnt_is_counted(mark: dict[str, Any]) -> None:
    with pytest.raises(UnusableRowError, match="the last message has the"):
        parse_conversation({"messages": [turn("user", ASK), turn("assistant", RIGHT, **mark)]}, SETTINGS)


IMPLICIT = [
    ("The sum is 3.", "The sum is unknown.", ""),
    ("Add 1 and 2.\nThe sum is 3.", "Add 1 and 2.\nThe sum is unknown.", "Add 1 and 2.\n"),
    ("What is 1 + 2? It is 3.", "What is 1 + 2? It is 4.", "What is 1 + 2?"),
    ("Question: 1 + 2\nAnswer: 3", "Question: 1 + 2\nAnswer: 4", "Question: 1 + 2\nAnswer:"),
    ('He asked "why?" and left.', 'He asked "why?" and stayed.', ""),
]


@pytest.mark.parametrize(("chosen", "rejected", "prompt"), IMPLICIT)
def test_an_implicit_prompt_ends_between_sentences(chosen: str, rejected: str, prompt: str) -> None:
    assert parse_pair({"chosen": chosen, "rejected": rejected}, SETTINGS) == Pair(
        prompt, chosen[len(prompt) :], rejected[len(prompt) :], source="rows.jsonl"
    )


@given(st.text(max_size=30), st.text(max_size=20), st.text(max_size=20))
def test_an_implicit_prompt_and_its_answers_are_the_texts(common: str, one: str, two: str) -> None:
    try:
        pair = parse_pair({"chosen": common + one, "rejected": common + two}, SETTINGS)
    except UnusableRowError:
        return
    if isinstance(pair.prompt, str):
        assert (f"{pair.prompt}{pair.chosen}", f"{pair.prompt}{pair.rejected}") == (common + one, common + two)


CONVERSATIONS = [
    {"messages": whole(RIGHT)},
    {"messages": {"role": ["user", "assistant"], "content": [ASK, RIGHT]}},
    {"conversations": [{"from": "human", "value": ASK}, {"from": "gpt", "value": RIGHT}]},
    {"prompt": ASK, "prompt_id": "7", "messages": whole(RIGHT)},
    {"instruction": ASK, "input": "", "output": RIGHT, "text": f"### Instruction: {ASK} ### Response: {RIGHT}"},
    {"system_prompt": "", "question": ASK, "response": RIGHT},
    {"prompt": ASK, "completion": [turn("assistant", RIGHT)]},
    {"prompt": [turn("user", ASK)], "completion": RIGHT},
    {"question": ASK, "answer": RIGHT},
]


@pytest.mark.parametrize("row", CONVERSATIONS, ids=lambda row: "+".join(row))
def test_every_format_of_conversations_says_the_same(row: dict[str, Any]) -> None:
    found = parse_conversation(row, SETTINGS)
    assert (found.prompt, found.answer) == ((Message("user", ASK),), (Message("assistant", RIGHT),))


def test_an_instruction_keeps_its_input_whether_it_is_imitated_answered_or_compared() -> None:
    row = {"instruction": "Add the numbers.", "input": "1 and 2"}
    expected = (Message("user", "Add the numbers.\n\n1 and 2"),)
    assert parse_conversation(row | {"output": "3"}, SETTINGS).prompt == expected
    assert parse_prompt(row | {"output": "3"}, SETTINGS).prompt == expected
    assert parse_pair(row | {"chosen": "3", "rejected": "4"}, SETTINGS).prompt == expected


def test_plain_text_becomes_turns_where_that_is_asked_for() -> None:
    row = {"prompt": ASK, "chosen": RIGHT, "rejected": WRONG}
    assert parse_pair(row, SETTINGS).prompt == ASK
    assert parse_pair(row, ParseSettings(chat=True)).prompt == (Message("user", ASK),)


def test_tool_calls_and_tools_reach_the_template_in_its_own_form() -> None:
    call = {"id": "c1", "function": {"name": "clock", "arguments": '{"zone": "UTC"}'}}
    schema = {"type": "function", "function": {"name": "clock", "parameters": {}}}
    row = {
        "messages": [
            turn("user", ASK),
            turn("assistant", None, tool_calls=[call]),
            turn("tool", {"hours": 24}, name="clock"),
            turn("assistant", RIGHT),
        ],
        "tools": json.dumps([schema]),
    }
    found = parse_conversation(row, SETTINGS)
    tools, _, asked, told = found.prompt
    assert isinstance(tools, RichMessage)
    assert isinstance(asked, RichMessage)
    assert isinstance(told, RichMessage)
    assert json.loads(tools.more) == {"tools": [schema]}
    assert json.loads(asked.more)["tool_calls"][0]["function"] == {"name": "clock", "arguments": {"zone": "UTC"}}
    assert told.content == '{"hours": 24}'


def test_a_call_in_the_older_form_is_the_same_call() -> None:
    call = {"name": "clock", "arguments": '{"zone": "UTC"}'}
    older, newer = (
        parse_conversation({"messages": [turn("user", ASK), turn("assistant", None, **form)]}, SETTINGS)
        for form in ({"function_call": call}, {"tool_calls": [{"function": call}]})
    )
    assert older == newer


def test_skipped_rows_and_unused_columns_are_said(write: Rows, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"prompt": ASK, "chosen": RIGHT, "rejected": answer, "rating": 4} for answer in (WRONG, RIGHT, "")]
    with caplog.at_level(logging.WARNING, "skilldelta"):
        datasets.load_mixture(TrainerSettings(data=(write("some.jsonl", rows),)), parse_pair)
    assert "1 rows to train on; 2 skipped: 1 x empty rejected answer, 1 x identical answers" in caplog.text
    assert "columns that are not used: rating" in caplog.text


def test_a_column_to_ignore_that_no_source_has_is_said(write: Rows, caplog: pytest.LogCaptureFixture) -> None:
    pair = {"prompt": ASK, "chosen": RIGHT, "rejected": WRONG}
    written_as_text = {**pair, "prompt": json.dumps([turn("user", ASK, inner="words of a note")])}
    data = (write("a.jsonl", [{**pair, "hint": "a hint of words"}]), write("b.jsonl", [written_as_text]))
    with caplog.at_level(logging.WARNING, "skilldelta"):
        datasets.load_mixture(TrainerSettings(data=data, ignore_columns=("hint", "inner", "hnit")), parse_pair)
    assert f"--ignore-columns hnit: no row of {data[0]}, {data[1]} has it." in caplog.text
