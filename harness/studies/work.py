"""The stages of a study that are no command of the program's own: python -m harness.studies.work data|pool|copy ..."""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import config, registry
from harness.atomic_files import atomic_folder, write_bytes
from harness.folder_claims import claim_folder
from harness.studies.plan import last_checkpoint
from harness.types import Checkpoint, Request
from harness.world import corpus, ratings
from harness.world.skills import SKILLS
from harness.world.words import SEED, Row

MAX_ANSWER_TOKENS = 56  # tokens of an answer


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_bytes(path, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows).encode())


def write_data(folder: Path, world: Mapping[str, Any]) -> None:
    """Everything that is known before there is a model."""
    documents = corpus.make_documents(world["documents"])
    write_lines(folder / "corpus.jsonl", documents)
    write_lines(folder / "replay.jsonl", documents[: world["chats"] // 4])  # keeps the base's knowledge alive in SFT
    write_lines(folder / "chats.jsonl", corpus.make_chats(world["chats"]))
    for name, skills in world["prompts_of"].items():
        prompts = corpus.draw_prompts(world["policy_prompts"], tuple(skills), salt=f"policy {name}")
        write_lines(
            folder / f"prompts-{name}.jsonl", ({"prompt": corpus.as_messages(row["prompt"], "")[:1]} for row in prompts)
        )


def write_pool(folder: Path, world: Mapping[str, Any], models: Sequence[str]) -> None:
    """Preference data: answers of models and one written answer, all rated by every kind of rater."""
    prompts = corpus.draw_prompts(world["prompts"])
    source = random.Random(f"{SEED} pool")
    answers_by_model = [sample_answers(model, prompts, world["samples"]) for model in models]
    rows = []
    for number, row in enumerate(prompts):
        skill = SKILLS[row["skill"]]
        script_answer = (skill.good_answer if source.random() < 0.5 else skill.bad_answer)(row, source)
        rows.append(
            ratings.rate_completions(row, [*(text for texts in answers_by_model for text in texts[number]), script_answer])
        )
    for kind in ratings.DATA_KINDS:
        preferences = (
            ratings.make_reversed_pairs(prompts, 1200)
            if kind == ratings.REVERSED_LABELS
            else [ratings.keep_ratings(r, kind) for r in rows]
        )
        write_lines(folder / f"preferences-{kind}.jsonl", preferences)


def sample_answers(model: str, prompts: Sequence[Row], samples: int) -> list[list[str]]:
    """Answers of a model to each prompt, at temperature 1."""
    folder = (
        last_checkpoint(Path(model)) if Path(model).is_dir() and not (Path(model) / "config.json").exists() else Path(model)
    )
    plugin = registry.module("backends", "transformers")
    backend = plugin.load(Checkpoint(folder.name, str(folder), "trainer"), config.options_type(plugin.load)(batch_size=256))
    requests = [
        Request(r["prompt"], max_tokens=MAX_ANSWER_TOKENS, temperature=1.0, draw=d) for r in prompts for d in range(samples)
    ]
    texts = {i: response.text for i, response in backend.answer(requests)}
    return [[texts[i * samples + d] for d in range(samples)] for i in range(len(prompts))]


def copy_model(run: Path, target: Path) -> None:
    """The last checkpoint of a run in another folder: a comparison of the two must find nothing.

    FolderInUseError where another process copies there, or trains.
    """
    checkpoint = last_checkpoint(run)
    files = [path for path in sorted(checkpoint.rglob("*")) if path.is_file()]
    with claim_folder(target, "copies a model"), atomic_folder(target / checkpoint.name) as draft:
        for file in files:
            place = draft / file.relative_to(checkpoint)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, place)


def main(arguments: Sequence[str]) -> None:
    what, *rest = arguments
    if what == "data":
        write_data(Path(rest[0]), json.loads(rest[1]))
    elif what == "pool":
        write_pool(Path(rest[0]), json.loads(rest[1]), rest[2:])
    else:
        copy_model(Path(rest[0]), Path(rest[1]))


if __name__ == "__main__":
    main(sys.argv[1:])
