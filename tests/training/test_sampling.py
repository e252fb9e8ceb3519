"""Sampled answers against transformers' generate and against the distribution that they are said to come from."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.training import sampling
from harness.training.sampling import SamplingSettings, sample_answers

PROMPTS = ["first of red", "sun moon hot cold up down ?", "a", "first of one two three four yes no ?"]


@pytest.fixture(scope="module")
def model(tiny: str) -> AutoModelForCausalLM:
    return AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def prompts(tiny: str) -> list[list[int]]:
    return AutoTokenizer.from_pretrained(tiny)(PROMPTS)["input_ids"]


@pytest.mark.slow
def test_greedy_answers_are_those_of_generate(model: AutoModelForCausalLM, prompts: list[list[int]]) -> None:
    end = frequent(model, prompts)
    found = sample_answers(model, prompts, SamplingSettings(end=end, max_new=12, temperature=0.0, rows=3))
    for prompt, answer in zip(prompts, found, strict=True):
        expected = model.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), max_new_tokens=12, do_sample=False,
            eos_token_id=end, pad_token_id=0,
        )  # fmt: skip
        assert list(answer.ids) == expected[0, len(prompt) :].tolist()
        assert answer.has_end == (answer.ids[-1] == end)


def frequent(model: AutoModelForCausalLM, prompts: list[list[int]]) -> int:
    """A token that greedy decoding says soon: so that rows end at different times."""
    first = sample_answers(model, prompts, SamplingSettings(end=-7, max_new=6, temperature=0.0))
    return first[0].ids[3]


@pytest.mark.slow
def test_the_first_token_has_the_models_distribution(model: AutoModelForCausalLM, prompts: list[list[int]]) -> None:
    draws = 20_000
    found = sample_answers(model, [prompts[0]] * draws, SamplingSettings(end=1, max_new=1, temperature=0.7, seed=3, rows=5000))
    counts = torch.bincount(torch.tensor([f.ids[0] for f in found]), minlength=model.config.vocab_size).double()
    with torch.no_grad():
        expected = torch.softmax(model(torch.tensor([prompts[0]])).logits[0, -1].double() / 0.7, -1) * draws
    big = expected > 5
    statistic = ((counts - expected)[big] ** 2 / expected[big]).sum()
    freedom = int(big.sum()) - 1
    assert statistic < freedom + 5 * (2 * freedom) ** 0.5  # chi-squared, 5 standard deviations


@pytest.mark.slow
def test_the_seed_decides(model: AutoModelForCausalLM, prompts: list[list[int]]) -> None:
    one, two, other = (sample_answers(model, prompts, SamplingSettings(end=1, max_new=8, seed=s)) for s in (1, 1, 2))
    assert one == two
    assert one != other


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_engine_and_padded_batches_draw_the_same(
    model: AutoModelForCausalLM, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch, temperature: float
) -> None:
    how = SamplingSettings(end=frequent(model, prompts), max_new=10, temperature=temperature, seed=5, rows=3)
    small = sample_answers(model, prompts * 3, how)
    monkeypatch.setattr(sampling, "SMALL", 0)
    assert sample_answers(model, prompts * 3, how) == small
