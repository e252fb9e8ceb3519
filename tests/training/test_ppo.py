"""PPO: what is known beforehand, an independent computation of every number, and that it learns what it is paid for."""

import json
import math
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.discovery import find_checkpoints
from harness.trainers import grpo, ppo, reward
from harness.training import batches, experience, forward, losses, policy_models, reward_model
from harness.training.batches import Tokens
from harness.training.costs import Costs
from harness.training.experience import EpisodeSettings
from harness.training.sampling import SamplingSettings
from harness.training.tokenization import load_tokenizer
from harness.types import SkilldeltaError
from tests.support.training_toy import make_model, preference, text, without_costs

Rows = Callable[[str, Iterable[Any]], str]


@pytest.fixture(scope="session")
def judge(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A reward model that has learnt to like the right, short answer."""
    folder = tmp_path_factory.mktemp("judge")
    data = folder / "pairs.jsonl"
    data.write_text("".join(json.dumps(preference(i)) + "\n" for i in range(80)))
    config = reward.RewardConfig(
        model=tiny, data=(str(data),), out=str(folder / "run"), lr=2e-3, batch=8, epochs=2.0, samples=64, max_new=8, warmup=0.0
    )
    return reward.train(config).path


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A reward model of another base, wider than the policy, with the same tokenizer."""
    folder = tmp_path_factory.mktemp("large")
    base = make_model(folder / "base", seed=7, width=64)
    data = folder / "pairs.jsonl"
    data.write_text("".join(json.dumps(preference(i)) + "\n" for i in range(40)))
    settings = reward.RewardConfig(
        model=base, data=(str(data),), out=str(folder / "run"), lr=2e-3, batch=8, samples=16, max_new=8
    )
    return reward.train(settings).path


@pytest.fixture
def prompts(write: Rows) -> str:
    return write("prompts.jsonl", ({"prompt": [{"role": "user", "content": text(i)}]} for i in range(40)))


def config(tiny: str, judge: str, prompts: str, out: Path, **more: Any) -> ppo.PPOConfig:
    known: dict[str, Any] = {
        "model": tiny, "reward": judge, "data": (prompts,), "out": str(out), "lr": 1e-3, "batch": 16, "minibatch": 8,
        "max_prompt": 64, "max_new": 8, "missing_end": -3.0, "max_steps": 3, "log_steps": 1, "temperature": 0.9, "warmup": 0.0,
    }  # fmt: skip
    return ppo.PPOConfig(**(known | more))


def log(folder: str | Path) -> list[dict[str, Any]]:
    return json.loads((Path(folder) / "trainer_state.json").read_text())["log_history"]


@pytest.mark.slow
def test_the_first_ratio_of_a_run_is_exactly_one_and_the_first_kl_zero(
    tiny: str, judge: str, prompts: str, tmp_path: Path
) -> None:
    for name, more in (("fresh", {}), ("again", {"micro_batch": 4})):
        found = ppo.train(config(tiny, judge, prompts, tmp_path / name, minibatch=16, max_steps=1, **more))
        (row,) = log(found.path)
        assert row["val/ratio"] == pytest.approx(1.0, abs=1e-6)
        assert row["objective/kl"] == pytest.approx(0.0, abs=1e-5)
        assert row["policy/clipfrac_avg"] == 0.0
        assert row["policy/approxkl_avg"] == pytest.approx(0.0, abs=1e-10)
        # With ratios of 1, the loss is minus the mean of whitened advantages: zero.
        assert row["loss/policy_avg"] == pytest.approx(0.0, abs=1e-5)


@pytest.mark.slow
def test_the_pass_that_measures_may_as_well_learn(tiny: str, judge: str, prompts: str, tmp_path: Path) -> None:
    """Reusing the first minibatch's graph gives the weights that a second pass gives."""
    one = ppo.train(config(tiny, judge, prompts, tmp_path / "one", eps=1e-3))
    two = ppo.train(config(tiny, judge, prompts, tmp_path / "two", eps=1e-3, micro_batch=7))
    for key, value in policy_models.load_model(policy_models.CAUSAL, one.path).state_dict().items():
        assert torch.allclose(value, policy_models.load_model(policy_models.CAUSAL, two.path).state_dict()[key], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("lora", [0, 4])
def test_a_resumed_run_ends_at_the_same_weights(lora: int, tiny: str, judge: str, prompts: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    name = "adapter_model.safetensors" if lora else "model.safetensors"
    more = {"max_steps": 4, "save_steps": 2, "kl_target": 0.1, "lora": lora}
    whole = ppo.train(config(tiny, judge, prompts, tmp_path / "whole", **more))
    ppo.train(config(tiny, judge, prompts, tmp_path / "broken", **more))
    (tmp_path / "broken/checkpoint-4/trainer_state.json").unlink()
    told = json.loads((tmp_path / "broken/run.json").read_text())
    (tmp_path / "broken/run.json").write_text(json.dumps(told | {"status": "running"}))
    again = ppo.train(config(tiny, judge, prompts, tmp_path / "broken", **more))
    for part in (name, f"value/{name}"):
        one, two = load_file(Path(whole.path) / part), load_file(Path(again.path) / part)
        assert all(torch.equal(one[k], two[k]) for k in one)
    assert without_costs(log(whole.path)) == without_costs(log(again.path))


@pytest.mark.slow
def test_the_reference_of_an_adapter_is_its_base(tiny: str, judge: str, prompts: str, tmp_path: Path) -> None:
    found = ppo.train(config(tiny, judge, prompts, tmp_path / "run", lora=4, lr=0.01, max_steps=4))
    rows = log(found.path)
    assert rows[0]["objective/kl"] == pytest.approx(0.0, abs=1e-5)
    assert rows[-1]["objective/kl_k3"] > 1e-3


class TestOneRollout:
    """One batch of answers by hand: some end, some do not, all lengths differ."""

    ROWS = [
        Tokens((2, 30, 40, 3, 50, 60, 1), 4),
        Tokens((2, 30, 3, 70, 1), 3),
        Tokens((2, 9, 9, 3, 44, 45, 46, 47), 4),
        Tokens((2, 3, 1), 2),
    ]

    @pytest.fixture
    def models(self, tiny: str, judge: str, prompts: str, tmp_path: Path) -> experience.ActorCritic:
        settings = config(tiny, judge, prompts, tmp_path)
        found = experience.load_actor_critic(settings, reward_model.load(judge), judge, (1, 0), None)
        with torch.no_grad():  # a policy that has moved away from its reference
            for p in found.policy.parameters():
                p += 0.02 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
        return found

    def seen(self, models: experience.ActorCritic, first: tuple[int, ...] = ()) -> experience.Episodes:
        settings = EpisodeSettings(SamplingSettings(1, 8, 0.9), missing_end=-3.0, rows=2)
        return experience.measure_episodes(models, self.ROWS, settings, first, Costs())[0]

    @pytest.mark.slow
    def test_every_number_is_that_of_a_plain_computation(self, models: experience.ActorCritic, judge: str) -> None:
        """Row by row, without padding, through transformers' own forward, in Python loops after arXiv 2403.17031."""
        from transformers import AutoModelForSequenceClassification

        seen, card = self.seen(models, (1, 2)), json.loads((Path(judge) / "reward.json").read_text())
        cost, gamma, lam, heat = 0.3, 0.98, 0.9, 0.9
        rewards = seen.rewards(cost)
        found = losses.gae(rewards, seen.values, seen.mask, gamma, lam)
        white = losses.whiten(found.advantages, seen.mask)
        raw = AutoModelForSequenceClassification.from_pretrained(judge).eval()
        every: list[float] = []
        for i, row in enumerate(self.ROWS):
            ids, start = torch.tensor([row.ids]), row.start
            with torch.no_grad():
                pi, ref = (torch.log_softmax(m(input_ids=ids).logits[0] / heat, -1) for m in (models.policy, models.reference))
                score = (raw(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, 0].item() - card["mean"]) / card[
                    "sd"
                ]
                states = models.value.model(input_ids=ids).last_hidden_state[0]
                value = (states @ models.value.score.weight[0] - card["mean"] / card["sd"]).tolist()
            score = score if row.ids[-1] == 1 else -3.0
            logp = [pi[t - 1, row.ids[t]].item() for t in range(start, len(row))]
            logr = [ref[t - 1, row.ids[t]].item() for t in range(start, len(row))]
            expected = [value[t - 1] for t in range(start, len(row))] + [0.0]
            r = [-cost * (a - b) for a, b in zip(logp, logr, strict=True)]
            r[-1] += score
            gains = [0.0] * len(r)
            after = 0.0
            for t in reversed(range(len(r))):
                after = r[t] + gamma * expected[t + 1] - expected[t] + gamma * lam * after
                gains[t] = after
            n = len(r)
            assert seen.old_logps[i, :n].tolist() == pytest.approx(logp, abs=1e-5)
            assert seen.reference_logps[i, :n].tolist() == pytest.approx(logr, abs=1e-5)
            assert seen.values[i, :n].tolist() == pytest.approx(expected[:-1], abs=1e-5)
            assert seen.scores[i].item() == pytest.approx(score, abs=1e-5)
            assert rewards[i, :n].tolist() == pytest.approx(r, abs=1e-5)
            assert found.advantages[i, :n].tolist() == pytest.approx(gains, abs=1e-5)
            assert found.returns[i, :n].tolist() == pytest.approx(
                [a + v for a, v in zip(gains, expected, strict=False)], abs=1e-5
            )
            every += gains
        mean = sum(every) / len(every)
        sd = math.sqrt(sum((a - mean) ** 2 for a in every) / (len(every) - 1) + 1e-8)
        assert white[seen.mask].tolist() == pytest.approx([(a - mean) / sd for a in every], abs=1e-5)

    @pytest.mark.slow
    def test_the_losses_are_those_of_a_plain_computation(self, models: experience.ActorCritic) -> None:
        seen = self.seen(models)
        found = losses.gae(seen.rewards(0.3), seen.values, seen.mask)
        white = losses.whiten(found.advantages, seen.mask)
        batch = batches.pad_rows(self.ROWS, 0)
        with torch.no_grad():
            for p in [*models.policy.parameters(), *models.value.parameters()]:
                p += 0.03 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
            new, worth = models.logps(batch, 0.9).logps, models.values(batch)
        mask = seen.mask
        policy = losses.ppo_policy(new, seen.old_logps[mask], white[mask], 0.2)
        value = losses.ppo_value(worth, seen.values[mask], found.returns[mask], 0.2)
        plain_policy = plain_value = 0.0
        for n, o, a, v, w, r in zip(
            new, seen.old_logps[mask], white[mask], seen.values[mask], worth, found.returns[mask], strict=True
        ):
            ratio = math.exp(n.item() - o.item())
            plain_policy += max(-a.item() * ratio, -a.item() * min(max(ratio, 0.8), 1.2))
            near = min(max(w.item(), v.item() - 0.2), v.item() + 0.2)
            plain_value += 0.5 * max((w.item() - r.item()) ** 2, (near - r.item()) ** 2)
        assert policy.is_clipped.any()
        assert value.is_clipped.any()
        assert policy.loss.sum().item() == pytest.approx(plain_policy, abs=1e-5)
        assert value.loss.sum().item() == pytest.approx(plain_value, rel=1e-5)

    @pytest.mark.slow
    def test_the_value_model_begins_at_the_scale_of_the_reward(
        self, tiny: str, judge: str, prompts: str, tmp_path: Path
    ) -> None:
        """Before the end token is said its value is what the reward model says there: one token early, on the same scale."""
        models = experience.load_actor_critic(
            config(tiny, judge, prompts, tmp_path), reward_model.load(judge), judge, (1, 0), None
        )
        row = self.ROWS[0]
        value = models.values(batches.pad_rows([row], 0))
        score = models.reward.scores(batches.pad_rows([Tokens(row.ids[:-1], row.start)], 0))
        assert value[-1].item() == pytest.approx(score.item(), abs=1e-5)


@pytest.mark.slow
def test_an_answer_that_does_not_end_has_its_score_replaced(tiny: str, judge: str, prompts: str, tmp_path: Path) -> None:
    found = ppo.train(config(tiny, judge, prompts, tmp_path / "run", max_new=1, max_steps=1, missing_end=-7.0))
    (row,) = log(found.path)
    assert row["val/eos_rate"] < 0.2
    assert row["objective/scores"] <= -7 * (1 - row["val/eos_rate"]) + 5 * row["val/eos_rate"]
    assert row["val/length"] == 1.0


@pytest.mark.slow
def test_it_earns_more_than_it_did(tiny: str, judge: str, prompts: str, tmp_path: Path) -> None:
    settings = config(tiny, judge, prompts, tmp_path / "run", max_steps=40, batch=32, minibatch=16, lr=3e-3, lr_end=0.1)
    rows = log(ppo.train(settings).path)
    early, late = (sum(r["objective/rlhf_reward"] for r in part) / 5 for part in (rows[:5], rows[-5:]))
    assert late > early + 1.0
    assert rows[-1]["objective/kl"] > 0.1
    assert rows[-1].keys() >= {
        "objective/rlhf_reward", "objective/scores", "objective/kl", "objective/kl_k3", "policy/entropy_avg", "val/length",
        "val/eos_rate", "policy/clipfrac_avg", "val/clipfrac_avg", "val/ratio", "val/explained_variance", "loss/policy_avg",
        "loss/value_avg", "policy/approxkl_avg", "kl_coef", "lr", "episode", "num_tokens", "total_flos", "seconds",
        "seconds/rollout", "seconds/score", "seconds/update", "total_flos_with_reward_model", "seconds_with_reward_model",
    }  # fmt: skip


@pytest.mark.slow
def test_a_run_stops_before_it_learns_from_a_policy_that_is_too_far_away(
    tiny: str, judge: str, prompts: str, tmp_path: Path
) -> None:
    settings = config(tiny, judge, prompts, tmp_path / "run", max_steps=30, lr=5e-3, kl_stop=0.5)
    found = ppo.train(settings)
    told = json.loads((tmp_path / "run/run.json").read_text())
    assert found.step is not None
    assert found.step < 30
    assert told["stopped"].startswith(f"before step {found.step + 1}")
    assert all(r["objective/kl"] <= 0.5 for r in log(found.path))


@pytest.mark.slow
def test_the_best_by_validation_is_the_one_to_go_on_with(tiny: str, judge: str, prompts: str, tmp_path: Path) -> None:
    settings = config(tiny, judge, prompts, tmp_path / "run", max_steps=6, holdout=0.3, eval_steps=2, lr=3e-3)
    found = ppo.train(settings)
    judged = {
        r["step"]: r["eval_objective/rlhf_reward"] for r in log(tmp_path / "run/checkpoint-6") if "eval_objective/kl" in r
    }
    assert set(judged) == {2, 4, 6}
    assert judged[found.step or 0] == max(judged.values())


@pytest.mark.slow
def test_the_cost_of_kl_adapts_towards_its_target(tiny: str, judge: str, prompts: str, tmp_path: Path) -> None:
    rows = log(ppo.train(config(tiny, judge, prompts, tmp_path / "run", kl_target=6.0, kl_horizon=100)).path)
    assert rows[0]["kl_coef"] == pytest.approx(0.05 * (1 - 0.2 * 16 / 100))
    assert rows[1]["kl_coef"] < rows[0]["kl_coef"]


@pytest.mark.slow
def test_over_long_prompts_are_dropped_and_counted(tiny: str, judge: str, write: Rows, tmp_path: Path) -> None:
    data = write("p.jsonl", [{"question": "red"}, {"question": "red " * 200}])
    ppo.train(config(tiny, judge, data, tmp_path / "run", max_steps=1))
    assert json.loads((tmp_path / "run/run.json").read_text())["lost"] == {"overlong": 1}


@pytest.mark.slow
def test_several_rollouts_share_a_prompt(tiny: str, judge: str, prompts: str, tmp_path: Path) -> None:
    found = ppo.train(config(tiny, judge, prompts, tmp_path / "run", rollouts=4, max_steps=2))
    assert log(found.path)[-1]["episode"] == 32


@pytest.mark.slow
def test_a_run_folder_is_found_and_names_its_reward_model(tiny: str, judge: str, prompts: str, tmp_path: Path) -> None:
    ppo.train(config(tiny, judge, prompts, tmp_path / "run"))
    assert [(c.name, c.method, c.problem) for c in find_checkpoints([str(tmp_path / "run")])] == [("run@3", "ppo", "")]
    told = json.loads((tmp_path / "run/run.json").read_text())
    assert told["reward_model"]["fingerprint"]["weights"]
    assert set(told["seconds"]) == {"rollout", "score", "update", "save"}


class TestALargerRewardModel:
    """Another base, wider than the policy and with the same tokenizer; the value model is made of it."""

    @pytest.mark.slow
    def test_the_value_model_begins_as_it(self, tiny: str, large: str, prompts: str, tmp_path: Path) -> None:
        judge = reward_model.load(large)
        models = experience.load_actor_critic(config(tiny, large, prompts, tmp_path), judge, large, (1, 0), None)
        assert models.policy.config.hidden_size < models.value.config.hidden_size == judge.model.config.hidden_size
        begun, judging = (forward.inner_model(m).model.state_dict() for m in (models.value, judge.model))
        assert all(torch.equal(begun[k], judging[k]) for k in judging)
        rows = TestOneRollout.ROWS
        worth = models.values(batches.pad_rows(rows, 0)).split([r.target_count for r in rows])
        said = judge.scores(batches.pad_rows([Tokens(r.ids[:-1], r.start) for r in rows], 0))
        assert [w[-1].item() for w in worth] == pytest.approx(said.tolist(), abs=1e-5)

    @pytest.mark.slow
    @pytest.mark.parametrize("lora", [0, 4])
    def test_it_moves_the_policy_and_is_left_as_it_was(
        self, lora: int, tiny: str, large: str, prompts: str, tmp_path: Path
    ) -> None:
        before = (Path(large) / "model.safetensors").read_bytes()
        found = ppo.train(config(tiny, large, prompts, tmp_path / "run", lora=lora, save_steps=2))
        rows = log(found.path)
        assert rows[0]["objective/kl"] == pytest.approx(0.0, abs=1e-5)
        assert all(math.isfinite(r[k]) for r in rows for k in ("loss/policy_avg", "loss/value_avg", "objective/rlhf_reward"))
        assert rows[-1]["objective/kl_k3"] > 1e-5
        assert rows[-1]["total_flos_with_reward_model"] > rows[-1]["total_flos"]
        assert (Path(large) / "model.safetensors").read_bytes() == before
        if not lora:
            sizes = [json.loads((Path(found.path) / p / "config.json").read_text())["hidden_size"] for p in (".", "value")]
            assert sizes == [32, 64]

    @pytest.mark.slow
    def test_a_resumed_run_takes_the_value_model_up_again(self, tiny: str, large: str, prompts: str, tmp_path: Path) -> None:
        from safetensors.torch import load_file

        whole = ppo.train(config(tiny, large, prompts, tmp_path / "whole", save_steps=2))
        shutil.copytree(tmp_path / "whole", tmp_path / "broken")
        shutil.rmtree(tmp_path / "broken/checkpoint-3")
        told = json.loads((tmp_path / "broken/run.json").read_text())
        (tmp_path / "broken/run.json").write_text(json.dumps(told | {"status": "running"}))
        again = ppo.train(config(tiny, large, prompts, tmp_path / "broken", save_steps=2))
        for part in ("model.safetensors", "value/model.safetensors"):
            one, two = (load_file(Path(f.path) / part) for f in (whole, again))
            assert all(torch.equal(one[k], two[k]) for k in one)


class TestRefusals:
    @pytest.mark.slow
    def test_a_reward_model_of_another_vocabulary(self, tiny: str, judge: str, prompts: str, tmp_path: Path) -> None:
        other = tmp_path / "other"
        shutil.copytree(judge, other)
        words = load_tokenizer(judge)
        words.add_tokens(["<|new|>"])
        words.save_pretrained(other)
        with pytest.raises(SkilldeltaError, match="another vocabulary"):
            ppo.train(config(tiny, str(other), prompts, tmp_path / "run"))

    @pytest.mark.slow
    def test_a_reward_model_that_reads_another_template(self, tiny: str, judge: str, prompts: str, tmp_path: Path) -> None:
        other = tmp_path / "other"
        shutil.copytree(judge, other)
        words = load_tokenizer(judge, "tulu")
        words.save_pretrained(other)
        with pytest.raises(SkilldeltaError, match="another chat template"):
            ppo.train(config(tiny, str(other), prompts, tmp_path / "run"))

    def test_a_policy_as_reward_model(self, tiny: str, prompts: str, tmp_path: Path) -> None:
        with pytest.raises(SkilldeltaError, match="no reward model"):
            ppo.train(config(tiny, tiny, prompts, tmp_path / "run"))

    def test_no_reward_model(self, tiny: str, prompts: str, tmp_path: Path) -> None:
        with pytest.raises(SkilldeltaError, match="--reward is missing"):
            replace(config(tiny, "", prompts, tmp_path)).check()

    @pytest.mark.slow
    def test_a_reward_model_of_conversations_for_plain_texts(self, tiny: str, judge: str, write: Rows, tmp_path: Path) -> None:
        plain = write("plain.jsonl", ({"prompt": text(i)} for i in range(40)))
        with pytest.raises(SkilldeltaError, match=r"trained on conversations, and the prompts are plain texts.*--chat makes"):
            ppo.train(config(tiny, judge, plain, tmp_path / "run"))
        assert ppo.train(config(tiny, judge, plain, tmp_path / "run", chat=True)).step == 3

    @pytest.mark.slow
    def test_a_reward_model_of_plain_texts_for_conversations(
        self, tiny: str, judge: str, prompts: str, write: Rows, tmp_path: Path
    ) -> None:
        other = tmp_path / "other"
        shutil.copytree(judge, other)
        card = other / "reward.json"
        card.write_text(json.dumps(json.loads(card.read_text()) | {"conversations": False}))
        fault = r"trained on plain texts, and the prompts are conversations.*with --chat"
        with pytest.raises(SkilldeltaError, match=fault):
            ppo.train(config(tiny, str(other), prompts, tmp_path / "run"))
        with pytest.raises(SkilldeltaError, match=fault):
            grpo.train(grpo.GRPOConfig(model=tiny, reward=str(other), data=(prompts,), out=str(tmp_path / "grpo")))
        plain = write("plain.jsonl", ({"prompt": text(i)} for i in range(40)))
        assert ppo.train(config(tiny, str(other), plain, tmp_path / "run")).step == 3


@pytest.mark.slow
def test_stages_of_adapters_end_without_a_word_about_files_that_are_gone(
    tiny: str, prompts: str, write: Rows, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    data = write("pairs.jsonl", (preference(i) for i in range(16)))
    more: dict[str, Any] = {"batch": 8, "samples": 0, "max_steps": 1, "lora": 2}
    adapter = reward.train(reward.RewardConfig(model=tiny, data=(data,), out=str(tmp_path / "rm"), **more)).path
    ppo.train(config(tiny, adapter, prompts, tmp_path / "run", lora=2, max_steps=1))
    assert not [str(w.message) for w in recwarn if "config file" in str(w.message)]
