"""What pays a policy in training: a reward model, tasks, or a weighted sum of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harness.prompts.tokenization import WindowedTokenizer
from harness.training import batches, parallel
from harness.training.reward_settings import PREFIX, RewardSettings, weighted_names
from harness.training.rollouts import NO_WINDOW
from harness.training.task_rewards import TaskReward, reward_tasks
from harness.training.training_device import training_device
from harness.types import SkilldeltaError

if TYPE_CHECKING:
    from harness.training.policy_prompts import PolicyPrompts
    from harness.training.reward_model import RewardModel
    from harness.training.rollouts import Rollout


@dataclass(frozen=True)
class Rewards:
    """The rewards of a run, loaded.  The sum is weight x score over the tasks, plus weight x reward of the reward model."""

    tasks: dict[str, TaskReward]
    words: WindowedTokenizer
    model: RewardModel | None = None
    model_weight: float = 1.0
    ends: frozenset[int] = field(default_factory=frozenset)  # tokens that are no part of an answer's text

    def check_form(self, prompts: PolicyPrompts) -> None:
        """Raises SkilldeltaError for a reward model of conversations where the prompts are plain texts, or the other way round.

        It would score texts unlike those that it knows.
        """
        reads_chat = self.model.conversations if self.model else None
        if reads_chat is None or reads_chat == prompts.conversations:
            return
        own, others = ("conversations", "plain texts") if reads_chat else ("plain texts", "conversations")
        way_out = "--chat makes conversations of them" if reads_chat else "Train the reward model with --chat"
        raise SkilldeltaError(
            f"The reward model was trained on {own}, and the prompts are {others}: it would score texts unlike those that it "
            f"knows.  {way_out}."
        )

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
    from harness.training import reward_model  # a reward of tasks alone needs none

    tasks = {reward.task.name: reward for reward in reward_tasks(config)}
    model, weight = None, 1.0
    for name, weight_of_name in weighted_names(config):
        if not name.startswith(PREFIX):
            reward_model.check_tokenizer(name, tokenizer, config)
            model, weight = reward_model.load(name), weight_of_name
            model = model if config.normalise else replace(model, mean=0.0, sd=1.0)
            device = training_device(config)
            model = replace(model, model=model.model.to(device).requires_grad_(False))
    return Rewards(tasks, WindowedTokenizer(tokenizer, NO_WINDOW), model, weight, ends)
