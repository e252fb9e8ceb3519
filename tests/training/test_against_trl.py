"""The same data, model and settings through TRL's trainers and ours: losses, gradients, and weights after 20 steps."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from harness.trainers import dpo, grpo, kto, reward, sft
from harness.training import batches, datasets, forward, labelled_answers, losses, packing, policy_models
from harness.training.preferences import ParseSettings, parse_pair
from harness.training.settings import TrainerSettings
from harness.training.tokenization import Encoder, load_tokenizer
from tests.support.training_toy import chat, label, preference

pytest.importorskip("trl", reason="trl is in the dev extra: pip install -e '.[dev]'")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # TRL's and accelerate's own
]
Rows = Callable[[str, Iterable[Any]], str]
STEPS, BATCH, LR = 20, 8, 1e-4
SHARED: dict[str, Any] = {
    "max_steps": STEPS, "per_device_train_batch_size": BATCH, "learning_rate": LR, "warmup_steps": 2, "logging_steps": 1,
    "report_to": [], "bf16": False, "gradient_checkpointing": False, "use_cpu": True, "disable_tqdm": True,
    "save_strategy": "no", "train_sampling_strategy": "sequential", "lr_scheduler_type": "linear", "dataset_num_proc": None,
    "adam_epsilon": 1e-6,
    "pad_to_multiple_of": None,
}  # fmt: skip
OURS: dict[str, Any] = {
    "max_steps": STEPS,
    "batch": BATCH,
    "lr": LR,
    "warmup": 0.1,
    "log_steps": 1,
    "shuffle": False,
    "eps": 1e-6,
}


def rows(make: Callable[[int], dict[str, Any]]) -> list[dict[str, Any]]:
    return [make(i) for i in range(STEPS * BATCH)]


def arguments(kind: str, out: Path, **more: Any) -> Any:
    """TRL's settings of one method."""
    import trl

    return getattr(trl, f"{kind}Config")(output_dir=str(out), **(SHARED | more))


def theirs(kind: str, tiny: str, data: list[dict[str, Any]], args: Any) -> Any:
    """TRL's trainer of one method."""
    import trl
    from datasets import Dataset

    model = (
        policy_models.load_classifier(tiny, ("overall",), 0)
        if kind == "Reward"
        else policy_models.load_model(policy_models.CAUSAL, tiny)
    )
    if kind == "Reward":
        model.config.pad_token_id = 0
    return getattr(trl, f"{kind}Trainer")(
        model=model, args=args, train_dataset=Dataset.from_list(data), processing_class=load_tokenizer(tiny)
    )


def gradients(trainer: Any) -> tuple[float, dict[str, torch.Tensor]]:
    """TRL's loss and gradients on its first batch."""
    trainer.model.eval()
    batch = next(iter(trainer.get_train_dataloader()))
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    found = {k: p.grad.clone() for k, p in trainer.model.named_parameters() if p.grad is not None}
    trainer.model.zero_grad(set_to_none=True)
    return loss.item(), found


def same_gradients(model: torch.nn.Module, loss: torch.Tensor, expected: tuple[float, dict[str, torch.Tensor]]) -> None:
    loss.backward()
    found = {k: p.grad for k, p in model.named_parameters() if p.grad is not None}
    assert loss.item() == pytest.approx(expected[0], abs=1e-5)
    assert found.keys() == expected[1].keys()
    for name, gradient in found.items():
        assert torch.allclose(gradient, expected[1][name], atol=1e-5), name
    assert max(g.abs().max().item() for g in found.values()) > 1e-3  # not equal because both are nothing


def same_run(trainer: Any, path: str) -> None:
    """TRL's run of 20 steps ends at our weights, by the same losses and norms."""
    trainer.train()
    ours = load_file(Path(path) / "model.safetensors")
    state = trainer.model.state_dict()
    assert max((ours[k] - state[k]).abs().max().item() for k in ours) < 1e-4
    log = json.loads((Path(path) / "trainer_state.json").read_text())["log_history"]
    pairs = [(a, b) for a, b in zip(log, trainer.state.log_history, strict=False) if "loss" in b]
    assert len(pairs) == STEPS
    for a, b in pairs:
        untold = {"epoch", "num_tokens", "total_flos", "mean_token_accuracy"}
        if abs(a.get("rewards/margins", 1)) < 1e-4:  # before the first change accuracy is that of rounding errors
            untold.add("rewards/accuracies")
        for key in set(a) & set(b) - untold:
            assert a[key] == pytest.approx(b[key], rel=1e-3, abs=1e-4), (key, a["step"])


