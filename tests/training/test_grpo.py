"""GRPO and tasks as rewards: known values, what a task's reward is, and which rows it takes."""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import registry
from harness.trainers import grpo, ppo
from harness.training import losses, policy_prompts, rewards, soft_losses, task_rewards
from harness.training.batches import Tokens
from harness.training.group_rewards import warn_of_equal_rewards
from harness.training.rollouts import PolicyItem, Rollout
from harness.training.tokenization import load_tokenizer
from harness.types import Example, Json, Request, Response, Score, SkilldeltaError, Task
from tests.support.training_toy import WORDS, make_model

Rows = Callable[[str, Iterable[Any]], str]


def toy_rows(words: Iterable[str]) -> list[Json]:
    return [{"question": f"say {word}", "answer": word} for word in words]


def score_toy(example: Example, response: Response) -> Score:
    if "crash" in response.text:
        raise ValueError("no such answer")
    return Score(float(response.text.strip() == example.row["answer"]), extracted=response.text)


TOY = Task(
    name="toy",
    skill="reasoning",
    version=1,
    source="here",
    rows=lambda _: toy_rows(WORDS[:4]),
    training_rows=lambda _: toy_rows(WORDS[4:]),
    ask=lambda example: Request(str(example.row["question"]), max_tokens=8, stop=("\n",)),
    score=score_toy,
    ideal=lambda example: Response(str(example.row["answer"])),
)


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    original = registry.task
    monkeypatch.setattr(registry, "task", lambda name: TOY if name == "toy" else original(name))


def config(model: str, out: Path, **more: Any) -> grpo.GRPOConfig:
    settings: dict[str, Any] = {
        "model": model, "out": str(out), "reward": "task:toy", "lr": 3e-3, "batch": 16, "rollouts": 4, "max_new": 6,
        "max_steps": 3, "log_steps": 1, "warmup": 0.0,
    }  # fmt: skip
    return grpo.GRPOConfig(**(settings | more))


def read_log(path: str) -> list[dict[str, Any]]:
    log: list[dict[str, Any]] = json.loads((Path(path) / "trainer_state.json").read_text())["log_history"]
    return log


class TestAdvantages:
    def test_they_are_known_for_one_right_answer_in_four(self) -> None:
        found = losses.group_advantages(torch.tensor([1.0, 0.0, 0.0, 0.0]), 4, "group")
        assert found.tolist() == pytest.approx([1.5, -0.5, -0.5, -0.5], abs=1e-3)  # mean 1/4, deviation 1/2
        assert losses.group_advantages(torch.tensor([1.0, 0.0, 0.0, 0.0]), 4, "none").tolist() == [0.75, -0.25, -0.25, -0.25]

    def test_equal_answers_teach_nothing(self) -> None:
        assert not losses.group_advantages(torch.ones(8), 4, "group").any()

    def test_groups_are_compared_within_themselves(self) -> None:
        found = losses.group_advantages(torch.tensor([1.0, 0.0, 5.0, 4.0]), 2, "none")
        assert found.tolist() == [0.5, -0.5, 0.5, -0.5]

    def test_an_answer_without_a_score_counts_nowhere(self) -> None:
        found = losses.group_advantages(torch.tensor([1.0, 0.0, math.nan, 0.5]), 4, "none")
        assert found.tolist() == [0.5, -0.5, 0.0, 0.0]


class TestWeights:
    MASK = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0]]).bool()

    @pytest.mark.parametrize(
        ("kind", "first", "second"),
        [
            ("grpo", 1 / 8, 1 / 2),
            ("gspo", 1 / 8, 1 / 2),
            ("dr_grpo", 1 / 20, 1 / 20),
            ("luspo", 1 / 2, 1 / 2),
            ("sapo", 1 / 8, 1 / 2),
            ("vespo", 1 / 8, 1 / 8),
            ("bnpo", 1 / 5, 1 / 5),
            ("dapo", 1 / 8, 1 / 8),
        ],
    )
    def test_they_are_known_for_answers_of_four_and_one_tokens(self, kind: str, first: float, second: float) -> None:
        found = losses.token_weights(kind, self.MASK, max_new=10, batch_tokens=8.0)
        assert found[0, 0].item() == pytest.approx(first)
        assert found[1].tolist() == pytest.approx([second, 0, 0, 0])

    def test_a_ratio_of_one_is_not_clipped_and_costs_minus_the_advantage(self) -> None:
        found = losses.grpo_policy(torch.zeros(2, 3), torch.tensor([[2.0], [-1.0]]), 0.2, 0.28)
        assert found.loss.tolist() == [[-2.0] * 3, [1.0] * 3]
        assert not found.is_clipped.any()

    def test_the_upper_bound_is_its_own(self) -> None:
        found = losses.grpo_policy(torch.log(torch.tensor([[1.25]])), torch.ones(1, 1), 0.2, 0.28)
        assert found.loss.item() == pytest.approx(-1.25)
        assert losses.grpo_policy(torch.log(torch.tensor([[1.4]])), torch.ones(1, 1), 0.2, 0.28).loss.item() == pytest.approx(
            -1.28
        )


