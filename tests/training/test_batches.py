"""Batches: the order of rows, padding, and pairs that share their prompt."""

from collections import Counter

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.training import batches, costs, forward, packing, policy_models
from harness.training.batches import Tokens
from harness.training.settings import TrainerSettings

IDS = st.integers(1, 300)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Tokens, Tokens]:
    """Two answers to a prompt; sometimes a token at the border belongs to the answers, or they begin alike."""
    prompt, alike = draw(st.lists(IDS, min_size=1, max_size=6)), draw(st.lists(IDS, max_size=2))
    sides = [draw(st.lists(IDS, min_size=1, max_size=6)) for _ in range(2)]
    starts = [max(1, len(prompt) - draw(st.integers(0, 1))) for _ in range(2)]
    chosen, rejected = (Tokens((*prompt, *alike, *s), start) for s, start in zip(sides, starts, strict=True))
    return chosen, rejected


@pytest.fixture(scope="module")
def model(tiny: str) -> torch.nn.Module:
    return policy_models.load_model(policy_models.CAUSAL, tiny)


def packed(items: list[packing.Answers], rows: int = 1) -> batches.Batch:
    """The items in so many rows."""
    return packing.pack_rows(items, 0, *packing.distribute([packing.packed_length(i) for i in items], rows))


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(pairs(), min_size=1, max_size=4), st.integers(1, 3), st.booleans())
def test_what_shares_a_row_is_computed_as_if_alone(
    model: torch.nn.Module, rows: list[tuple[Tokens, Tokens]], count: int, single: bool
) -> None:
    items: list[packing.Answers] = [(r[0],) for r in rows] if single else list(rows)
    apart, joined = packing.separate_rows(items, 0), packed(items, min(count, len(items)))
    with torch.no_grad():
        one, two = (forward.answer_logps(forward.target_logps(model, b), b) for b in (apart, joined))
        ends = [forward.hidden_states(model, b).flatten(0, 1)[b.last_places] for b in (apart, joined)]
    assert torch.allclose(one, two, atol=1e-5, rtol=1e-5)
    assert torch.allclose(ends[0], ends[1], atol=1e-5, rtol=1e-4)
    assert forward.answer_lengths(apart).tolist() == forward.answer_lengths(joined).tolist()
    assert joined.token_count <= apart.token_count


@pytest.mark.parametrize("single", [False, True])
def test_packing_changes_no_loss_and_no_gradient(model: torch.nn.Module, single: bool) -> None:
    rows = [(Tokens((2, 9, 3, 40, 1), 3), Tokens((2, 9, 3, 50, 60, 1), 3)), (Tokens((2, 3, 7, 1), 2), Tokens((2, 3, 1), 2))]
    items: list[packing.Answers] = [(r,) for pair in rows for r in pair] if single else list(rows)
    found = []
    for batch in (packing.separate_rows(items, 0), packed(items)):
        loss = -forward.target_logps(model, batch).logps.mean()
        loss.backward()
        found.append((loss.item(), {k: p.grad for k, p in model.named_parameters()}))
        model.zero_grad(set_to_none=True)
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-5)
    for key, gradient in found[0][1].items():
        assert torch.allclose(gradient, found[1][1][key], atol=1e-5), key


def test_rows_are_packed_where_that_is_less_work(model: torch.nn.Module) -> None:
    rate = costs.measure_rates(model, forward.output_head(model))
    long, short = Tokens((*range(10, 50), 1), 1), Tokens((2, 7, 1), 1)
    assert forward.can_pack(model)
    assert forward.lay_out(model, [(long,), (short,), (short,)], 0, rate).ids.shape == (1, 47)
    assert forward.lay_out(model, [(long, long), (short, short)], 0, rate).visible is not None
    assert forward.lay_out(model, [(long,), (long,)], 0, rate).visible is None  # nothing to be saved


@given(st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_a_plan_holds_every_item_once_and_no_row_is_wider_than_it_says(sizes: list[int]) -> None:
    rows, width = packing.plan_rows(sizes, lambda count, wide: count * wide)
    assert sorted(i for row in rows for i in row) == list(range(len(sizes)))
    assert max(sum(sizes[i] for i in row) for row in rows) == width


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 30), st.integers(0, 9))
def test_an_epoch_sees_every_row_once_and_a_resumed_run_goes_on_in_it(count: int, batch: int, total: int, seed: int) -> None:
    config = TrainerSettings(batch=batch, seed=seed)
    every = list(batches.iterate_steps(count, config, total))
    assert [step for step, _ in every] == list(range(1, total + 1))
    epoch = batches.steps_per_epoch(count, config)
    if total >= epoch:
        assert Counter(i for _, rows in every[:epoch] for i in rows) == Counter(range(count))
    done = total // 2
    assert list(batches.iterate_steps(count, config, total, first=done + 1)) == every[done:]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.integers(0, 7))
def test_micro_batches_hold_every_row_once(lengths: list[int], most: int) -> None:
    parts = batches.micro_batches(list(range(len(lengths))), lambda i: lengths[i], most)
    assert sorted(i for part in parts for i in part) == list(range(len(lengths)))
    assert all(len(part) <= (most or len(lengths)) for part in parts)


@pytest.mark.slow
def test_operations_are_those_that_torch_counts_in_a_whole_step(model: torch.nn.Module) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    rate = costs.measure_rates(model, forward.output_head(model))
    batch = batches.pad_rows([Tokens(tuple(range(5, 5 + n)), 3) for n in (9, 21, 14)], 0)
    account = costs.Costs()
    account.count_pass(rate, batch, train=True, heads=len(batch.targets))
    model.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter:
        forward.target_logps(model, batch).logps.sum().backward()
    model.set_attn_implementation("sdpa")
    model.zero_grad(set_to_none=True)
    assert account.flops == counter.get_total_flops()
    assert account.tokens == 9 + 21 + 14


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("lora", [0, 4])
def test_chunks_of_logits_give_the_same_figures_and_gradients(
    lora: int, temperature: float, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Tokens(tuple(range(5, 5 + n)), 2) for n in (9, 4, 12)]
    found = []
    for chunk in (forward.CHUNK, 1):  # all at once; one token at a time
        monkeypatch.setattr(forward, "CHUNK", chunk)
        torch.manual_seed(0)
        model = policy_models.prepare_training(
            policy_models.load_model(policy_models.CAUSAL, tiny),
            TrainerSettings(model=tiny, lora=lora, device="cpu"),
            "CAUSAL_LM",
        )
        targets = forward.target_logps(model, batches.pad_rows(rows, 0), temperature, statistics=True)
        (targets.logps * torch.arange(len(targets.logps))).sum().backward()
        found.append((targets, {k: p.grad for k, p in model.named_parameters() if p.grad is not None}))
    (whole, gradients), (chunks, others) = found
    for one, two in zip(whole, chunks, strict=True):
        assert torch.allclose(one.float(), two.float(), atol=1e-6)
    assert gradients.keys() == others.keys() != set()
    largest = max(g.abs().max() for g in gradients.values())
    assert all(torch.allclose(gradients[k], others[k], atol=1e-6 * largest.item()) for k in gradients)