def test_sft(tiny: str, write: Rows, tmp_path: Path) -> None:
    data = rows(lambda i: {"prompt": chat(i)["messages"][:1], "completion": chat(i)["messages"][1:]})
    trainer = theirs("SFT", tiny, data, arguments("SFT", tmp_path / "trl"))
    encoder = Encoder(load_tokenizer(tiny), 1024)
    config = sft.SFTConfig(model=tiny, data=(write("rows.jsonl", data),), out=str(tmp_path / "run"), **OURS)
    loaded = datasets.load_mixture(config, datasets.parse_conversation).rows
    batch = batches.pad_rows(encoder.fitting_answers([(r.prompt, r.answer) for r in loaded[:BATCH]]), 0)
    model = policy_models.load_model(policy_models.CAUSAL, tiny)
    same_gradients(model, -forward.target_logps(model, batch).logps.mean(), gradients(trainer))
    same_run(trainer, sft.train(config).path)


@pytest.mark.parametrize(
    ("ours", "loss", "beta"),
    [
        ("sigmoid", "sigmoid", 0.1),
        ("ipo", "ipo", 0.5),
        ("norm", "sigmoid_norm", 2.0),
        ("hinge", "hinge", 0.2),
        ("apo_zero", "apo_zero", 0.3),
    ],
)
def test_dpo(ours: str, loss: str, beta: float, tiny: str, write: Rows, tmp_path: Path) -> None:
    data = rows(preference)
    trainer = theirs("DPO", tiny, data, arguments("DPO", tmp_path / "trl", beta=beta, loss_type=[loss]))
    config = dpo.DPOConfig(
        model=tiny, data=(write("pairs.jsonl", data),), out=str(tmp_path / "run"), loss=ours, beta=beta, **OURS
    )  # type: ignore[arg-type]
    found = Encoder(load_tokenizer(tiny), 1024).fitting_pairs(datasets.load_mixture(config, parse_pair).rows[:BATCH])
    batch = packing.separate_rows([both for _, both in found], 0)
    model = policy_models.load_model(policy_models.CAUSAL, tiny)
    with torch.no_grad():
        reference = torch.stack(forward.answer_logps(forward.target_logps(model, batch), batch).chunk(2), dim=1)
    perturb(model, trainer.model)
    said = forward.answer_logps(forward.target_logps(model, batch), batch)
    numbers = dpo.pair_numbers(said, reference, forward.answer_lengths(batch), config)
    same_gradients(model, numbers["loss"].mean(), gradients(trainer))
    fresh = theirs("DPO", tiny, data, arguments("DPO", tmp_path / "trl", beta=beta, loss_type=[loss]))
    same_run(fresh, dpo.train(config).path)


def perturb(*models: torch.nn.Module) -> None:
    """The same small noise on each model: at the reference itself every loss has its known value."""
    for model in models:
        with torch.no_grad():
            for p in model.parameters():
                p += 0.02 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))


def test_nll_beside_dpo(tiny: str, write: Rows, tmp_path: Path) -> None:
    """`--nll 0.5` is TRL's sum of "sigmoid" and "sft", where the chosen answers are equally long."""
    data = rows(lambda i: preference(20 * i))
    more: dict[str, Any] = {"beta": 0.1, "loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5]}
    trainer = theirs("DPO", tiny, data, arguments("DPO", tmp_path / "trl", **more))
    config = dpo.DPOConfig(model=tiny, data=(write("pairs.jsonl", data),), out=str(tmp_path / "run"), nll=0.5, **OURS)
    pairs = Encoder(load_tokenizer(tiny), 1024).fitting_pairs(datasets.load_mixture(config, parse_pair).rows[:BATCH])
    batch = packing.separate_rows([both for _, both in pairs], 0)
    model = policy_models.load_model(policy_models.CAUSAL, tiny)
    with torch.no_grad():
        reference = torch.stack(forward.answer_logps(forward.target_logps(model, batch), batch).chunk(2), dim=1)
    perturb(model, trainer.model)
    lengths = forward.answer_lengths(batch)
    assert len(set(lengths[:BATCH].tolist())) == 1
    numbers = dpo.pair_numbers(forward.answer_logps(forward.target_logps(model, batch), batch), reference, lengths, config)
    same_gradients(model, numbers["loss"].mean(), gradients(trainer))


@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.5, 0.7)])
def test_kto(weights: tuple[float, float], tiny: str, write: Rows, tmp_path: Path) -> None:
    """Loss and gradients of one batch, with the KL of answers to other prompts as the baseline."""
    data = [label(i, i % 3 > 0) for i in range(STEPS * BATCH)]
    more = {"beta": 0.4, "desirable_weight": weights[0], "undesirable_weight": weights[1]}
    trainer = theirs("KTO", tiny, data, arguments("KTO", tmp_path / "trl", **more))
    config = kto.KTOConfig(
        model=tiny, data=(write("labels.jsonl", data),), out=str(tmp_path / "run"), beta=0.4, desirable=weights[0],
        undesirable=weights[1], **OURS,
    )  # fmt: skip
    loaded = datasets.load_mixture(config, labelled_answers.parse_labels).rows[:BATCH]
    part = labelled_answers.encode_labels(loaded, Encoder(load_tokenizer(tiny), 1024))
    batch = batches.pad_rows([row.tokens for row in part], 0)
    model, reference = (policy_models.load_model(policy_models.CAUSAL, tiny) for _ in range(2))
    perturb(model, trainer.model)
    baseline = kto.measure_baseline(model, reference, labelled_answers.exchange_answers(part, part), 0, config)
    assert baseline > 0
    logps, before = (forward.answer_logps(forward.target_logps(m, batch), batch) for m in (model, reference))
    numbers = kto.answer_numbers(logps - before.detach(), part, baseline, config)
    same_gradients(model, numbers["loss"].mean(), gradients(trainer))


