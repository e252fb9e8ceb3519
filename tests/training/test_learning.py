"""DPO and PPO on a toy that a program grades, over three seeds: do they learn what was preferred, on prompts they never saw?

The model is asked which word follows another in a list.  It has been shown the right word in 40 % of the answers, the one after
it in 40 %, and a rambling answer in 20 %.  Curves and scores are drawn in build/learning/, or where LEARNING_REPORT says.
"""

import json
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.trainers import dpo, ppo, reward, sft
from harness.training import policy_models
from harness.training.preferences import as_user_turn
from harness.training.sampling import SamplingSettings, sample_answers
from harness.training.tokenization import Encoder, load_tokenizer
from tests.support.training_toy import WORDS, make_model

pytestmark = pytest.mark.slow
SEEDS = (0, 1, 2)
ROOT = Path(__file__).resolve().parents[2]
ASKED = [(a, b) for a in WORDS for b in WORDS if a != b]
random.Random(0).shuffle(ASKED)
UNSEEN, SEEN = ASKED[:80], ASKED[80:]


def question(pair: tuple[str, str]) -> str:
    return f"first of {pair[0]} ? {pair[1]}"


def follows(word: str, steps: int = 1) -> str:
    return WORDS[(WORDS.index(word) + steps) % len(WORDS)]


def chat(pair: tuple[str, str], answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question(pair)}, {"role": "assistant", "content": answer}]}


def shown(draw: random.Random, pair: tuple[str, str]) -> str:
    """An answer of the imperfect teacher."""
    luck = draw.random()
    return follows(pair[0]) if luck < 0.4 else follows(pair[0], 2) if luck < 0.8 else f"the answer is {follows(pair[0])}"