def test_soft_gates_are_one_at_the_sampling_policy_and_known_elsewhere() -> None:
    ones, mask = torch.tensor([[1.0], [-1.0]]), torch.tensor([[True, True], [True, False]])
    logps = torch.tensor([[-1.0, -2.0], [-3.0, 0.0]], requires_grad=True)
    still, doubled = torch.zeros(2, 2), torch.log(torch.tensor([[2.0, 1.0], [2.0, 1.0]]))
    vespo = soft_losses.vespo_policy(logps, still, mask, ones)
    assert (vespo.loss * mask).tolist() == [[1.0, 2.0], [-3.0, 0.0]]
    weights = math.exp(3) * 2**2 * math.exp(-6), math.exp(2) * 2**3 * math.exp(-4)  # both answers are twice as likely
    found = soft_losses.vespo_policy(logps, doubled, mask, ones).loss
    assert found[0].tolist() == pytest.approx([weights[0], 2 * weights[0]])
    assert found[1, 0].item() == pytest.approx(-3 * weights[1])
    log_ratio = still.clone().requires_grad_()
    sapo = soft_losses.sapo_policy(log_ratio, ones).loss
    assert sapo[:, 0].tolist() == pytest.approx([-2.0, 2.0 / 1.05])
    sapo.sum().backward()
    assert log_ratio.grad is not None
    assert log_ratio.grad[:, 0].tolist() == pytest.approx([-1.0, 1.0])  # as of a ratio that nothing cuts off
    sigmoid = 1 / (1 + math.exp(-1.0))
    assert soft_losses.sapo_policy(doubled, ones).loss[0, 0].item() == pytest.approx(-4 * sigmoid)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["dapo", "grpo", "dr_grpo", "bnpo", "gspo", "cispo", "sapo", "luspo", "vespo"])