@pytest.mark.parametrize("gamma", [0.0, 0.7])
def test_losses_without_a_reference(gamma: float, tiny: str) -> None:
    """The formulas of TRL's CPO and ORPO trainers on the same log-probabilities: their gradients too."""
    from trl.experimental.cpo import CPOTrainer
    from trl.experimental.orpo import ORPOTrainer

    chosen = torch.tensor([-12.0, -3.5, -0.2, -40.0], requires_grad=True)
    rejected = torch.tensor([-10.0, -9.0, -1.5, -41.0], requires_grad=True)
    lengths, beta = torch.tensor([6.0, 2.0, 1.0, 9.0]), 0.8
    means = (chosen / lengths, rejected / lengths)
    shared = {"beta": beta, "accelerator": SimpleNamespace(device="cpu")}
    cpo = SimpleNamespace(alpha=0.0, label_smoothing=0.0, simpo_gamma=gamma, **shared)
    expected = {
        "cpo": CPOTrainer.cpo_loss(SimpleNamespace(loss_type="sigmoid", **vars(cpo)), chosen, rejected)[0],
        "simpo": CPOTrainer.cpo_loss(SimpleNamespace(loss_type="simpo", **vars(cpo)), *means)[0],
        "orpo": -ORPOTrainer.odds_ratio_loss(SimpleNamespace(**shared), *means)[0],
    }
    nothing = (torch.zeros(4), torch.zeros(4))
    for loss, values in expected.items():
        config = dpo.DPOConfig(loss=loss, beta=beta, gamma=gamma)  # type: ignore[arg-type]
        ours = dpo.pair_loss((chosen, rejected), nothing, (lengths, lengths), config)
        assert torch.allclose(ours, values, atol=1e-6), loss
        pairs = [torch.autograd.grad(v.sum(), (chosen, rejected), retain_graph=True) for v in (ours, values)]
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*pairs, strict=True)), loss


@pytest.mark.parametrize("extra", [{}, {"center": 0.1}, {"margin": True}])
def test_reward(extra: dict[str, Any], tiny: str, write: Rows, tmp_path: Path) -> None:
    data = [row | ({"margin": i % 3 / 2} if "margin" in extra else {}) for i, row in enumerate(rows(preference))]
    more = {"center_rewards_coefficient": extra["center"]} if "center" in extra else {}
    trainer = theirs("Reward", tiny, data, arguments("Reward", tmp_path / "trl", **more))
    config = reward.RewardConfig(
        model=tiny, data=(write("pairs.jsonl", data),), out=str(tmp_path / "run"), samples=0, lr_end=0.0, **(OURS | extra)
    )
    encoder = Encoder(load_tokenizer(tiny), 1024)
    part = reward.encode_pairs(datasets.load_mixture(config, parse_pair).rows[:BATCH], encoder, config)
    model = policy_models.load_classifier(tiny, ("overall",), 0)
    chosen, rejected = forward.answer_scores(model, packing.separate_rows([r.tokens for r in part], 0)).chunk(2)
    numbers = reward.pair_numbers(chosen, rejected, part, torch.ones(1), config)
    same_gradients(model, numbers["loss"].mean(), gradients(trainer))
    fresh = theirs("Reward", tiny, data, arguments("Reward", tmp_path / "trl", **more))
    same_run(fresh, reward.train(config).path)


def test_token_ids_are_those_of_trl(tiny: str, tmp_path: Path) -> None:
    data = rows(preference)[:16]
    trainer = theirs("DPO", tiny, data, arguments("DPO", tmp_path / "trl"))
    found = Encoder(load_tokenizer(tiny), 1024).fitting_pairs([parse_pair(row, ParseSettings()) for row in data])
    for row, (_, (chosen, rejected)) in zip(trainer.train_dataset, found, strict=True):
        assert list(chosen.ids) == row["prompt_ids"] + row["chosen_ids"]
        assert list(rejected.ids[rejected.start :]) == row["rejected_ids"]


