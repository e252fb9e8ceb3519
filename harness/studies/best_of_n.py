"""Reward models asked directly: how often they put a right answer above a wrong one, and what best-of-n by them scores.

python -m harness.studies.best_of_n DRAWS OUTPUT RUN...   DRAWS is a results folder with several draws of each example.  For
each reward model, OUTPUT (another results folder) gets a checkpoint that gave the draw it likes best.  Without reward models,
OUTPUT is made, with a checkpoint `first` that gave the first draw, as one who does not choose.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness import fingerprint, registry
from harness.atomic_files import folder_name, write_json
from harness.checkpoint_folders import describe_path
from harness.evaluation.head_to_head import request_of
from harness.named_bases import base_without_adapters
from harness.prompts.reading import Reader
from harness.records import CellRecord
from harness.store import Results, SampleWriter
from harness.training import policy_models
from harness.training.model_loading import is_adapter
from harness.training.settings import TrainerSettings
from harness.training.start import write_start
from harness.types import Checkpoint, Example, Message, Sample, SkilldeltaError, digest

FIRST = "first"


@dataclass(frozen=True)
class TaskDraws:
    """A task's draws: for each example its prompt, and the samples by draw."""

    record: CellRecord
    prompts: list[str | tuple[Message, ...]]
    samples: list[list[Sample]]


def read_draws(results: Results) -> Iterator[TaskDraws]:
    """Every task of a results folder.  SkilldeltaError for draws of several checkpoints, and for a task that is not done."""
    cells = list(results.cells())
    if len(names := sorted({name for name, *_ in cells})) > 1:
        raise SkilldeltaError(
            f"{results.folder} holds draws of {', '.join(names)}: best-of-n chooses among the draws of one checkpoint.  Score "
            "each into a folder of its own."
        )
    for name, record, cell in cells:
        if record.state != "done":
            raise SkilldeltaError(f"{record.task.name} of {name} is {record.state}, not done: score it to its end first.")
        task = registry.task(record.task.name)
        rows = results.rows(task.name)
        samples_by_example: dict[str, list[Sample]] = {}
        for sample in cell.samples():
            samples_by_example.setdefault(sample.example, []).append(sample)
        prompts = [request_of(task.ask, rows, example).prompt for example in samples_by_example]
        yield TaskDraws(record, prompts, list(samples_by_example.values()))


def score_draws(run: str, tasks: Sequence[TaskDraws]) -> list[list[list[float]]]:
    """A reward model's scores: [task][example][draw].

    It reads what the task's scorer and a judge read: the answer without the reasoning before it.  Where nothing is left, and
    where it cannot read the answer, a draw is worth less than any other.  SkilldeltaError where that is so of all draws.
    """
    from harness.training.answer_rewards import RewardScorer  # loads torch: a first draw is taken without

    pairs = [pair for task in tasks for pair in prompts_and_answers(task)]
    rewards = iter(RewardScorer(run).score([(prompt, answer) for prompt, answer in pairs if answer.strip()]))
    worths = [next(rewards) if answer.strip() else None for _, answer in pairs]
    finite = [worth if worth is not None and math.isfinite(worth) else -math.inf for worth in worths]
    if pairs and max(finite) == -math.inf:
        raise SkilldeltaError(
            f"{run} gives no reward for any draw, so that it chooses nothing: the answers are empty, its chat template cannot "
            "write these conversations, they are longer than its window, or its weights are damaged."
        )
    flat = iter(finite)
    return [[[next(flat) for _ in draws] for draws in t.samples] for t in tasks]


def prompts_and_answers(task: TaskDraws) -> Iterator[tuple[str | tuple[Message, ...], str]]:
    """The prompt and the answer of each draw, read as they were when they were scored."""
    reader = Reader.from_record(task.record.reader)
    for prompt, draws in zip(task.prompts, task.samples, strict=True):
        yield from ((prompt, reader.read(sample.response)[0]) for sample in draws)


def ranking_accuracy(tasks: Sequence[TaskDraws], scores: Sequence[Sequence[Sequence[float]]]) -> dict[str, Any]:
    """How often a right answer is put above a wrong one: of each prompt that has both, the first of each.  A tie is no hit."""
    skills: dict[str, list[bool]] = {}
    for task, by_example in zip(tasks, scores, strict=True):
        hits = skills.setdefault(task.record.task.skill, [])
        for draws, draw_scores in zip(task.samples, by_example, strict=True):
            right = [w for s, w in zip(draws, draw_scores, strict=True) if s.score.value == 1]
            wrong = [w for s, w in zip(draws, draw_scores, strict=True) if s.score.value == 0]
            if right and wrong:
                hits.append(right[0] > wrong[0])
    every = [hit for hits in skills.values() for hit in hits]
    return count_hits(every) | {"skills": {name: count_hits(hits) for name, hits in skills.items() if hits}}


