"""Reward models asked directly: how often they put a right answer above a wrong one, and what best-of-n by them scores.

python -m harness.studies.best_of_n DRAWS OUTPUT RUN...   DRAWS is a results folder with several draws of each example.  For
each reward model, OUTPUT (another results folder) gets a checkpoint that gave the draw it likes best.  Without reward models,
OUTPUT is made, with a checkpoint `first` that gave the first draw, as one who does not choose.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import fingerprint, registry
from harness.atomic_files import folder_name, write_json
from harness.engine.device import default_device
from harness.records import CellRecord
from harness.store import Results, SampleWriter
from harness.training import batches, policy_models, reward_model
from harness.training.batches import Tokens
from harness.training.tokenization import Encoder, load_tokenizer
from harness.types import Checkpoint, Example, Message, Sample, digest

FIRST = "first"
ROWS = 256  # answers that are scored at once
LONGEST = 4096


@dataclass(frozen=True)
class Drawn:
    """A task's draws: for each example its prompt, and the samples by draw."""

    record: CellRecord
    asked: list[tuple[Message, ...]]
    samples: list[list[Sample]]


def drawn(results: Results) -> Iterator[Drawn]:
    """Every task of a results folder."""
    for _, record, cell in results.cells():
        task = registry.task(record.task.name)
        rows = results.rows(task.name)
        found: dict[str, list[Sample]] = {}
        for sample in cell.samples():
            found.setdefault(sample.example, []).append(sample)
        asked = [task.ask(Example(rows[example])).prompt for example in found]
        turns = [(Message("user", p),) if isinstance(p, str) else p for p in asked]
        yield Drawn(record, turns, list(found.values()))


def scores(run: str, tasks: Sequence[Drawn]) -> list[list[list[float]]]:
    """A reward model's scores: [task][example][draw]."""
    path = policy_models.model_folder(run)
    reward = reward_model.load(path)
    reward.model.to(default_device())
    encoder = Encoder(load_tokenizer(path), LONGEST, "cut")
    texts = [(p, s.response.text) for t in tasks for p, said in zip(t.asked, t.samples, strict=True) for s in said]
    unique = {digest([list(map(tuple, p)), text]): (p, text) for p, text in texts}
    rows = {key: found for key, found in zip(unique, encoder.encode_answers(list(unique.values())), strict=True) if found}
    told = dict(zip(rows, asked(reward, list(rows.values())), strict=True))
    flat = iter([told.get(digest([list(map(tuple, p)), text]), float("-inf")) for p, text in texts])
    return [[[next(flat) for _ in said] for said in t.samples] for t in tasks]


def asked(reward: reward_model.RewardModel, rows: Sequence[Tokens]) -> list[float]:
    """The reward of each answer."""
    found = [0.0] * len(rows)
    for places in batches.micro_batches(list(range(len(rows))), lambda i: len(rows[i]), ROWS):
        batch = batches.pad_rows([rows[i] for i in places], 0).to(reward.device)
        for place, value in zip(places, reward.scores(batch).tolist(), strict=True):
            found[place] = value
    return found


def accuracy(tasks: Sequence[Drawn], told: Sequence[Sequence[Sequence[float]]]) -> dict[str, Any]:
    """How often a right answer is put above a wrong one: of each prompt that has both, the first of each.  A tie is no hit."""
    skills: dict[str, list[bool]] = {}
    for task, by_example in zip(tasks, told, strict=True):
        hits = skills.setdefault(task.record.task.skill, [])
        for said, worth in zip(task.samples, by_example, strict=True):
            right = [w for s, w in zip(said, worth, strict=True) if s.score.value == 1]
            wrong = [w for s, w in zip(said, worth, strict=True) if s.score.value == 0]
            if right and wrong:
                hits.append(right[0] > wrong[0])
    every = [hit for hits in skills.values() for hit in hits]
    return share(every) | {"skills": {name: share(hits) for name, hits in skills.items() if hits}}


def share(hits: Sequence[bool]) -> dict[str, Any]:
    return {"share": round(sum(hits) / len(hits), 6) if hits else None, "n": len(hits), "right": sum(hits)}


def keep(output: Results, checkpoint: Checkpoint, tasks: Sequence[Drawn], told: Sequence[Sequence[Sequence[float]]]) -> None:
    """Stores, for each example, the draw with the highest score (the first of equals) as the checkpoint's answer."""
    output.add(checkpoint, {"weights": digest([checkpoint.name, checkpoint.content])})
    for task, by_example in zip(tasks, told, strict=True):
        cell = output.cell(checkpoint.name, task.record.task.name)
        chosen = [
            said[max(range(len(said)), key=worth.__getitem__)] for said, worth in zip(task.samples, by_example, strict=True)
        ]
        fingerprint = {"weights": digest([checkpoint.name, checkpoint.content])}
        inputs = replace(task.record.inputs, draws=1)
        cell.write_record(replace(task.record, state="done", inputs=inputs, fingerprint=fingerprint))
        with SampleWriter(cell):
            cell.rewrite([replace(sample, draw=0) for sample in chosen])


def main(arguments: Sequence[str]) -> None:
    source, target, *runs = arguments
    draws, output = Results(source), Results.make(target)
    tasks = list(drawn(draws))
    if not runs:
        begin(draws, output, tasks)
    for run in runs:
        told = scores(run, tasks)
        path = policy_models.model_folder(run)
        content = digest(fingerprint.hash_checkpoint(Checkpoint("", path, "transformers")))
        keep(output, Checkpoint(Path(run).name, "", "best-of-n", method="best-of-n", content=content), tasks, told)
        write_json(output.folder / "_accuracy" / f"{folder_name(Path(run).name)}.json", accuracy(tasks, told))


def begin(draws: Results, output: Results, tasks: Sequence[Drawn]) -> None:
    """The rows that were asked about, and the one who does not choose."""
    for task in tasks:
        name = task.record.task.name
        output.keep(name, [Example(row) for row in draws.rows(name).values()])
    nothing = [[[0.0] * len(said) for said in task.samples] for task in tasks]
    keep(output, Checkpoint(FIRST, "", "best-of-n", content=FIRST), tasks, nothing)


if __name__ == "__main__":
    main(sys.argv[1:])