def test_settings_are_those_that_a_comparison_needs() -> None:
    assert TrainerSettings().weight_decay == 0.0
    assert (TrainerSettings().beta1, TrainerSettings().beta2, TrainerSettings().clip) == (0.9, 0.999, 1.0)


@pytest.mark.parametrize("kl", [0.0, 0.2])
@pytest.mark.parametrize("loss", ["dapo", "grpo", "dr_grpo", "bnpo", "gspo", "cispo", "sapo", "luspo", "vespo"])
def test_grpo_on_the_same_rollout(loss: str, kl: float, tiny: str, tmp_path: Path) -> None:
    """TRL's loss and gradients on answers, rewards and old log-probabilities that both are given: equal to 1e-5."""
    import trl
    from datasets import Dataset

    group, width, high = 4, 6, 0.28
    draw = torch.Generator().manual_seed(0)
    rows = [
        batches.Tokens((2, 30, 31, 3, *torch.randint(5, 90, (n,), generator=draw).tolist()), 4)
        for n in (6, 3, 5, 1, 4, 6, 2, 6)
    ]
    rewards = torch.tensor([1.0, 0.0, 0.5, 0.0, 0.0, 0.0, 1.0, 1.0])
    model = policy_models.load_model(policy_models.CAUSAL, tiny)
    args = trl.GRPOConfig(
        str(tmp_path), loss_type="grpo" if loss == "gspo" else loss, beta=kl, epsilon=0.2, num_generations=group,
        epsilon_high=1 + high if loss == "cispo" else high,
        importance_sampling_level="sequence" if loss in ("gspo", "luspo") else "token",
        max_completion_length=width, per_device_train_batch_size=len(rows), report_to=[], bf16=False, use_cpu=True,
        gradient_checkpointing=False, temperature=0.9,
    )  # fmt: skip
    trainer = trl.GRPOTrainer(
        model=policy_models.load_model(policy_models.CAUSAL, tiny), args=args, reward_funcs=lambda **_: [0.0],
        train_dataset=Dataset.from_list([{"prompt": "a"}] * len(rows)), processing_class=load_tokenizer(tiny),
    )  # fmt: skip
    config = grpo.GRPOConfig(loss=loss, kl=kl, rollouts=group, max_new=width, clip_high=high, temperature=0.9)  # type: ignore[arg-type]
    advantages = losses.group_advantages(rewards, group, "group")
    lengths = torch.tensor([row.target_count for row in rows])
    mask = torch.arange(width)[None] < lengths[:, None]
    old = -3 + 0.5 * torch.randn(mask.shape, generator=draw)
    reference = -3 + 0.5 * torch.randn(mask.shape, generator=draw)

    batch = batches.pad_rows(rows, 0)
    logps = grpo.spread(forward.target_logps(model, batch, 0.9).logps, mask)
    old, reference = (0.2 * (x * mask) + 0.8 * logps.detach() for x in (old, reference))
    clipped = grpo.token_losses(logps, old, mask, advantages[:, None], config)
    each = clipped.loss + kl * clipped.ratio * losses.k3(logps, reference)
    ours = (each * losses.token_weights(loss, mask, width, float(mask.sum()))).sum()

    answers = torch.zeros(mask.shape, dtype=torch.long).masked_scatter(mask, batch.targets)
    inputs = {
        "prompt_ids": torch.tensor([row.ids[:4] for row in rows]), "prompt_mask": torch.ones(len(rows), 4, dtype=torch.long),
        "completion_ids": answers, "completion_mask": mask.long(), "advantages": advantages, "old_per_token_logps": old,
        "ref_per_token_logps": reference, "num_items_in_batch": mask.sum(),
    }  # fmt: skip
    trainer.current_gradient_accumulation_steps = 1
    trainer.args.steps_per_generation = 1
    trainer.model.eval()
    expected = trainer._compute_loss(trainer.model, inputs)
    expected.backward()
    gradients = {k: p.grad for k, p in trainer.model.named_parameters() if p.grad is not None}
    same_gradients(model, ours, (expected.item(), gradients))


def test_the_advantages_of_groups(tiny: str) -> None:
    """As TRL computes them: nanmean and nanstd of each group, 1e-4 below the fraction."""
    from trl.trainer.utils import nanstd

    rewards = torch.tensor([[1.0, 0.0, 0.5, 0.0], [0.2, 0.9, float("nan"), 0.4]])
    expected = (rewards - rewards.nanmean(1, keepdim=True)) / (nanstd(rewards, dim=1)[:, None] + 1e-4)
    found = losses.group_advantages(rewards.view(-1), 4, "group").view(2, 4)
    assert torch.allclose(found, expected.nan_to_num(0.0), atol=1e-6)
