"""What pays a policy in training: a reward model, tasks, or a weighted sum of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from harness.prompts.tokenization import WindowedTokenizer
from harness.training import batches, parallel, policy_models, reward_model
from harness.training.rollouts import Rollout
from harness.training.settings import TrainerSettings
from harness.training.task_rewards import PREFIX, TaskReward, load_task_reward
from harness.types import SkilldeltaError


@dataclass(frozen=True)
class RewardSettings(TrainerSettings):
    """The settings of trainers that sample answers and reward them."""

    reward: str = ""  # the folder of a reward model, task:NAME (that task's own scorer), or several of them, with commas
    reward_weights: tuple[float, ...] = ()  # the weight of each reward in the sum; none: 1 each
    max_prompt: int = 1024  # tokens; longer prompts are dropped
    max_new: int = 1024  # tokens of an answer
    normalise: bool = True  # put a reward model's scores on its own scale: mean 0, deviation 1 on SFT answers

    def mandatory(self) -> tuple[str, ...]:
        """A task brings its own training rows."""
        return ("model", "out") if PREFIX in self.reward else super().mandatory()

    def check(self) -> None:
        """Raises SkilldeltaError for settings that cannot work."""
        super().check()
        names = reward_names(self)
        if not names:
            raise SkilldeltaError(
                "--reward is missing: the folder of a reward model (skilldelta train reward makes one), or task:NAME for the "
                "score of a task that generates texts (skilldelta list tasks)."
            )
        if self.reward_weights and len(self.reward_weights) != len(names):
            raise SkilldeltaError(f"--reward-weights has {len(self.reward_weights)} numbers for {len(names)} rewards.")
        if sum(not name.startswith(PREFIX) for name in names) > 1:
            raise SkilldeltaError("--reward names more than one reward model: one can be used, next to any number of tasks.")


def reward_names(config: RewardSettings) -> list[str]:
    return [name.strip() for name in config.reward.split(",") if name.strip()]


def weighted_names(config: RewardSettings) -> list[tuple[str, float]]:
    names = reward_names(config)
    return list(zip(names, config.reward_weights or [1.0] * len(names), strict=True))


def reward_tasks(config: RewardSettings) -> list[TaskReward]:
    """The tasks among the rewards."""
    return [load_task_reward(name, weight) for name, weight in weighted_names(config) if name.startswith(PREFIX)]


def reward_model_folder(config: RewardSettings) -> str:
    """The reward model among the rewards; "" for none."""
    return next((name for name in reward_names(config) if not name.startswith(PREFIX)), "")


@dataclass(frozen=True)
class Rewards:
    """The rewards of a run, loaded.  The sum is weight x score over the tasks, plus weight x reward of the reward model."""

    tasks: dict[str, TaskReward]
    words: WindowedTokenizer
    model: reward_model.RewardModel | None = None
    model_weight: float = 1.0
    ends: frozenset[int] = field(default_factory=frozenset)  # tokens that are no part of an answer's text

    def grade(self, rollouts: Sequence[Rollout]) -> Tensor:
        """The tasks' scores, 0 to 1: [B]; 0 where no task grades an answer, NaN where its scorer fails.

        Each process grades a share, and all get every score.
        """
        own = parallel.own_share(range(len(rollouts)))
        scores = dict.fromkeys(own, 0.0)
        for name, reward in self.tasks.items():
            places = [i for i in own if rollouts[i].item.task == name]
            scores |= dict(zip(places, reward.grade_all([self.answer(rollouts[i]) for i in places]), strict=True))
        every = parallel.gather(scores)
        return torch.tensor([every[i] for i in range(len(rollouts))])

    def grade_with_metrics(self, rollouts: Sequence[Rollout]) -> tuple[Tensor, dict[str, float]]:
        """(`grade`, the mean of each task and the share of answers that none could score, for the log).

        Raises SkilldeltaError where no answer could be scored.
        """
        grades = self.grade(rollouts)
        if bool(grades.isnan().all()):
            raise SkilldeltaError(f"The scorer of {', '.join(self.tasks)} failed on all {len(rollouts)} answers of a step.")
        numbers = {f"rewards/{name}": mean_of(grades, [r.item.task == name for r in rollouts]) for name in self.tasks}
        return grades, numbers | ({"val/unscored": grades.isnan().float().mean().item()} if self.tasks else {})

    def answer(self, rollout: Rollout) -> tuple[Any, str, bool]:
        """(question, text of the answer, is it complete?) as `skilldelta score` would have read it."""
        ids, question = list(rollout.tokens.ids[rollout.tokens.start :]), rollout.item.question
        assert question
        if ids and ids[-1] in self.ends:
            ids.pop()
        return question, self.words.decode_until_stop(ids, question.request.stop), rollout.has_end

    def task_weights(self, rollouts: Sequence[Rollout]) -> Tensor:
        """The weight of the task that grades each answer: [B]; 0 where none does."""
        return torch.tensor([self.tasks[r.item.task].weight if r.item.task else 0.0 for r in rollouts])

    @torch.no_grad()
    def total(self, rollouts: Sequence[Rollout], pad: int, rows: int, missing_end: float) -> tuple[Tensor, dict[str, float]]:
        """(the whole reward of each answer: [B], the mean of each part for the log)."""
        grades, numbers = self.grade_with_metrics(rollouts)
        total = self.task_weights(rollouts) * grades
        if self.model:
            scores = torch.zeros(len(rollouts), device=self.model.device)
            own = parallel.own_share(range(len(rollouts)))
            for part in batches.micro_batches(own, lambda i: len(rollouts[i].tokens), rows) if own else []:
                batch = batches.pad_rows([rollouts[i].tokens for i in part], pad).to(self.model.device)
                scores[part] = self.model.scores(batch)
            scores = parallel.sum_tensor(scores).cpu()
            scores = torch.where(torch.tensor([r.has_end for r in rollouts]), scores, missing_end)
            numbers["rewards/model"] = scores.mean().item()
            total = total + self.model_weight * scores
        return total, numbers


def mean_of(values: Tensor, chosen: Sequence[bool]) -> float:
    """The mean of the chosen values that are numbers; NaN for none."""
    return values[torch.tensor(chosen)].nanmean().item()


def load_rewards(config: RewardSettings, tokenizer: Any, ends: frozenset[int]) -> Rewards:
    """The rewards of the settings.  Raises SkilldeltaError for a reward model that reads other tokens than the policy."""
    tasks = {reward.task.name: reward for reward in reward_tasks(config)}
    model, weight = None, 1.0
    for name, weight_of_name in weighted_names(config):
        if not name.startswith(PREFIX):
            reward_model.check_tokenizer(name, tokenizer, config)
            model, weight = reward_model.load(name), weight_of_name
            model = model if config.normalise else replace(model, mean=0.0, sd=1.0)
            device = policy_models.training_device(config)
            model = replace(model, model=model.model.to(device).requires_grad_(False))
    return Rewards(tasks, WindowedTokenizer(tokenizer, 1 << 30), model, weight, ends)