def test_micro_batches_change_nothing(loss: str, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Where all rewards of a group are equal, the gradient is 0 but for rounding, and Adam makes a step of whatever is left.
    uneven = replace(TOY, score=lambda _, response: Score(len(response.text) % 7 / 6, extracted=response.text))
    monkeypatch.setattr(registry, "task", lambda _: uneven)
    runs = [
        grpo.train(config(tiny, tmp_path / str(size), loss=loss, micro_batch=size, max_steps=2, minibatch=8, kl=0.1))
        for size in (0, 3)
    ]
    first, second = (read_log(run.path) for run in runs)
    assert all(row["grad_norm"] > 0.01 for row in first)
    for one, two in zip(first, second, strict=True):
        for name in ("loss", "kl", "grad_norm", "reward", "entropy", "clip_ratio"):
            assert one[name] == pytest.approx(two[name], abs=1e-4), name


@pytest.mark.slow
def test_the_first_step_has_no_kl_and_no_clipping(tiny: str, tmp_path: Path) -> None:
    (row,) = read_log(grpo.train(config(tiny, tmp_path / "run", max_steps=1, kl=0.1)).path)
    assert row["kl"] == pytest.approx(0.0, abs=1e-6)
    assert row["clip_ratio"] == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("lora", [0, 4])
def test_a_resumed_run_ends_at_the_same_weights(lora: int, tiny: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    more = {"max_steps": 4, "save_steps": 2, "lora": lora, "kl": 0.05, "inner_epochs": 2}
    whole = grpo.train(config(tiny, tmp_path / "whole", **more))
    grpo.train(config(tiny, tmp_path / "broken", **more))
    (tmp_path / "broken/checkpoint-4/trainer_state.json").unlink()
    state = json.loads((tmp_path / "broken/run.json").read_text())
    (tmp_path / "broken/run.json").write_text(json.dumps(state | {"status": "running"}))
    again = grpo.train(config(tiny, tmp_path / "broken", **more))
    name = "adapter_model.safetensors" if lora else "model.safetensors"
    one, two = (load_file(Path(run.path) / name) for run in (whole, again))
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.slow
def test_ppo_takes_a_task_without_a_reward_model(tiny: str, tmp_path: Path) -> None:
    settings = ppo.PPOConfig(
        model=tiny, out=str(tmp_path / "run"), reward="task:toy", batch=8, minibatch=8, max_steps=2, max_new=6, lr=1e-3,
        log_steps=1, temperature=1.0,
    )  # fmt: skip
    rows = read_log(ppo.train(settings).path)
    assert rows[0]["val/ratio"] == pytest.approx(1.0, abs=1e-6)
    assert all(0 <= row["objective/scores"] <= 1 for row in rows)
    assert all(row["objective/scores"] == pytest.approx(row["rewards/toy"]) for row in rows)


def rollout(answer: str, words: Any, has_end: bool = True, task: Task = TOY) -> Rollout:
    reward = task_rewards.TaskReward(task)
    (question, *_), _ = task_rewards.training_questions(reward, ())
    ids = (*words(answer)["input_ids"], *([words.eos_token_id] if has_end else []))
    return Rollout(PolicyItem((2, 3), task.name, question), Tokens((2, 3, *ids), 2), has_end)


class TestTaskReward:
    @pytest.fixture
    def words(self, tiny: str) -> Any:
        return load_tokenizer(tiny)

    @pytest.fixture
    def sources(self, tiny: str, words: Any, tmp_path: Path) -> rewards.Rewards:
        return rewards.load_rewards(config(tiny, tmp_path, reward_weights=(0.5,)), words, frozenset([1]))

    def test_it_is_the_score_that_evaluation_gives(self, sources: rewards.Rewards, words: Any) -> None:
        answers = [rollout(text, words) for text in (WORDS[4], WORDS[5], f"{WORDS[4]}\nand more", " ")]
        assert sources.grade(answers).tolist() == [1.0, 0.0, 1.0, 0.0]  # cut at the stop string; silence is worth nothing
        assert sources.total(answers, 0, 4, -10.0)[0].tolist() == [0.5, 0.0, 0.5, 0.0]

    def test_an_answer_that_the_scorer_fails_on_has_no_score(self, sources: rewards.Rewards, words: Any) -> None:
        grades, numbers = sources.grade_with_metrics([rollout("crash", words), rollout(WORDS[4], words)])
        assert math.isnan(grades[0].item())
        assert numbers == {"rewards/toy": 1.0, "val/unscored": 0.5}
        with pytest.raises(SkilldeltaError, match="failed on all 1 answers"):
            sources.grade_with_metrics([rollout("crash", words)])

    def test_test_rows_are_refused_however_they_are_written(self, write: Rows) -> None:
        reward = task_rewards.TaskReward(TOY)
        for question in (f"say {WORDS[0]}", f"Say  {WORDS[0]}!", f"Now, please:\nsay {WORDS[0]}"):
            file = write("rows.jsonl", [*toy_rows(WORDS[5:8]), {"question": question, "answer": "x"}])
            if question.startswith("Now"):  # another question, of which the last line is one of the test
                with pytest.raises(SkilldeltaError, match="1 questions of the test of toy"):
                    task_rewards.training_questions(reward, (file,))
                continue
        long = replace(TOY, rows=lambda _: toy_rows(["one two three four five six seven eight nine"]))
        for question in (
            "Say one two three, four five six seven eight nine",
            "Before: say one two three four five six seven eight nine",
        ):
            file = write("rows.jsonl", [{"question": question, "answer": "x"}])
            with pytest.raises(SkilldeltaError, match="1 questions of the test of toy"):
                task_rewards.training_questions(task_rewards.TaskReward(long), (file,))

    def test_other_columns_are_refused(self, write: Rows) -> None:
        file = write("rows.jsonl", [{"question": "say it"}])
        with pytest.raises(SkilldeltaError, match="no column 'answer'"):
            task_rewards.training_questions(task_rewards.TaskReward(TOY), (file,))

    @pytest.mark.parametrize(
        ("name", "reason"), [("world_sums", "knows no training rows"), ("alpaca_eval", "judge"), ("toyy", "no task 'toyy'")]
    )
    def test_a_task_that_cannot_pay_is_refused(self, name: str, reason: str) -> None:
        with pytest.raises(SkilldeltaError, match=reason):
            task_rewards.training_questions(task_rewards.load_task_reward(f"task:{name}", 1.0), ())

    def test_the_prompt_is_that_of_evaluation(self, tiny: str, words: Any, tmp_path: Path) -> None:
        prompts = policy_prompts.load_policy_prompts(config(tiny, tmp_path, holdout=0.3), words)
        assert len(prompts.training) + len(prompts.heldout) == len(WORDS) - 4
        assert prompts.heldout
        texts = {words.decode(item.ids) for item in prompts.training}
        assert texts <= {f"<|user|>say {word}<|assistant|>" for word in WORDS[4:]}


@pytest.mark.parametrize("form", ["({}) {}", "{}. {}", "  {}) {}"])
def test_options_in_another_order_make_no_other_question(form: str) -> None:
    def ask(*options: str) -> Json:
        lines = (form.format(letter, option) for letter, option in zip("ABC", options, strict=True))
        return {"question": "Which of them is a large animal?\nOptions:\n" + "\n".join(lines), "answer": "(A)"}

    test = [ask("a whale", "an ant", "a bee")]
    with pytest.raises(SkilldeltaError, match="hold 1 questions of the test"):
        task_rewards.refuse_test_rows(TOY, [ask("a bee", "a whale", "an ant")], test)
    task_rewards.refuse_test_rows(TOY, [ask("a horse", "an ant", "a bee")], test)  # other options: another question


def test_a_task_of_given_choices_is_refused_whatever_its_training_rows(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "a row of another task"}) + "\n")
    choosing = replace(TOY, ask=lambda example: Request(str(example.row["question"]), choices=("A", "B")))
    monkeypatch.setattr(registry, "task", lambda name: choosing)
    with pytest.raises(SkilldeltaError, match="generates no text"):
        grpo.train(config(tiny, tmp_path / "run", data=(str(tmp_path / "rows.jsonl"),)))


