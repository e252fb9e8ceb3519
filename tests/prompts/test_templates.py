"""Chat templates: scoring and training render the same text, and it is the one of the program that Tulu 2 was made with."""

from typing import Any

import pytest

from harness.prompts.templates import TULU_EOS, ChatTemplate, plain_text
from harness.training.tokenization import Encoder, load_tokenizer
from harness.types import Message, Request
from tests.support import tiny

TURNS = (
    Message("system", "Be brief."),
    Message("user", "Q1"),
    Message("assistant", "A1"),
    Message("user", "Q2"),
    Message("assistant", "A2"),
    Message("user", "Q3"),
)


def open_instruct(messages: tuple[Message, ...], eos: str) -> str:
    """What open-instruct's create_prompt_with_tulu_chat_format gives for messages, without a beginning-of-sequence token."""
    text = ""
    for message in messages:
        text += f"<|{message.role}|>\n{message.content}{eos if message.role == 'assistant' else ''}\n"
    return f"{text}<|assistant|>\n"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_tokenizer(str(tiny.llama(tmp_path_factory.mktemp("models") / "tiny")), "tulu")


def test_the_tulu_template_of_several_turns_is_that_of_open_instruct(tokenizer: Any) -> None:
    text = ChatTemplate("tulu", tokenizer).render(Request(TURNS))
    assert text == open_instruct(TURNS, tokenizer.eos_token)
    assert text.count(tokenizer.eos_token) == 2
    assert ChatTemplate("tulu").render(Request(TURNS[1:])) == (
        "<|user|>\nQ1\n<|assistant|>\nA1</s>\n<|user|>\nQ2\n<|assistant|>\nA2</s>\n<|user|>\nQ3\n<|assistant|>\n"
    )


def test_a_model_is_scored_in_the_template_that_it_was_trained_in(tokenizer: Any) -> None:
    scored = ChatTemplate("tulu", tokenizer).render(Request(TURNS))
    trained = Encoder(tokenizer, 512).render(TURNS, (), opening=True)
    assert scored == trained


def test_one_user_turn_has_no_end_token_and_a_prefix_begins_the_answer(tokenizer: Any) -> None:
    for template in (ChatTemplate("tulu", tokenizer), ChatTemplate("tulu")):
        assert template.render(Request("Hi", prefix="Answer:")) == "<|user|>\nHi\n<|assistant|>\nAnswer:"


def test_a_tokenizer_without_an_end_token_writes_none() -> None:
    class Bare:
        eos_token = None

    assert ChatTemplate("tulu", Bare()).render(Request(TURNS)) == open_instruct(TURNS, "")
    assert ChatTemplate("tulu").render(Request(TURNS)) == open_instruct(TURNS, TULU_EOS)


def test_the_name_of_the_tulu_template_holds_the_hash_of_its_text() -> None:
    assert ChatTemplate("tulu").name.startswith("tulu:")
    assert ChatTemplate("none").name == "none"


def test_plain_text_joins_messages_and_puts_the_prefix_on_its_own_line() -> None:
    assert plain_text(Request(TURNS[1:3], prefix="So")) == "Q1\n\nA1\nSo"
    assert plain_text(Request("Q: ", prefix="A")) == "Q: A"
    assert plain_text(Request("Q", prefix="A", raw=True)) == "QA"
    assert plain_text(Request("", prefix="A")) == "A"
