"""Chat templates as they are published: what of an answer reaches the model, and what its template would drop."""

from pathlib import Path

import pytest

from harness.training.batches import pad_rows
from harness.training.forward import answer_scores
from harness.training.messages import Turns, UnusableRowError, parse_text
from harness.training.policy_models import load_classifier
from harness.training.tokenization import Encoder, load_tokenizer, separate_padding
from harness.types import Message, SkilldeltaError
from tests.support.training_toy import TEMPLATE, tokenizer

ASK = (Message("user", "one ?"),)
CUTS_THOUGHTS = TEMPLATE.replace("m['content']", "m['content'].split('</think>')[-1]")  # DeepSeek's distilled models
MOVES_THOUGHTS = (  # Qwen 3: thoughts and answer on lines of their own
    "{% for m in messages %}{% set parts = m['content'].split('</think>') %}{{ '<|' + m['role'] + '|>' }}"
    "{% if m['role'] == 'assistant' %}{% set thought = m.reasoning_content or parts[0].split('<think>')[-1] %}"
    "{{ '<think>\\n' + thought.strip() + '\\n</think>\\n\\n' + parts[-1].strip() + eos_token }}"
    "{% else %}{{ m['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
DROPS_TEXT_OF_CALLS = (  # Llama 3.1
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' }}{% if m.tool_calls %}{{ m.tool_calls[0].function.name }}"
    "{% else %}{{ m['content'] }}{% endif %}{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def answer(content: str | None, **more: object) -> Turns:
    turns = parse_text([{"role": "assistant", "content": content, **more}])
    assert isinstance(turns, tuple)
    return turns


CALL = [{"function": {"name": "clock", "arguments": "{}"}}]
LEARNT = [
    (TEMPLATE, answer("<think>two</think>three"), "<think>two</think>three<|end|>"),
    (MOVES_THOUGHTS, answer("<think>two</think>three"), "<think>\ntwo\n</think>\n\nthree<|end|>"),
    (MOVES_THOUGHTS, answer("three", reasoning_content="two"), "<think>\ntwo\n</think>\n\nthree<|end|>"),
    (DROPS_TEXT_OF_CALLS, answer(None, tool_calls=CALL), "clock<|end|>"),
    (TEMPLATE, answer("three<|end|>"), "three<|end|>"),  # stored with its end, which the template writes too
]
DROPPED = [
    (CUTS_THOUGHTS, answer("<think>two</think>three"), "a part of the answer"),
    (TEMPLATE, answer("three", reasoning_content="two"), "the reasoning_content of the answer"),
    (TEMPLATE, answer("three", thinking="two"), "the thinking of the answer"),
    (DROPS_TEXT_OF_CALLS, answer("two", tool_calls=CALL), "a part of the answer"),
]


@pytest.mark.parametrize(("template", "turns", "expected"), LEARNT)
def test_what_is_learnt_is_the_whole_answer_and_one_end(template: str, turns: Turns, expected: str, tiny: str) -> None:
    tokenizer = load_tokenizer(tiny)
    tokenizer.chat_template = template
    (tokens,) = Encoder(tokenizer, 128).encode_answers([(ASK, turns)])
    assert tokens
    assert tokenizer.decode(tokens.ids[: tokens.start]) == "<|user|>one ?<|assistant|>"
    assert tokenizer.decode(tokens.ids[tokens.start :]) == expected


@pytest.mark.parametrize(("template", "turns", "part"), DROPPED, ids=[part for *_, part in DROPPED])
def test_an_answer_that_its_template_shortens_is_counted(template: str, turns: Turns, part: str, tiny: str) -> None:
    encoder = Encoder(load_tokenizer(tiny), 128)
    encoder.tokenizer.chat_template = template
    assert encoder.encode_answers([(ASK, turns)]) == [None]
    assert encoder.losses == {f"the chat template leaves out {part}": 1}


def test_earlier_thoughts_may_be_left_out(tiny: str) -> None:
    encoder = Encoder(load_tokenizer(tiny), 128)
    encoder.tokenizer.chat_template = CUTS_THOUGHTS
    (tokens,) = encoder.encode_answers([((*ASK, *answer("<think>two</think>three"), *ASK), answer("four"))])
    assert tokens
    assert "two" not in encoder.tokenizer.decode(tokens.ids)


def test_a_conversation_may_begin_with_the_assistant(tiny: str) -> None:
    encoder = Encoder(load_tokenizer(tiny), 128)
    (tokens,) = encoder.encode_answers([((), answer("four"))])
    assert tokens
    assert encoder.tokenizer.decode(tokens.ids) == "<|assistant|>four<|end|>"


def test_rewards_keep_their_digits_in_bfloat16(tiny: str) -> None:
    """The body rounds; the head must not: 1 + 1/512 is 1 in bfloat16."""
    import torch

    model = load_classifier(tiny, ("overall",), 0)
    batch = pad_rows(Encoder(load_tokenizer(tiny), 64).fitting_answers([(ASK, answer(text)) for text in ("two", "three")]), 0)
    with torch.no_grad():
        model.score.weight.mul_(50)  # type: ignore[operator, union-attr]
        with torch.autocast("cpu", torch.bfloat16):
            scores = answer_scores(model, batch)
    assert (scores != scores.bfloat16().float()).any()


RECURSION = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(10**9) %}x{% endfor %}",
        "{{ 1 / 0 }}",
        "{{ 'a' + 1 }}",
        RECURSION,
    ],
)
def test_an_error_of_a_template_is_why_a_row_cannot_be_used(template: str, tiny: str, tmp_path: Path) -> None:
    """Python's own errors within a template ended a training as an error of this program."""
    (tmp_path / "t.jinja").write_text(template)
    encoder = Encoder(load_tokenizer(tiny, str(tmp_path / "t.jinja")), 64)
    turns = (Message("user", "why?"), Message("assistant", "so"))
    with pytest.raises(UnusableRowError, match=r"the chat template refuses the conversation: \w+Error: "):
        encoder.renderer.render(turns, opening=False)


@pytest.mark.slow
def test_a_named_template_without_an_end_is_refused(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.prompts.template_trial.SECONDS", 1.0)
    loop = "{% for i in range(99999) %}" * 3 + "{% endfor %}" * 3
    (tmp_path / "t.jinja").write_text(loop)
    with pytest.raises(SkilldeltaError, match="chat template cannot be used: it makes no end within"):
        load_tokenizer(tiny, str(tmp_path / "t.jinja"))


def test_a_template_that_refuses_everything_does_not_keep_a_tokenizer_from_its_padding() -> None:
    words = tokenizer()
    words.pad_token, words.chat_template = words.eos_token, "{{ 1 / 0 }}"
    separate_padding(words)
    assert words.pad_token not in (None, words.eos_token)
