"""A step ahead of the tokens that are read: the same texts as step by step, whoever ends, enters and draws meanwhile."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings

from harness.engine import device, sequences
from harness.engine.engine import BatchLimits, Engine
from harness.engine.kv_cache import DecodingBatch
from harness.engine.launch_ahead import start_copy
from harness.engine.sequences import DecodingRow, TokenPrompt
from harness.engine.token_meter import TokenMeter
from tests.engine.test_continuous_batching import ENDS, answers, ends_never, questions, some_prompts
from tests.engine.test_engine import CONFIGS, make

ENGINES: list[Engine] = []


def engines() -> list[Engine]:
    """One model, step by step and a step ahead, with slots that are taken again."""
    if not ENGINES:
        model = make(CONFIGS["llama"])
        ENGINES.extend(Engine(model, BatchLimits(4, slots), "tree") for slots in (4, 3))
        ENGINES[1].launches_ahead = True
    return ENGINES


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(prompts=questions())
def test_texts_are_those_of_single_steps(prompts: list[TokenPrompt]) -> None:
    step_by_step, ahead = engines()
    assert answers(ahead, prompts) == answers(step_by_step, prompts)


def test_a_step_is_launched_before_the_tokens_of_the_last_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    append, step = DecodingRow.append, DecodingBatch.step

    def noted_append(row: DecodingRow, token: int) -> None:
        events.append("token")
        append(row, token)

    def noted_step(batch: DecodingBatch, tokens: Any) -> torch.Tensor:
        events.append("step")
        return step(batch, tokens)

    monkeypatch.setattr(DecodingRow, "append", noted_append)
    monkeypatch.setattr(DecodingBatch, "step", noted_step)
    assert len(answers(engines()[1], some_prompts(1))[0].ids) == 7
    # The first token comes from the prompt; each later one is read after the next step was launched.
    assert events == ["token", "step", *["step", "token"] * 6]


@pytest.mark.slow
def test_tokens_are_counted_and_nobodys_else_choice_is_run_ahead() -> None:
    engine = engines()[1]
    seen: list[int] = []
    clock = iter(range(1000))
    engine.meter = TokenMeter(lambda tokens, _: seen.append(tokens), clock=lambda: next(clock))
    try:
        found = answers(engine, some_prompts(3))
        assert seen[-1] >= sum(len(g.ids) for g in found.values())
    finally:
        engine.meter = None
    lengths: list[int] = []

    def choose(logits: torch.Tensor, rows: Any) -> torch.Tensor:
        lengths.extend(len(row.ids) for row in rows)
        return sequences.choose_tokens(logits, rows)

    prompt = TokenPrompt([5, 6], 4, ends_never)
    dict(engine.generate(engine.plan_prompts([prompt]), ENDS, choose))
    assert lengths == list(range(len(lengths)))  # every token was there when the next one was chosen


def test_tokens_join_in_their_order_wherever_they_are_known() -> None:
    here = torch.device("cpu")
    assert device.join_tokens([3, torch.tensor(4), 5, torch.tensor(6)], here).tolist() == [3, 4, 5, 6]
    assert device.join_tokens([torch.tensor(4)], here).tolist() == [4]
    assert device.join_tokens([3, 4], here).dtype == torch.int64
    assert device.send_numbers([0.5], here, torch.float64).dtype == torch.float64
    assert start_copy(torch.tensor([7, 8]), [2, 0]).wait() == [(2, 7), (0, 8)]
