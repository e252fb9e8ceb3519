"""Every formula against numbers worked by hand, and against numeric differentiation."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from harness.training import losses


def t(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_a_token_of_probability_three_quarters_has_its_logarithm() -> None:
    logits = torch.log(torch.tensor([[0.75, 0.25], [0.5, 0.5]]))
    assert torch.allclose(losses.token_logps(logits, torch.tensor([0, 1])), torch.log(torch.tensor([0.75, 0.5])))


def test_entropy_is_log_v_when_all_are_equal_and_zero_when_one_is_sure() -> None:
    found = losses.entropy(torch.tensor([[1.0, 1.0, 1.0, 1.0], [1000.0, 0.0, 0.0, 0.0]]))
    assert torch.allclose(found, torch.tensor([math.log(4), 0.0]))


def test_equal_scores_cost_a_reward_model_log_two() -> None:
    assert losses.pairwise(t(1.5), t(1.5)).item() == pytest.approx(math.log(2), abs=1e-12)


def test_pairwise_by_hand() -> None:
    # sigmoid(log 3) = 3/4, so a gap of log 3 costs log(4/3); a margin of log 3 takes it back to log 2.
    gap = math.log(3)
    assert losses.pairwise(t(gap), t(0.0)).item() == pytest.approx(math.log(4 / 3))
    assert losses.pairwise(t(gap), t(0.0), t(gap)).item() == pytest.approx(math.log(2))


def test_an_aspect_that_is_tied_costs_nothing_and_one_that_is_reversed_is_turned_round() -> None:
    gap = math.log(3)
    found = losses.pairwise_by_aspect(t(gap, gap, gap), t(0, 0, 0), t(1, -1, 0))
    assert found.tolist() == pytest.approx([math.log(4 / 3), math.log(4), 0.0])


def test_dpo_begins_at_log_two() -> None:
    same = (t(-5.0, -7.0), t(-9.0, -2.0))
    gap = losses.preference_gap(same, same)
    assert losses.dpo(gap, beta=0.1).tolist() == pytest.approx([math.log(2)] * 2, abs=1e-12)
    assert losses.dpo(gap, beta=0.1, smoothing=0.2).tolist() == pytest.approx([math.log(2)] * 2, abs=1e-12)


def test_dpo_by_hand() -> None:
    # (-1 - -2) - (-3 - -1) = 3; beta 1/3 makes it 1: -log sigmoid(1) = log(1 + e^-1), the flipped label log(1 + e).
    gap = losses.preference_gap((t(-1.0), t(-3.0)), (t(-2.0), t(-1.0)))
    right, wrong = math.log1p(math.exp(-1)), math.log1p(math.e)
    assert gap.item() == 3.0
    assert losses.dpo(gap, beta=1 / 3).item() == pytest.approx(right)
    assert losses.dpo(gap, beta=1 / 3, smoothing=0.25).item() == pytest.approx(0.75 * right + 0.25 * wrong)


def test_ipo_is_zero_at_its_target_and_a_quarter_over_beta_squared_at_the_start() -> None:
    assert losses.ipo(t(5.0), beta=0.1).item() == pytest.approx(0.0)
    assert losses.ipo(t(0.0), beta=0.1).item() == pytest.approx(1 / (4 * 0.01))


def test_the_hinge_is_one_at_a_tie_and_nothing_beyond_its_margin() -> None:
    assert losses.hinge(t(0.0, 2.0, 4.0, 5.0, -2.0), beta=0.25).tolist() == [1.0, 0.5, 0.0, 0.0, 1.5]


def test_apo_zero_moves_each_side_by_itself() -> None:
    # sigmoid(log 3) = 3/4: a chosen answer 3 times as likely costs 1/4, a rejected one 3/4.
    up = math.log(3)
    assert losses.apo_zero(t(0.0, up, -up), t(0.0, -up, up), beta=1.0).tolist() == pytest.approx([1.0, 0.5, 1.5])
    assert losses.apo_zero(t(2 * up), t(0.0), beta=0.5).item() == pytest.approx(0.75)


def test_simpo_is_log_two_at_its_margin() -> None:
    assert losses.simpo(t(0.25), beta=2.0, gamma=0.5).item() == pytest.approx(math.log(2))
    assert losses.simpo(t(math.log(3)), beta=1.0, gamma=0.0).item() == pytest.approx(math.log(4 / 3))


def test_the_odds_ratio_by_hand() -> None:
    # Odds of 3/4 are 3, of 1/4 a third: their ratio is 9, and sigmoid(log 9) = 9/10.
    assert losses.odds_ratio(torch.log(t(0.75)), torch.log(t(0.25))).item() == pytest.approx(math.log(10 / 9))
    assert losses.odds_ratio(t(-0.7), t(-0.7)).item() == pytest.approx(math.log(2))


def test_the_odds_of_very_likely_answers_keep_their_digits() -> None:
    # 1 - p is 1e-6 and 2e-6, so that the odds stand as 2 to 1 (but for parts in a million).
    likely = torch.tensor([-1e-6, -2e-6], requires_grad=True)
    loss = losses.odds_ratio(likely[:1], likely[1:])
    assert loss.item() == pytest.approx(math.log(3 / 2), rel=1e-4)
    loss.sum().backward()
    assert likely.grad is not None
    assert bool(likely.grad.isfinite().all())
    assert bool(losses.odds_ratio(torch.zeros(1), torch.zeros(1)).isfinite().all())


def test_k1_is_signed_and_k3_is_not() -> None:
    logp, reference = torch.log(t(0.5, 0.25)), torch.log(t(0.25, 0.5))
    assert losses.k1(logp, reference).tolist() == pytest.approx([math.log(2), -math.log(2)])
    assert losses.k3(logp, reference).tolist() == pytest.approx([0.5 - 1 + math.log(2), 2 - 1 - math.log(2)])


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=6), st.lists(st.floats(-3, 3), min_size=6, max_size=6))
def test_both_estimators_average_to_the_kl_divergence(ours: list[float], theirs: list[float]) -> None:
    logp = torch.log_softmax(t(*ours), 0)
    reference = torch.log_softmax(t(*theirs[: len(ours)]), 0)
    exact = torch.nn.functional.kl_div(reference, logp, log_target=True, reduction="sum").item()
    for estimator in (losses.k1, losses.k3):
        assert (logp.exp() * estimator(logp, reference)).sum().item() == pytest.approx(exact, abs=1e-9)


def test_whitening_looks_at_the_mask_only() -> None:
    values = torch.tensor([[1.0, 3.0, 99.0], [5.0, 7.0, -99.0]])
    mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    white = losses.whiten(values, mask)
    kept = white[mask.bool()]
    assert kept.mean().item() == pytest.approx(0.0, abs=1e-6)
    assert kept.var().item() == pytest.approx(1.0, abs=1e-5)
    assert white[:, 2].tolist() == [0.0, 0.0]
    # mean 4, sum of squares 9 + 1 + 1 + 9 = 20, variance 20 / 3
    assert white[0, 0].item() == pytest.approx(-3 / math.sqrt(20 / 3), abs=1e-5)
    assert losses.whiten(values, mask, shift=False)[mask.bool()].mean().item() == pytest.approx(4.0, abs=1e-5)


def test_gae_by_hand() -> None:
    rewards, values, mask = t(0.0, 1.0)[None], t(0.5, 0.25)[None], t(1.0, 1.0)[None]
    found = losses.gae(rewards, values, mask, gamma=0.9, lam=0.8)
    last = 1.0 - 0.25
    first = (0.0 + 0.9 * 0.25 - 0.5) + 0.9 * 0.8 * last
    assert found.advantages[0].tolist() == pytest.approx([first, last])
    assert found.returns[0].tolist() == pytest.approx([first + 0.5, 1.0])


@settings(max_examples=50)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 10_000))
def test_with_gamma_and_lambda_one_the_advantage_is_return_minus_value(length: int, other: int, seed: int) -> None:
    noise = torch.Generator().manual_seed(seed)
    width = max(length, other)
    mask = (torch.arange(width)[None] < torch.tensor([[length], [other]])).double()
    rewards = torch.randn(2, width, generator=noise, dtype=torch.float64) * mask
    values = torch.randn(2, width, generator=noise, dtype=torch.float64)  # rubbish after the end, on purpose
    found = losses.gae(rewards, values, mask, gamma=1.0, lam=1.0)
    returns = rewards.flip(1).cumsum(1).flip(1)
    assert torch.allclose(found.advantages, (returns - values) * mask, atol=1e-10)
    assert torch.allclose(found.returns, returns * mask, atol=1e-10)


def test_with_lambda_zero_the_advantage_is_the_one_step_error() -> None:
    found = losses.gae(t(1.0, 2.0, 3.0)[None], t(1.0, 1.0, 1.0)[None], t(1.0, 1.0, 1.0)[None], gamma=0.5, lam=0.0)
    assert found.advantages[0].tolist() == pytest.approx([0.5, 1.5, 2.0])


def test_an_unchanged_policy_has_ratio_one_and_loss_minus_the_advantage() -> None:
    logp, advantages = t(-1.0, -2.0), t(2.0, -3.0)
    found = losses.ppo_policy(logp, logp, advantages, clip=0.2)
    assert found.ratio.tolist() == [1.0, 1.0]
    assert found.loss.tolist() == [-2.0, 3.0]
    assert not found.is_clipped.any()


def test_the_policy_loss_is_clipped_only_where_it_would_gain() -> None:
    # ratios 2, 2, 1/2, 1/2 against advantages +1, -1, +1, -1
    logp = torch.log(t(2.0, 2.0, 0.5, 0.5))
    found = losses.ppo_policy(logp, t(0, 0, 0, 0), t(1, -1, 1, -1), clip=0.2)
    assert found.loss.tolist() == pytest.approx([-1.2, 2.0, -0.5, 0.8])
    assert found.is_clipped.tolist() == [True, False, False, True]


def test_the_value_loss_takes_the_worse_of_free_and_clipped() -> None:
    # from 0 to 1 towards a return of 1: free error 0, but clipped to 0.2: half of 0.8 squared
    found = losses.ppo_value(t(1.0, 0.1), t(0.0, 0.0), t(1.0, 1.0), clip=0.2)
    assert found.loss.tolist() == pytest.approx([0.5 * 0.64, 0.5 * 0.81])
    assert found.is_clipped.tolist() == [True, False]


def test_explained_variance_of_a_perfect_and_of_a_constant_value_model() -> None:
    returns, mask = t(1.0, 2.0, 3.0, 9.0), t(1, 1, 1, 0)
    assert losses.explained_variance(returns, returns, mask).item() == pytest.approx(1.0)
    assert losses.explained_variance(t(2.0, 2.0, 2.0, 0.0), returns, mask).item() == pytest.approx(0.0)


def away(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


@pytest.mark.filterwarnings("error")
def test_one_answer_of_one_token_is_a_batch_too() -> None:
    one = torch.ones(1, 1)
    assert losses.explained_variance(one * 0.3, one * 2, one) == 0
    advantages, returns = losses.gae(one * 2, one * 0.5, one)
    assert (advantages.item(), returns.item()) == (1.5, 2.0)
    assert losses.whiten(advantages, one).item() == 0
    assert losses.group_advantages(torch.tensor([1.0, float("nan")]), 2, "group").tolist() == [0, 0]
    for kind in ("grpo", "dapo", "bnpo", "dr_grpo"):
        assert losses.token_weights(kind, one, 1, 1.0).item() == 1


@pytest.mark.slow
def test_gradients_agree_with_numeric_differentiation() -> None:
    a, b, c = away(2, 3, seed=1), away(2, 3, seed=2), away(2, 3, seed=3)
    sign = t(1, -1, 0, 1, 1, -1).reshape(2, 3)
    assert gradcheck(losses.pairwise, (a, b, c))
    assert gradcheck(lambda x, y: losses.pairwise_by_aspect(x, y, sign), (a, b))
    assert gradcheck(lambda x, y: losses.dpo(losses.preference_gap((x, y), (b, c)), 0.3, 0.1), (a, c))
    assert gradcheck(lambda x: losses.ipo(x, 0.3), (a,))
    assert gradcheck(losses.k3, (a, b))
    assert gradcheck(lambda x, y: losses.ppo_policy(x, b, y, 0.2).loss, (a, c))
    assert gradcheck(lambda x: losses.ppo_value(x, b, c, 0.2).loss, (a,))
    assert gradcheck(lambda x: losses.whiten(x, torch.ones_like(b)), (a,))
    assert gradcheck(lambda r, v: losses.gae(r, v, torch.ones_like(b)).advantages, (a, b))
