"""Public data sets with columns of their own, and the message formats of services: read as what they say, or counted."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from harness.training.conversations import parse_conversation, parse_prompt
from harness.training.messages import RichMessage, Turns, UnusableRowError
from harness.training.parse_settings import ParseSettings
from harness.training.preferences import parse_pair
from harness.training.tokenization import Encoder, load_tokenizer
from harness.types import Message, SkilldeltaError
from tests.support.training_toy import TEMPLATE

SETTINGS = ParseSettings(source="rows.jsonl")
ASK, RIGHT, WRONG = "Which planet is the largest?", "Jupiter is the largest planet.", "It is Mars, I think."
POST = {"subreddit": "space", "title": "Planets", "post": "I look at them at night.", "article": None}
SUMMARIES = [
    {"text": " I look.", "policy": "a b", "note": None},
    {"text": " Night sky.", "policy": "ref", "note": "It is short."},
]
TLDR = "SUBREDDIT: r/space\n\nTITLE: Planets\n\nPOST: I look at them at night.\n\nTL;DR:"
COMPARISON = {"info": POST, "summaries": SUMMARIES, "choice": 1, "worker": "w", "batch": "b", "split": "train", "extra": {}}
WEBGPT = {
    "question": {"dataset": "eli5", "id": "1", "full_text": ASK}, "quotes_0": {"extract": ["It is a giant."]}, "score_0": -0.5,
    "answer_0": WRONG, "tokens_0": {"prefix": [1]}, "quotes_1": {"extract": ["No, it is."]}, "score_1": 0.5, "answer_1": RIGHT,
}  # fmt: skip
PLAIN: list[dict[str, Any]] = [
    WEBGPT,
    {"task": "Math_CoT", "trajectory": [{"from": "user", "value": ASK}], "chosen": RIGHT, "rejected": WRONG, "parent_id": "0"},
    {"qid": 1, "question": ASK, "answers": [{"text": t, "pm_score": s, "author": "A B"} for t, s in ((WRONG, 0), (RIGHT, 4))]},
]


def test_a_comparison_of_summaries_has_the_prompt_of_its_paper() -> None:
    for choice in (0, 1):
        pair = parse_pair(COMPARISON | {"choice": choice}, SETTINGS)
        texts = SUMMARIES[choice]["text"], SUMMARIES[1 - choice]["text"]
        assert (pair.prompt, pair.chosen, pair.rejected) == (TLDR, *texts)
        assert parse_prompt(COMPARISON | {"choice": choice}, SETTINGS).prompt == TLDR


@pytest.mark.parametrize("row", PLAIN, ids=["webgpt", "ultrainteract", "stack exchange"])
def test_answers_in_columns_of_their_own_are_a_pair(row: dict[str, Any]) -> None:
    settings = ParseSettings()
    pair = parse_pair(row, settings)
    assert pair.prompt == (Message("user", ASK),)
    assert (pair.chosen, pair.rejected) == ((Message("assistant", RIGHT),), (Message("assistant", WRONG),))
    assert parse_prompt(row, SETTINGS).prompt == (Message("user", ASK),)
    assert ("quotes_0" in settings.unused) == (row is WEBGPT)  # what is passed over is said


CALL = {"name": "look_up", "arguments": {"planet": "all"}}
TOOL = {"name": "look_up", "description": "Looks a planet up.", "parameters": {"planet": {"type": "str"}}}
FUNCTION = {"type": "function", "function": TOOL}
ASKED: list[tuple[dict[str, Any], list[str]]] = [
    ({"conversations": ["Hello.", "Hello!", ASK, RIGHT], "source": "multi_turn"}, ["user", "assistant", "user"]),
    ({"id": "1", "data": [ASK, RIGHT]}, ["user"]),
    ({"conversation": [{"human": "Hello.", "assistant": "Hello!"}, {"assistant": RIGHT, "human": ASK}]},
     ["user", "assistant", "user"]),
    ({"conversations": [{"human": ASK}, {"gpt": RIGHT}]}, ["user"]),
    ({"conversations": [{"from": "human", "value": ASK}, {"from": "bot", "value": RIGHT}]}, ["user"]),
    ({"instruction": f"Human:Hello.\nAssistant:Hello!\n\nHuman:{ASK}\nAssistant:", "output": RIGHT, "input": ""},
     ["user", "assistant", "user"]),
    ({"system": "SYSTEM: Be terse.\n", "chat": f"USER: {ASK}\n\n\nASSISTANT: <functioncall> {{}} <|endoftext|>\n\n\n"
      f"FUNCTION RESPONSE: {{}}\n\n\nASSISTANT: {RIGHT} <|endoftext|>\n\n\n"}, ["system", "user", "assistant", "tool"]),
    ({"system_instruction": {"parts": [{"text": "Be terse."}]},
      "contents": [{"role": "user", "parts": [{"text": ASK}]}, {"role": "model", "parts": [{"text": RIGHT}]}]},
     ["system", "user"]),
    ({"problem": ASK, "solution": "Think of gas. It is the fifth.", "answer": "Jupiter", "generations": [RIGHT, WRONG],
      "messages": [{"role": "user", "content": ASK}, {"role": "assistant", "content": RIGHT}]}, ["user"]),
    ({"messages": [{"role": "user", "content": ASK, "country": "New Zealand", "timestamp": "2023-04-09 00:02:53"},
                   {"role": "assistant", "content": RIGHT, "header": {"user-agent": "Mozilla/5.0 (X)"}}]}, ["user"]),
    ({"system": [{"type": "text", "text": "Be terse."}],
      "messages": [{"role": "user", "content": [{"type": "text", "text": ASK}]},
                   {"role": "assistant", "content": [{"type": "text", "text": RIGHT}]}]}, ["system", "user"]),
]  # fmt: skip


@pytest.mark.parametrize(("row", "roles"), ASKED, ids=[", ".join(row)[:40] for row, _ in ASKED])
def test_turns_in_columns_of_their_own_are_a_conversation(row: dict[str, Any], roles: list[str]) -> None:
    found = parse_conversation(row, SETTINGS)
    assert isinstance(found.prompt, tuple)
    assert [m.role for m in found.prompt] == roles
    assert [m.content for m in found.prompt if m.role == "user"][-1] == ASK
    assert found.answer == (Message("assistant", RIGHT),)
    assert {m.content for m in found.prompt if m.role == "system"} <= {"Be terse."}


CALLING: list[dict[str, Any]] = [
    {"query": ASK, "answers": json.dumps([CALL]), "tools": json.dumps([FUNCTION])},
    {"messages": [{"role": "user", "content": ASK},
                  {"role": "assistant", "content": [{"type": "tool_use", "name": "look_up", "input": CALL["arguments"]}]}],
     "tools": [{"name": "look_up", "description": "Looks a planet up.", "input_schema": TOOL["parameters"]}]},
    {"contents": [{"role": "user", "parts": [{"text": ASK}]},
                  {"role": "model", "parts": [{"functionCall": {"name": "look_up", "args": CALL["arguments"]}}]}],
     "tools": [{"functionDeclarations": [TOOL]}]},
]  # fmt: skip


def further(message: Message | RichMessage) -> dict[str, Any]:
    assert isinstance(message, RichMessage)
    found: dict[str, Any] = json.loads(message.more)
    return found


@pytest.mark.parametrize("row", CALLING, ids=["xlam", "anthropic", "gemini"])
def test_calls_and_tools_of_every_service_are_those_of_chat_templates(row: dict[str, Any]) -> None:
    found = parse_conversation(row, SETTINGS)
    assert isinstance(found.prompt, tuple)
    assert not isinstance(found.answer, str)
    assert further(found.prompt[0]) == {"tools": [FUNCTION]}
    assert found.prompt[1:] == (Message("user", ASK),)
    (call,) = further(found.answer[0])["tool_calls"]
    assert call["function"] == CALL


def test_what_a_tool_returned_is_a_turn_of_its_own() -> None:
    results = [{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "Jupiter."}]}]
    answer = {"role": "assistant", "content": RIGHT}
    for more, rest in (([], []), ([{"type": "text", "text": "So?"}], [("user", "So?")])):
        row = {"messages": [{"role": "user", "content": ASK}, {"role": "user", "content": [*results, *more]}, answer]}
        prompt = parse_conversation(row, SETTINGS).prompt
        assert isinstance(prompt, tuple)
        assert [(m.role, m.content) for m in prompt] == [("user", ASK), ("tool", "Jupiter."), *rest]
    parts = [{"functionResponse": {"name": "look_up", "response": {"planet": "Jupiter"}}}]
    contents = [{"role": "user", "parts": [{"text": ASK}]}, {"role": "user", "parts": parts}]
    row = {"contents": [*contents, {"role": "model", "parts": [{"text": RIGHT}]}]}
    prompt = parse_conversation(row, SETTINGS).prompt
    assert [(m.role, m.content) for m in prompt if not isinstance(m, str)][1:] == [("tool", '{"planet": "Jupiter"}')]


def test_tools_that_the_system_prompt_writes_down_are_declared_once() -> None:
    for text, count in ((json.dumps([FUNCTION]), 0), (str([FUNCTION]), 0), ("look_up: Looks a planet up.", 1)):
        turns = [{"from": "system", "value": f"<tools> {text} </tools>"}, {"from": "human", "value": ASK}]
        row = {"conversations": [*turns, {"from": "gpt", "value": RIGHT}], "tools": json.dumps([FUNCTION])}
        prompt: Any = parse_conversation(row, SETTINGS).prompt
        assert [m.role for m in prompt].count("tools") == count


PICTURE = {"inlineData": {"mimeType": "image/png", "data": "aa"}}
UNREAD: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (parse_pair, COMPARISON | {"info": POST | {"article": "A long article."}}, "summary of an article"),
    (parse_pair, COMPARISON | {"choice": None}, "no choice between two"),
    (parse_pair, COMPARISON | {"info": POST | {"title": None}}, "no title"),
    (parse_pair, {"info": POST, "summary": {"text": " a b", "axes": {"overall": 5}}}, "info, summary, which is no known"),
    (parse_pair, WEBGPT | {"score_1": -0.5}, "tied votes"),
    (parse_conversation, {"conversations": ["A question alone?"]}, "do not end with the assistant"),
    (parse_conversation, {"query": ASK, "answers": "none", "tools": "[]"}, "no JSON"),
    (parse_conversation, {"contents": [{"role": "user", "parts": [{"text": ASK}, PICTURE]}]}, "a part of inlineData"),
    (parse_conversation, {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [{"type": "image"}]}]}]},
     "type 'tool_result'"),
    (parse_conversation, {"system": "Be terse, please.", "system_prompt": "Be long, please.", "question": ASK, "answer": RIGHT},
     "'system_prompt' is for"),
    (parse_prompt, {"messages": [{"role": "user", "content": ASK}],
                    "conversations": [{"from": "human", "value": "And which is the smallest?"}]}, "'conversations' is for"),
    (parse_prompt, {"prompt": ASK, "messages": [{"role": "user", "content": "Hello."}]}, "a prompt next to a conversation"),
]  # fmt: skip


@pytest.mark.parametrize(("parse", "row", "reason"), UNREAD, ids=[reason for *_, reason in UNREAD])
def test_what_is_not_wholly_understood_is_refused_or_counted(
    parse: Callable[..., Any], row: dict[str, Any], reason: str
) -> None:
    with pytest.raises((SkilldeltaError, UnusableRowError), match=reason):
        parse(row, SETTINGS)


def test_a_prompt_within_a_conversation_has_the_turns_before_it() -> None:
    turns = [("user", "Hello."), ("assistant", "Hello!"), ("user", ASK), ("assistant", RIGHT)]
    messages = [{"role": role, "content": text} for role, text in turns]
    before: Turns = (Message("user", "Hello."), Message("assistant", "Hello!"), Message("user", ASK))
    assert parse_prompt({"prompt": ASK, "messages": messages}, SETTINGS).prompt == before
    assert parse_prompt({"prompt": "Hello.", "messages": messages}, SETTINGS).prompt == "Hello."


KINDS: list[tuple[str, dict[str, Any], str]] = [
    ("", {"custom_instructions": "", "enable_thinking": False, "xml_tools": []}, ""),
    ("", {"enable_thinking": True}, "enable_thinking"),
    ("", {"custom_instructions": "one two"}, "custom_instructions"),
    ("{{ custom_instructions[:3] }}", {"custom_instructions": "one two"}, "custom_instructions"),
    ("{{ custom_instructions }}", {"custom_instructions": "one two"}, ""),
    ("{{ 'three' if enable_thinking }}", {"enable_thinking": True}, ""),
]


@pytest.mark.parametrize(("head", "settings", "lost"), KINDS)
def test_settings_of_the_template_reach_it_or_the_row_is_left_out(
    head: str, settings: dict[str, Any], lost: str, tiny: str
) -> None:
    messages = [{"role": "user", "content": "one ?"}, {"role": "assistant", "content": "two"}]
    found = parse_conversation({"messages": messages, "chat_template_kwargs": settings}, SETTINGS)
    encoder = Encoder(load_tokenizer(tiny), 512)
    encoder.tokenizer.chat_template = head + TEMPLATE
    (tokens,) = encoder.encode_answers([(found.prompt, found.answer)])
    assert (tokens is None) == bool(lost)
    assert [name for name in encoder.losses if lost in name] == list(encoder.losses)
    if tokens is not None and head:
        assert ("one two" if "custom" in head else "three") in encoder.tokenizer.decode(tokens.ids[: tokens.start])
