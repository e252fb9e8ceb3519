"""The first rows of a training run as the model will see them, with the tokens that are learnt marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Any

from harness.training import datasets, policy_prompts, tokenization
from harness.training.batches import Tokens
from harness.training.encoding_losses import describe_losses
from harness.training.labelled_answers import parse_labels
from harness.training.needs import Needs
from harness.training.preferences import parse_pair
from harness.training.settings import TrainerSettings
from harness.training.start import name_sources
from harness.types import SkilldeltaError

OPEN, CLOSE = "\u27e6", "\u27e7"  # white square brackets, around what is learnt


def preview_rows(config: TrainerSettings, needs: Needs, count: int) -> Iterator[str]:
    """The first rows, each as a text: what precedes it in plain words, then the tokens."""
    if needs.data == "texts":
        raise SkilldeltaError("--show is for trainers that start from a model with a tokenizer; pre-training makes its own.")
    with TemporaryDirectory() as folder:
        start = name_sources(replace(config, out=folder))
        yield from preview_model_rows(replace(start, out=config.out), needs, count)


def preview_model_rows(config: TrainerSettings, needs: Needs, count: int) -> Iterator[str]:
    tokenizer = tokenization.load_tokenizer(config.model, config.template)
    ends = tokenization.answer_ends(tokenizer, config.model)
    encoder = tokenization.Encoder(tokenizer, config.max_length, config.overlong, ends=ends)
    if needs.data == "prompts":
        yield from preview_prompts(config, tokenizer, count)
        return
    if needs.data == "conversations":
        rows = datasets.load_mixture(config, datasets.parse_conversation).rows[:count]
        answers = encoder.encode_answers([(row.prompt, row.answer) for row in rows])
        yield from (describe_sequence(tokenizer, f"row {i}", tokens) for i, tokens in enumerate(answers, 1))
    elif needs.labels:
        rows_of_answers = datasets.load_mixture(config, parse_labels).rows[:count]
        labelled = [(f"row {i}", answer) for i, row in enumerate(rows_of_answers, 1) for answer in row]
        sequences = encoder.encode_answers([(answer.prompt, answer.answer) for _, answer in labelled])
        for (name, answer), tokens in zip(labelled, sequences, strict=True):
            yield describe_sequence(tokenizer, f"{name}, {'' if answer.is_desirable else 'un'}desirable", tokens)
    else:
        pairs = datasets.load_mixture(config, parse_pair).rows[:count]
        sides = {name: encoder.encode_answers([(p.prompt, getattr(p, name)) for p in pairs]) for name in ("chosen", "rejected")}
        is_scored = needs.makes == "reward model"
        for i in range(len(pairs)):
            for name, sequences in sides.items():
                yield describe_sequence(tokenizer, f"pair {i + 1}, {name}", sequences[i], is_scored)
    yield from describe_losses(encoder.losses, config)


def preview_prompts(config: Any, tokenizer: Any, count: int) -> Iterator[str]:
    """Prompts that the policy answers: nothing of them is learnt."""
    prompt_set = policy_prompts.load_policy_prompts(config, tokenizer)
    for i, item in enumerate(prompt_set.training[:count], 1):
        grader = f", graded by task:{item.task}" if item.task else ""
        yield f"--- prompt {i}: {len(item.ids)} tokens, the answer is sampled{grader}\n{decode(tokenizer, item.ids)}"


def describe_sequence(tokenizer: Any, name: str, tokens: Tokens | None, is_scored: bool = False) -> str:
    """One sequence: what it is, its tokens, and which of them are learnt (or, of a reward model, where the score is read)."""
    if tokens is None:
        return f"--- {name}: left out"
    start = len(tokens) - 1 if is_scored else max(1, tokens.start)
    what = "the score is read at the last" if is_scored else f"{tokens.target_count} learnt"
    target = f"{OPEN}{decode(tokenizer, tokens.ids[start:])}{CLOSE}"
    return f"--- {name}: {len(tokens)} tokens, {what}\n{decode(tokenizer, tokens.ids[:start])}{target}"


def decode(tokenizer: Any, ids: Sequence[int]) -> str:
    """Ids as text with every special token."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))