def count_hits(hits: Sequence[bool]) -> dict[str, Any]:
    return {"share": round(sum(hits) / len(hits), 6) if hits else None, "n": len(hits), "right": sum(hits)}


def store_choices(
    output: Results, checkpoint: Checkpoint, tasks: Sequence[TaskDraws], scores: Sequence[Sequence[Sequence[float]]]
) -> None:
    """Stores, for each example, the draw with the highest score (the first of equals) as the checkpoint's answer."""
    output.add(checkpoint, {"weights": digest([checkpoint.name, checkpoint.content])})
    for task, by_example in zip(tasks, scores, strict=True):
        cell = output.cell(checkpoint.name, task.record.task.name)
        choices = [
            samples[max(range(len(samples)), key=worth.__getitem__)]
            for samples, worth in zip(task.samples, by_example, strict=True)
        ]
        fingerprint = {"weights": digest([checkpoint.name, checkpoint.content])}
        inputs = replace(task.record.inputs, draws=1)
        record = replace(task.record, state="done", inputs=inputs, fingerprint=fingerprint)
        with SampleWriter(cell):
            cell.rewrite([replace(sample, draw=0) for sample in choices], record)


def main(arguments: Sequence[str]) -> None:
    source, target, *runs = arguments
    if runs:
        choose_draws(source, target, runs, with_first=False)
    else:
        draws = Results(source)
        store_first_draws(draws, Results.make(target), list(read_draws(draws)))


@contextmanager
def rebased_models(runs: Sequence[str], base: str) -> Iterator[list[str]]:
    """The folders of reward models; with a `base`, adapters among them are copies that name it.

    SkilldeltaError for a base that is no folder, or that no model needs.
    """
    folders = [policy_models.model_folder(run) for run in runs]
    if not base:
        yield folders
        return
    if not (Path(base) / "config.json").is_file():
        raise SkilldeltaError(f"--base {base}: there is no model in such a folder.")
    if not any(map(is_adapter, folders)):
        raise base_without_adapters(runs)
    with TemporaryDirectory() as place:
        copies = [Path(place) / str(i) / Path(folder).name for i, folder in enumerate(folders)]
        for folder, copy in zip(folders, copies, strict=True):
            if is_adapter(folder):
                write_start(Path(folder), copy, TrainerSettings(base=base))
        yield [str(copy) if copy.is_dir() else folder for folder, copy in zip(folders, copies, strict=True)]


def choose_draws(
    source: Path | str, target: Path | str, runs: Sequence[str], with_first: bool = True, base: str = ""
) -> dict[str, dict[str, Any]]:
    """Stores each reward model's choices, and the first draws (`with_first`); the reward models' accuracies by name.

    `base`: the model of adapters whose base is not where they say.  SkilldeltaError for a folder without draws, and for two
    reward models of one name.
    """
    draws = Results(source)
    tasks = list(read_draws(draws))
    if not tasks or all(len(samples) < 2 for task in tasks for samples in task.samples):
        raise SkilldeltaError(f"{source} holds no two draws of any example: score with --draws 2 or more.")
    names = [Path(run).name for run in runs]
    if doubles := sorted({name for name in names if names.count(name) > 1} | ({FIRST} & set(names))):
        raise SkilldeltaError(f"Two results would have the name {doubles[0]!r}: give the folders of reward models other names.")
    output = Results.make(target)
    if with_first:
        store_first_draws(draws, output, tasks)
    accuracies = {}
    with rebased_models(runs, base) as folders:
        for name, folder in zip(names, folders, strict=True):
            scores = score_draws(folder, tasks)
            content = digest(fingerprint.hash_checkpoint(describe_path(folder)))
            store_choices(output, Checkpoint(name, "", "best-of-n", method="best-of-n", content=content), tasks, scores)
            accuracies[name] = ranking_accuracy(tasks, scores)
            write_json(output.folder / "_accuracy" / f"{folder_name(name)}.json", accuracies[name])
    return accuracies


def store_first_draws(draws: Results, output: Results, tasks: Sequence[TaskDraws]) -> None:
    """The rows that were asked about, and the one who does not choose."""
    for task in tasks:
        name = task.record.task.name
        output.keep(name, [Example(row) for row in draws.rows(name).values()])
    nothing = [[[0.0] * len(samples) for samples in task.samples] for task in tasks]
    store_choices(output, Checkpoint(FIRST, "", "best-of-n", content=FIRST), tasks, nothing)


if __name__ == "__main__":
    main(sys.argv[1:])
