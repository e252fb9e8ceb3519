"""Where a text ends: stop strings count in its answer alone, and reasoning and answer have their own tokens."""

from typing import Any

import pytest
from tokenizers import decoders

from harness.engine.sequences import Generation
from harness.prompts.encoding import RequestEncoder
from harness.prompts.stopping import cut_at_stop
from harness.prompts.templates import ChatTemplate
from harness.prompts.tokenization import WindowedTokenizer
from harness.types import Request, SkilldeltaError
from tests.support import tiny

THOUGHT = "<think>\nHm.\n\nQuestion: what?"
CHANNELS = "analysisHm.\n\nQuestion: what?assistantfinal"


@pytest.fixture(scope="module")
def encoder() -> RequestEncoder:
    return RequestEncoder(WindowedTokenizer(tiny.tokenizer(), 512), ChatTemplate("none"))


def end_of(encoder: RequestEncoder, text: str, in_block: bool = False, **settings: Any) -> tuple[str, str]:
    """(text, finish) of a model that would write `text`, one token after the other."""
    request = Request("Q", **{"max_tokens": 200, **settings})
    ids = encoder.tokenizer.encode(text)
    check = encoder.make_check(request, in_block)
    for count in range(1, len(ids) + 1):
        if check(ids[:count]):
            ids = ids[:count]
            break
    response = encoder.make_response(request, Generation(ids, "stop"), in_block)
    return response.text, response.finish


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("It is 7.\n\nQuestion: 3+4?", "It is 7."),
        (f"{THOUGHT}\n</think>\n\nIt is 7.\n\nQuestion: 3+4?", f"{THOUGHT}\n</think>\n\nIt is 7."),
        (THOUGHT, THOUGHT),
        (f"{CHANNELS}It is 7.\n\nQuestion: x", f"{CHANNELS}It is 7."),
        ("It is <b>7</b>.\n\nQuestion:", "It is <b>7</b>."),
    ],
)
def test_a_stop_string_inside_reasoning_ends_nothing(encoder: RequestEncoder, text: str, rest: str) -> None:
    stop = ("\n\nQuestion:",)
    assert end_of(encoder, text, stop=stop) == (rest, "stop")
    assert cut_at_stop(text, stop) == rest


def test_blank_lines_behind_a_block_are_no_stop(encoder: RequestEncoder) -> None:
    text = "<think>\nHm.\n</think>\n\nIt is 7.\n\nMore."
    assert end_of(encoder, text, stop=("\n\n",))[0] == cut_at_stop(text, ("\n\n",)) == "<think>\nHm.\n</think>\n\nIt is 7."


def test_a_block_that_the_prompt_opened(encoder: RequestEncoder) -> None:
    text = "Hm.\n\nQ: what?\n</think>\n\nIt is 7.\n\nQ: more"
    assert end_of(encoder, text, in_block=True, stop=("\n\nQ:",))[0] == "Hm.\n\nQ: what?\n</think>\n\nIt is 7."


def test_reasoning_and_answer_have_their_own_tokens(encoder: RequestEncoder) -> None:
    count = len(encoder.tokenizer.encode("<think>\nwait, wait, wait"))
    text, finish = end_of(encoder, "<think>\n" + "wait, " * 40, thinking=count, max_tokens=4)
    assert (len(encoder.tokenizer.encode(text)), finish) == (count, "length")
    text, finish = end_of(encoder, "<think>\nHm.\n</think>\n\n" + "a b c d e f g", thinking=100, max_tokens=4)
    assert (text.startswith("<think>\nHm.\n</think>\n\na"), finish) == (True, "length")
    assert end_of(encoder, "<think>\nHm.\n</think>\n\nYes", thinking=100, max_tokens=9)[1] == "stop"


def test_the_tokens_of_reasoning_come_on_top() -> None:
    assert Request("Q", thinking=0).id == Request("Q").id
    assert Request("Q", thinking=5).id != Request("Q").id
    small = RequestEncoder(WindowedTokenizer(tiny.tokenizer(), 512), ChatTemplate("none"))
    assert small.to_token_prompt(Request("Q", max_tokens=7, thinking=5), [1, 2]).max_tokens == 12


def test_a_check_can_be_asked_about_another_text_at_any_time(encoder: RequestEncoder) -> None:
    check = encoder.make_check(Request("Q", stop=("7",)), in_block=False)
    ids = encoder.tokenizer.encode("<think>7</think>It is 7")
    for _ in range(2):
        assert [check(ids[:n]) for n in range(1, len(ids) + 1)] == [False] * (len(ids) - 1) + [True]
    assert check(ids)


def test_special_tokens_that_are_tags_stay_in_the_text() -> None:
    made = tiny.tokenizer()
    made.add_special_tokens({"additional_special_tokens": ["<think>", "</think>"]})
    windowed = WindowedTokenizer(made, 64)
    ids = made.encode("<think>a b</think>c<|end|>", add_special_tokens=False)
    assert windowed.decode(ids) == "<think>a b</think>c"
    assert made.decode(ids, skip_special_tokens=True) == "a bc"


@pytest.mark.parametrize("letters", [1, 20_001])
def test_a_decoder_that_floods_the_text_is_an_error_of_its_checkpoint(letters: int) -> None:
    """tokenizer.json says how tokens become text, and a stranger's may put a book between two letters."""
    tokenizer = tiny.tokenizer()
    ids = tokenizer.encode("It is 7.", add_special_tokens=False)
    words = WindowedTokenizer(tokenizer, 512)
    tokenizer.backend_tokenizer.decoder = decoders.Sequence([decoders.Fuse(), decoders.Replace("7", "y" * letters * len(ids))])
    if letters == 1:
        assert words.decode(ids) == tokenizer.decode(ids)
        return
    with pytest.raises(SkilldeltaError, match=r"makes .* letters of \d+ tokens: the `decoder` in its tokenizer"):
        words.decode(ids)
