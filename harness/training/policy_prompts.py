"""The prompts that a policy answers in training: rows of prompts, or the questions of the tasks that reward it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from harness.prompts import templates
from harness.prompts.tokenization import WindowedTokenizer
from harness.training import data_report, datasets, tokenization
from harness.training.reward_settings import RewardSettings
from harness.training.rollouts import NO_WINDOW, PolicyItem, never_ends
from harness.training.task_rewards import TaskReward, reward_tasks, training_questions
from harness.types import SkilldeltaError, digest

if TYPE_CHECKING:
    from harness.evaluation.questions import Question


@dataclass
class PolicyPrompts:
    """The prompts of a run: to train on, and held out; and what run.json tells of them."""

    training: list[PolicyItem]
    heldout: list[PolicyItem]
    report: list[dict[str, Any]]
    losses: dict[str, int] = field(default_factory=dict)
    audit: dict[str, Any] = field(default_factory=dict)
    conversations: bool = True  # whether they go through a chat template


def load_policy_prompts(config: RewardSettings, tokenizer: Any) -> PolicyPrompts:
    """The prompts of the settings, encoded; those longer than --max-prompt are left out and counted."""
    tasks = reward_tasks(config)
    return load_task_prompts(config, tokenizer, tasks) if tasks else load_row_prompts(config, tokenizer)


def load_row_prompts(config: RewardSettings, tokenizer: Any) -> PolicyPrompts:
    """Prompts from rows of data, in any format of prompts."""
    encoder = tokenization.Encoder(tokenizer, config.max_prompt)
    data, heldout = datasets.split_holdout(config, datasets.parse_prompt, lambda row: row.prompt)
    training, heldout_items = (
        [PolicyItem(ids) for ids in encoder.fitting_prompts([row.prompt for row in part])] for part in (data.rows, heldout)
    )
    audit = data_report.report_rows(data.rows, config)
    conversations = any(isinstance(row.prompt, tuple) for row in data.rows)
    return PolicyPrompts(training, heldout_items, data.report, dict(encoder.losses), audit, conversations)


def load_task_prompts(config: RewardSettings, tokenizer: Any, tasks: Sequence[TaskReward]) -> PolicyPrompts:
    """The training rows of tasks, asked as `skilldelta score` asks their test rows."""
    if config.data and len(config.data) != len(tasks) and len(tasks) > 1:
        raise SkilldeltaError(f"--data names {len(config.data)} files for {len(tasks)} tasks: give one for each, or none.")
    words, template = WindowedTokenizer(tokenizer, NO_WINDOW), templates.choose_template("auto", tokenizer)
    training, heldout, report = list[PolicyItem](), list[PolicyItem](), list[dict[str, Any]]()
    rows: list[datasets.PolicyPrompt] = []
    for i, reward in enumerate(tasks):
        files = config.data if len(tasks) == 1 else config.data[i : i + 1]
        questions, facts = training_questions(reward, files)
        report += [dict(f) for f in facts]
        if config.eval_data:
            heldout += encode_questions(reward, training_questions(reward, config.eval_data)[0], words, template)
        for item in encode_questions(reward, questions[: config.limit or None], words, template):
            is_heldout = not config.eval_data and question_share(item) < config.holdout
            (heldout if is_heldout else training).append(item)
            rows.append(datasets.PolicyPrompt(words.hf_tokenizer.decode(item.ids)))
    fitting, fitting_heldout = ([item for item in part if len(item.ids) <= config.max_prompt] for part in (training, heldout))
    overlong = len(training) + len(heldout) - len(fitting) - len(fitting_heldout)
    if not fitting:
        raise SkilldeltaError(f"No prompt has at most {config.max_prompt} tokens: raise --max-prompt.")
    audit = data_report.report_rows(rows, config)
    losses = {"overlong": overlong} if overlong else {}
    return PolicyPrompts(fitting, fitting_heldout, report, losses, audit, template.kind != "none")


def encode_questions(
    reward: TaskReward, questions: Sequence[Question], words: WindowedTokenizer, template: templates.ChatTemplate
) -> list[PolicyItem]:
    """Questions as ids, with the stop strings that end their answers."""
    return [
        PolicyItem(
            tuple(words.with_start(words.encode(template.render(q.request)))),
            reward.task.name,
            q,
            words.make_stop_check(q.request.stop) if q.request.stop else never_ends,
        )
        for q in questions
    ]


def question_share(item: PolicyItem) -> float:
    """A number from 0 to 1 that decides whether a question is held out: of its content alone."""
    assert item.question
    return int(digest(item.question.example.row, 8), 16) / 16**8


def repeat(items: Sequence[PolicyItem], count: int) -> list[PolicyItem]:
    """Each prompt `count` times, one after another; the draws of a question are numbered."""
    return [
        replace(item, question=item.question and replace(item.question, request=replace(item.question.request, draw=draw)))
        for item in items
        for draw in range(count)
    ]
