"""A reward model at work: the reward of many answers to prompts, in batches of like length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from harness.engine.device_names import default_device
from harness.training import batches, policy_models, reward_model
from harness.training.batches import Tokens
from harness.training.messages import Text, as_user_turn
from harness.training.tokenization import Encoder, load_tokenizer
from harness.types import SkilldeltaError
from harness.visible_text import first_line

BATCH_ROWS = 32  # answers that are scored at once
MAX_TOKENS = 4096  # of a model whose settings name no window


@dataclass
class RewardScorer:
    """A reward model in a folder (a run folder stands for its last checkpoint), loaded with the first answer."""

    path: str
    rewards: dict[tuple[Text, str], float | None] = field(default_factory=dict)  # by (prompt, answer)

    @cached_property
    def model(self) -> reward_model.RewardModel:
        model = reward_model.load(policy_models.model_folder(self.path))
        model.model.to(default_device())
        return model

    @cached_property
    def tokenizer(self) -> Any:
        return load_tokenizer(policy_models.model_folder(self.path))

    @cached_property
    def longest(self) -> int:
        """The tokens of the longest answer with its prompt that is read: within the model's window.

        Of a longer one the model would read the beginning alone, and grade an answer that nobody gave.
        """
        return policy_models.declared_window(self.model.model) or MAX_TOKENS

    @cached_property
    def encoder(self) -> Encoder:
        """Answers end as in the training of the reward model: it reads the last token."""
        return Encoder(self.tokenizer, self.longest, ends=self.model.ends)

    @cached_property
    def reads_conversations(self) -> bool:
        """Whether a plain text is put to it as a turn of the user: as in its training, else where it has a chat template."""
        is_known = self.model.conversations is not None
        return bool(self.model.conversations if is_known else self.tokenizer.chat_template)

    def encode(self, answers: Sequence[tuple[Text, str]]) -> list[Tokens | None]:
        """The ids of answers.  SkilldeltaError for a tokenizer that cannot write them, or writes what the model cannot read."""
        try:
            rows = self.encoder.encode_answers(answers)
        except SkilldeltaError:
            raise
        except Exception as error:  # tokenizers raises plain Exceptions, and transformers what Python does with odd settings
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise SkilldeltaError(f"The tokenizer of {self.path} cannot write answers ({reason}): is it whole?") from error
        policy_models.check_vocabulary(self.model.model, [row.ids for row in rows if row], self.path)
        return rows

    def score(self, answers: Sequence[tuple[Text, str]]) -> list[float | None]:
        """The reward of each answer to its prompt; None where the chat template cannot write the two, or they are too long."""
        if self.reads_conversations:
            answers = [(as_user_turn(prompt) if prompt else prompt, answer) for prompt, answer in answers]
        missing = [pair for pair in dict.fromkeys(answers) if pair not in self.rewards]
        rows = self.encode(missing) if missing else []
        self.rewards |= {pair: None for pair, row in zip(missing, rows, strict=True) if row is None}
        scorable = [(pair, row) for pair, row in zip(missing, rows, strict=True) if row is not None]
        values = score_rows(self.model, [row for _, row in scorable]) if scorable else []
        self.rewards |= {pair: value for (pair, _), value in zip(scorable, values, strict=True)}
        return [self.rewards[pair] for pair in answers]


def score_rows(reward: reward_model.RewardModel, rows: Sequence[Tokens]) -> list[float]:
    """The reward of each answer, given as ids."""
    scores = [0.0] * len(rows)
    for indices in batches.micro_batches(list(range(len(rows))), lambda i: len(rows[i]), BATCH_ROWS):
        batch = batches.pad_rows([rows[i] for i in indices], 0).to(reward.device)
        for place, value in zip(indices, reward.scores(batch).tolist(), strict=True):
            scores[place] = value
    return scores
