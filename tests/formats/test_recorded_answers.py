"""What a recorded answer may be: texts, messages, replies of servers, draws; and nothing else is scored as a text."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.interchange.recorded_answers import parse_answers
from harness.interchange.whole_conversations import answer_of_conversation
from harness.prompts.reading import Reader
from harness.types import Response

ANSWER = "No, I can't do that."
TURN = {"role": "assistant", "content": ANSWER}
REPLY = {"id": "c", "choices": [{"index": 0, "message": TURN, "finish_reason": "stop"}], "usage": {"total_tokens": 3}}
THOUGHT = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": ANSWER}]


def parse(value: Any, prompt: str = "", **row: Any) -> list[Response]:
    return list(parse_answers(value, row, prompt))


@pytest.mark.parametrize(
    "value",
    [
        ANSWER, [ANSWER], TURN, [TURN], [{"role": "user", "content": "Do it."}, TURN], REPLY, [REPLY],
        {"status_code": 200, "request_id": "r", "body": REPLY}, {"text": ANSWER}, [{"index": 0, "text": ANSWER}],
        {"outputs": [{"text": ANSWER, "finish_reason": "stop"}]}, {"choices": [{"text": ANSWER, "logprobs": None}]},
        [{"generated_text": ANSWER}], [{"generated_text": [{"role": "user", "content": "Do it."}, TURN]}],
        {"role": "assistant", "content": None, "refusal": ANSWER}, [{"type": "text", "text": ANSWER}],
        {"output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": ANSWER}]}]},
    ],
)  # fmt: skip
def test_an_answer_is_found_in_what_programs_record(value: Any) -> None:
    assert parse(value) == [Response(ANSWER)]


@pytest.mark.parametrize(
    "value",
    [
        THOUGHT, [THOUGHT], {**TURN, "content": THOUGHT}, {**TURN, "reasoning_content": "Hm."},
        {"output": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
                    {"type": "message", "content": [{"type": "output_text", "text": ANSWER}]}]},
    ],
)  # fmt: skip
def test_reasoning_is_apart_from_the_answer(value: Any) -> None:
    assert parse(value) == [Response(ANSWER, reasoning="Hm.")]


def test_several_answers_are_draws() -> None:
    assert parse(["a", "b"]) == parse([{"text": "a"}, {"text": "b"}]) == [Response("a"), Response("b")]
    assert parse([{**TURN, "content": "a"}, {**TURN, "content": "b"}]) == [Response("a"), Response("b")]
    assert parse([-1.0, -2.5]) == [Response(logprobs=(-1.0, -2.5))]


@pytest.mark.parametrize("value", [None, float("nan"), [], [None, float("nan")]])
def test_nothing_is_no_answer(value: Any) -> None:
    assert parse(value) == []


@pytest.mark.parametrize(
    ("value", "row", "error"),
    [
        ({"score": 3}, {}, "no text: an object with score"),
        ([{"score": 3}], {}, "no text: an object with score"),
        ([["a", "b"]], {}, r"no text: \['a', 'b'\]"),
        ([{"type": "image_url", "image_url": "x"}], {}, "no text"),
        ("Error code: 429", {"error": "rate limit"}, "rate limit"),
        ({"body": {"error": {"message": "bad key"}}, "status_code": 400}, {}, "bad key"),
        ("", {"finish_reason": "content_filter"}, "filter withheld"),
        ("half", {"finish_reason": "abort"}, "ended with abort"),
    ],
)
def test_what_is_no_answer_has_no_score(value: Any, row: dict[str, Any], error: str) -> None:
    (response,) = parse(value, **row)
    assert response.finish == "error"
    assert re.search(error, response.error)


@pytest.mark.parametrize("row", [{"finish_reason": "length"}, {"stop_reason": "max_tokens"}, {"finish": "length"}])
def test_a_cut_answer_is_known_as_one(row: dict[str, Any]) -> None:
    text = "Let me work it out.\n<think>\nPerhaps it is 18"
    (response,) = parse(text, **row)
    assert response.finish == "length"
    assert Reader().read(response)[1].unclosed
    assert parse({"choices": [{"text": text, "finish_reason": "length"}]}) == [Response(text, "length")]


@pytest.mark.parametrize("error", [None, "", float("nan"), "None", False, [], "null"])
def test_an_empty_field_for_errors_tells_of_none(error: Any) -> None:
    assert parse(ANSWER, error=error) == [Response(ANSWER)]


def test_a_block_that_the_prompt_opens_is_one() -> None:
    reader = Reader()
    open_block, closed = parse("Perhaps it is 18.", "Q<|im_end|>\n<think>\n"), parse("Hm.</think>18", "Q\n<think>\n")
    assert reader.read(open_block[0])[1].unclosed
    assert reader.read(closed[0])[0].strip() == "18"


@pytest.mark.parametrize(
    "text",
    [
        "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n18", "<s>[INST] Q [/INST]18",
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n18",
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nQ<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n18",
        "<bos><start_of_turn>user\nQ<end_of_turn>\n<start_of_turn>model\n18", "<|user|>\nQ\n<|assistant|>\n18",
        "<｜begin▁of▁sentence｜><｜User｜>Q<｜Assistant｜>18", "### Instruction:\nQ\n\n### Response:\n18",
    ],
)  # fmt: skip
def test_the_answer_of_a_whole_conversation_follows_its_prompt(text: str) -> None:
    assert answer_of_conversation(text) == ("18", "")


def test_a_conversation_of_several_questions_is_refused() -> None:
    turn = "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n18<|im_end|>\n"
    assert "2 turns of the user" in answer_of_conversation(turn * 2)[1]
    assert "0 of the assistant" in answer_of_conversation("<|im_start|>user\nQ<|im_end|>\n")[1]
    run_on = f"18<|im_end|>\n{turn}"  # the task's reader cuts it
    assert answer_of_conversation(run_on) == (run_on, "")
    assert answer_of_conversation("The mark [INST] begins a turn.") == ("The mark [INST] begins a turn.", "")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab \n", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["text", "content", "choices", "message", "output", "body", "role", "x", "error"]), inner
        )
    ),
    max_leaves=8,
)


@given(
    json_values, st.dictionaries(st.sampled_from(["error", "finish", "finish_reason", "reasoning", "in_block"]), json_values)
)
def test_no_value_is_scored_as_python_prints_it(value: Any, row: dict[str, Any]) -> None:
    for response in parse_answers(value, row):
        assert response.finish in ("stop", "length", "error")
        assert bool(response.error) == (response.finish == "error")
        assert not response.text.startswith(("{", "["))  # no text of the values here begins so