def save(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(path)


def said(model: str, asked: list[tuple[str, str]], seed: int, temperature: float = 1.0) -> list[str]:
    """What a model answers."""
    words = load_tokenizer(model)
    ids = Encoder(words, 64).encode_prompts([as_user_turn(question(p)) for p in asked])
    found = sample_answers(
        policy_models.load_model(policy_models.CAUSAL, model), ids, SamplingSettings(words.eos_token_id, 12, temperature, seed)
    )
    return [words.decode([i for i in f.ids if i != words.eos_token_id]).strip() for f in found]


def right(model: str, temperature: float = 1.0) -> float:
    """Share of unseen questions answered with exactly the word that follows."""
    asked = UNSEEN * 4
    return sum(s == follows(p[0]) for s, p in zip(said(model, asked, 9, temperature), asked, strict=True)) / len(asked)


@dataclass(frozen=True)
class World:
    policy: str
    pairs: str
    prompts: str
    judge: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """An imperfect policy, its own answers graded in pairs, and a reward model that has learnt from them."""
    folder, draw = tmp_path_factory.mktemp("world"), random.Random(1)
    base = make_model(folder / "base")
    shots = save(folder / "sft.jsonl", [chat(p, shown(draw, p)) for p in SEEN for _ in range(12)])
    policy = sft.train(sft.SFTConfig(model=base, data=(shots,), out=str(folder / "sft"), lr=4e-3, batch=32, epochs=3.0)).path
    asked = SEEN * 6
    answers = said(policy, asked, seed=2)
    by_question: dict[tuple[str, str], set[str]] = {}
    for pair, answer in zip(asked, answers, strict=True):
        by_question.setdefault(pair, set()).add(answer)
    pairs = [
        {"prompt": chat(p, "x")["messages"][:1], "chosen": [{"role": "assistant", "content": follows(p[0])}],
         "rejected": [{"role": "assistant", "content": worse}]}
        for p, found in by_question.items() for worse in sorted(found - {follows(p[0]), ""})
    ]  # fmt: skip
    judged = save(folder / "pairs.jsonl", pairs)
    config = reward.RewardConfig(
        model=policy,
        data=(judged,),
        out=str(folder / "judge"),
        lr=2e-3,
        batch=32,
        epochs=3.0,
        holdout=0.1,
        max_new=12,
        strangers=0.3,
    )
    prompts = save(folder / "prompts.jsonl", [{"prompt": chat(p, "x")["messages"][:1]} for p in SEEN])
    return World(policy, judged, prompts, reward.train(config).path)


def run_dpo(world: World, out: Path, seed: int) -> Any:
    return dpo.train(dpo.DPOConfig(
        model=world.policy, data=(world.pairs,), out=str(out), lr=3e-4, batch=32, epochs=3.0, beta=0.1, seed=seed, log_steps=1
    ))  # fmt: skip


def run_ppo(world: World, out: Path, seed: int) -> Any:
    return ppo.train(ppo.PPOConfig(
        model=world.policy, reward=world.judge, data=(world.prompts,), out=str(out), lr=1e-3,
        lr_end=0.1, batch=64, minibatch=32, max_steps=40, max_new=12, temperature=1.0,
        kl=0.05, missing_end=-3.0, seed=seed, log_steps=1, kl_stop=20.0,
    ))  # fmt: skip


def log(path: str) -> list[dict[str, float]]:
    return json.loads((Path(path) / "trainer_state.json").read_text())["log_history"]


def test_both_learn_what_was_preferred_over_three_seeds(world: World, tmp_path: Path) -> None:
    before = right(world.policy)
    held = json.loads((Path(world.judge) / "reward.json").read_text())["held_out"]
    runs = {name: [run(world, tmp_path / f"{name}{s}", s) for s in SEEDS] for name, run in (("dpo", run_dpo), ("ppo", run_ppo))}
    after = {name: [right(c.path) for c in found] for name, found in runs.items()}
    logs = {name: [log(c.path) for c in found] for name, found in runs.items()}
    draw(logs, {"sft": [before], **after}, {"reward model, held-out pairs": held["accuracy"]})
    print(before, held["accuracy"], after, [[r[-1][k] for r in logs["ppo"]] for k in ("objective/kl", "objective/scores")])
    assert 0.2 < before < 0.6
    assert held["low"] > 0.5
    for name in runs:
        assert min(after[name]) > before + 0.2, (name, after)
    for rows in logs["dpo"]:
        assert rows[0]["loss"] == pytest.approx(0.6931, abs=1e-3)
        assert mean(rows[-5:], "rewards/margins") > 0.2
    for rows in logs["ppo"]:
        assert mean(rows[-5:], "objective/scores") > mean(rows[:5], "objective/scores") + 0.5
        assert mean(rows[-5:], "val/explained_variance") > mean(rows[:5], "val/explained_variance")


def mean(rows: list[dict[str, float]], key: str) -> float:
    return sum(r[key] for r in rows) / len(rows)


def draw(logs: dict[str, list[list[dict[str, float]]]], scores: dict[str, list[float]], facts: dict[str, float]) -> None:
    """The curves of every seed, and what they came to."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    folder = Path(os.environ.get("LEARNING_REPORT", ROOT / "build/learning"))
    folder.mkdir(parents=True, exist_ok=True)
    curves = [("dpo", "rewards/margins"), ("dpo", "loss"), ("ppo", "objective/scores"), ("ppo", "objective/kl")]
    figure, axes = plt.subplots(1, 5, figsize=(20, 3.6))
    for axis, (method, key) in zip(axes, curves, strict=False):
        for seed, rows in enumerate(logs[method]):
            axis.plot([r["step"] for r in rows], [r[key] for r in rows], label=f"seed {seed}")
        axis.set(title=f"{method}: {key}", xlabel="step")
        axis.legend()
    axes[4].bar(range(len(scores)), [sum(v) / len(v) for v in scores.values()], tick_label=list(scores), color="lightgray")
    for place, values in enumerate(scores.values()):
        axes[4].plot([place] * len(values), values, "k.")
    axes[4].set(title="unseen questions answered right, T = 1", ylim=(0, 1))
    figure.tight_layout()
    figure.savefig(folder / "learning.png", dpi=110, metadata={"Software": None})
    plt.close(figure)
    (folder / "learning.json").write_text(json.dumps({"right": scores, **facts}, indent=2) + "\n")


def test_the_reward_hacks_of_a_careless_run_are_caught_by_the_stop(world: World, tmp_path: Path) -> None:
    """Without a price on KL the policy runs away; the stop ends the run while it is near."""
    careless = ppo.PPOConfig(
        model=world.policy, reward=world.judge, data=(world.prompts,), out=str(tmp_path / "run"), lr=5e-3, lr_end=1.0, batch=64,
        minibatch=16, max_steps=40, max_new=12, temperature=1.0, kl=0.0, missing_end=-3.0, log_steps=1, kl_stop=4.0,
    )  # fmt: skip
    found = ppo.train(careless)
    assert found.step is not None
    assert found.step < 40
    assert max(r["objective/kl"] for r in log(found.path)) <= 4.0
    assert torch.isfinite(torch.tensor(log(found.path)[-1]["objective/scores"]))