def test_groups_that_teach_nothing_are_said(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_equal_rewards([])
    warn_of_equal_rewards([0.5, 0.5])
    assert not caplog.messages
    warn_of_equal_rewards([1.0, 0.75])
    (message,) = caplog.messages
    assert message.startswith("In 88 % of the groups all answers had the same reward")


def test_settings_that_cannot_work_are_told(tiny: str, tmp_path: Path) -> None:
    for more, reason in (
        ({"reward": "", "data": ("rows.jsonl",)}, "--reward is missing"),
        ({"rollouts": 1}, "at least 2 answers"),
        ({"batch": 10}, "no multiple"),
        ({"reward_weights": (1.0, 2.0)}, "2 numbers for 1 rewards"),
        ({"reward_weights": (math.nan,)}, "--reward-weights is nan: it takes finite numbers"),
        ({"reward_weights": (0.0,)}, "--reward-weights are all 0"),
        ({"reward": "task:toy=1,task:gsm8k=0.5"}, "--reward task:toy,task:gsm8k --reward-weights W,..."),
        ({"lr": math.inf}, "--lr is inf"),
        ({"lr": -1.0}, "--lr is -1.0: it must be at least 0"),
        ({"weights": (1.0, -1.0)}, "--weights is 1.0,-1.0"),
        ({"weights": (0.0, 0.0)}, "--weights is 0.0,0.0"),
        ({"reward": "task:gsm8k,task:gsm8k"}, "task:gsm8k more than once"),
        ({"reward": "runs/a,runs/b", "data": ("rows.jsonl",)}, "more than one reward model"),
    ):
        with pytest.raises(SkilldeltaError, match=reason):
            grpo.train(config(tiny, tmp_path, **more))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["grpo", "ppo"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_task_is_learnt_from_its_own_score(method: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task pays the share of vowels in an answer: a random model has few of them."""
    vowels = replace(
        TOY, score=lambda _, response: Score(sum(c in "aeiou" for c in response.text) / max(1, len(response.text)))
    )
    monkeypatch.setattr(registry, "task", lambda _: vowels)
    base = make_model(tmp_path / "base", seed=seed)
    shared: dict[str, Any] = {
        "model": base, "out": str(tmp_path / "run"), "reward": "task:toy", "lr": 3e-3, "batch": 64, "max_new": 8,
        "max_steps": 30, "log_steps": 1, "warmup": 0.0, "seed": seed, "rollouts": 8, "temperature": 1.0,
    }  # fmt: skip
    run = grpo.train(grpo.GRPOConfig(**shared)) if method == "grpo" else ppo.train(ppo.PPOConfig(**shared, kl=0.0))
    rewarded = [row["rewards/toy"] for row in read_log(run.path)]
    assert sum(rewarded[-3:]) / 3 > 2 * sum(rewarded[:3]) / 3
