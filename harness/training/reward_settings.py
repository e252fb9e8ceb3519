"""Which rewards the settings of a training name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.name_value_pairs import split_names
from harness.shares import check_share
from harness.training.settings import TrainerSettings
from harness.types import SkilldeltaError
from harness.vllm_package import INSTALL, has_vllm

PREFIX = "task:"


@dataclass(frozen=True)
class RewardSettings(TrainerSettings):
    """The settings of trainers that sample answers and reward them."""

    reward: str = ""  # the folder of a reward model, task:NAME (that task's own scorer), or several of them, with commas
    reward_weights: tuple[float, ...] = ()  # the weight of each reward in the sum; none: 1 each
    max_prompt: int = 1024  # tokens; longer prompts are dropped
    max_new: int = 1024  # tokens of an answer
    sampler: Literal["engine", "vllm", "auto"] = "engine"  # of the answers; auto: vLLM on a GPU where it is installed
    vllm_memory: float = 0.3  # the share of a GPU that vLLM may fill: training needs the rest
    vllm_args: str = ""  # further arguments of vLLM's engine, as name=value;name=value
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
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise SkilldeltaError(
                f"--reward names {', '.join(twice)} more than once: give it one weight with --reward-weights."
            )
        plain = [name.split("=")[0] if name.startswith(PREFIX) else name for name in names]
        if plain != names:
            raise SkilldeltaError(
                f"--reward {','.join(names)}: weights have a flag of their own, with a number for each: --reward "
                f"{','.join(plain)} --reward-weights W,..."
            )
        if self.reward_weights and not any(self.reward_weights):
            raise SkilldeltaError("--reward-weights are all 0: then no answer earns anything, and nothing is learnt.")
        if self.reward_weights and len(self.reward_weights) != len(names):
            raise SkilldeltaError(f"--reward-weights has {len(self.reward_weights)} numbers for {len(names)} rewards.")
        if sum(not name.startswith(PREFIX) for name in names) > 1:
            raise SkilldeltaError("--reward names more than one reward model: one can be used, next to any number of tasks.")
        check_share("--vllm-memory", self.vllm_memory, may_be_all=False)
        if self.sampler == "vllm" and not has_vllm():
            raise SkilldeltaError(f"{INSTALL}, or use --sampler engine, which needs no other package.")


def reward_names(config: RewardSettings) -> list[str]:
    return split_names([config.reward])


def weighted_names(config: RewardSettings) -> list[tuple[str, float]]:
    names = reward_names(config)
    return list(zip(names, config.reward_weights or [1.0] * len(names), strict=True))


def reward_model_folder(config: RewardSettings) -> str:
    """The reward model among the rewards; "" for none."""
    return next((name for name in reward_names(config) if not name.startswith(PREFIX)), "")
