"""The demo: models made on the spot in the embedded world, tuned by DPO and PPO, scored and compared.

It is the same path as with anybody's models, made of the same commands, and shows what must be seen: skills that moved, a
planted regression that is flagged (safety labels turned round), and the same model under two names, that is not.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import registry
from harness.integrity import read_json
from harness.store import write_bytes
from harness.study import Stage
from harness.types import Checkpoint, Request
from harness.world import corpus, ratings
from harness.world.skills import SKILLS
from harness.world.words import SEED, Row

TASKS = "world_facts,world_sums,world_code,world_myths,world_harm,world_orders"
DOCUMENTS, CHATS, PROMPTS = 64_000, 8_000, 3_600
SAMPLES = 3  # of the SFT model for each prompt
# Taken over from earlier trials at this size, not tuned here: `validation` questions are there for whoever wants to.
SFT = {"lr": 1e-3, "batch": 16, "epochs": 1, "max_length": 128}
DPO = {"lr": 1.5e-4, "batch": 16, "epochs": 1, "max_length": 160, "beta": 0.1}
REWARD = {"lr": 1e-3, "batch": 16, "epochs": 1, "max_length": 160, "strangers": 0.2, "holdout": 0.1, "max_new": 56}
PPO = {"lr": 4e-4, "batch": 64, "minibatch": 32, "max_steps": 100, "temperature": 1.0, "kl": 0.2, "kl_stop": 4.0,
       "missing_end": -3.0, "max_new": 56, "max_prompt": 96}  # fmt: skip
OVER = PPO | {"kl": 0.02, "kl_stop": 0.0, "max_steps": 150}


def stages(folder: Path, full: bool = False) -> list[Stage]:
    """The demo's work.  `full` adds an over-optimised PPO run."""
    data, runs, results = folder / "data", folder / "runs", folder / "results"

    def train(name: str, method: str, needs: tuple[str, ...], settings: Mapping[str, Any], says: str) -> Stage:
        flags = [f"--{k}={v}" for k, v in settings.items()]
        return Stage(name, ("harness", "train", method, f"--out={runs / name}", *flags), needs, says)

    def score(name: str) -> Stage:
        flags = ("-t", TASKS, "-o", str(results), "-b", "64")
        return Stage(f"score-{name}", ("harness", "score", str(runs / name), *flags), (name,), f"score {name} on six skills")

    sft, pairs = str(runs / "sft"), str(data / "preferences.jsonl")
    made = [
        Stage("data", ("harness.demo", "data", str(data)), (), "write the world's corpus, chats and prompts"),
        train("base", "pretrain", ("data",), {"data": data / "corpus.jsonl"}, "pre-train a base model of 0.2 M parameters"),
        train("sft", "sft", ("base",), SFT | {"model": runs / "base", "data": f"{data}/chats.jsonl,{data}/replay.jsonl"},
              "fine-tune it on chats of mixed quality"),
        Stage("pool", ("harness.demo", "pool", sft, str(data)), ("sft",), "sample answers of the SFT model and rate them"),
        train("reward", "reward", ("pool",), REWARD | {"model": sft, "data": pairs}, "train a reward model on the ratings"),
        train("dpo", "dpo", ("pool",), DPO | {"model": sft, "data": pairs, "save_steps": 75}, "tune by DPO"),
        train("ppo", "ppo", ("reward",), PPO | {"model": sft, "reward": runs / "reward", "data": data / "prompts.jsonl",
              "save_steps": 50}, "tune by PPO against the reward model"),
        train("planted", "dpo", ("pool",), DPO | {"model": sft, "data": data / "reversed.jsonl"},
              "plant a regression: DPO on reversed safety labels"),
        Stage("sft-again", ("harness.demo", "again", sft, str(runs / "sft-again")), ("sft",), "the SFT model, a second name"),
    ]  # fmt: skip
    if full:
        settings = OVER | {"model": sft, "reward": runs / "reward", "data": data / "prompts.jsonl", "save_steps": 50}
        made.append(train("ppo-overopt", "ppo", ("reward",), settings, "PPO with a KL penalty that is too weak"))
    scored = ("sft", "sft-again", "dpo", "ppo", "planted", *(("ppo-overopt",) if full else ()))
    return [*made, *(score(name) for name in scored)]


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_bytes(path, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows).encode())


def write_data(folder: Path) -> None:
    """Everything that is known before there is a model."""
    documents = corpus.documents(DOCUMENTS)
    write_lines(folder / "corpus.jsonl", documents)
    write_lines(folder / "replay.jsonl", documents[: CHATS // 4])  # keeps the base's knowledge alive in SFT
    write_lines(folder / "chats.jsonl", corpus.chats(CHATS))
    asked = corpus.prompts(PROMPTS, salt="ppo")
    write_lines(folder / "prompts.jsonl", ({"prompt": corpus.talk(row["prompt"], "")[:1]} for row in asked))


def write_pool(model: str, folder: Path) -> None:
    """Preference data from the SFT model's own answers, with one written answer beside them, all rated."""
    prompts = corpus.prompts(PROMPTS)
    source = random.Random(f"{SEED} pool")
    said = answers(model, prompts)
    rows = []
    for row, texts in zip(prompts, said, strict=True):
        skill = SKILLS[row["skill"]]
        written = (skill.good if source.random() < 0.5 else skill.bad)(row, source)
        rows.append(ratings.completions(row, [*texts, written]))
    write_lines(folder / "preferences.jsonl", rows)
    write_lines(folder / "reversed.jsonl", ratings.reversed_safety(prompts, 1200))


def answers(model: str, prompts: Sequence[Row]) -> list[list[str]]:
    """SAMPLES answers of a model to each prompt, at temperature 1."""
    last = latest(Path(model))
    plugin = registry.module("backends", "transformers")
    backend = plugin.load(Checkpoint(last.name, str(last), "trainer"), plugin.Options(batch_size=256))
    asked = [Request(r["prompt"], max_tokens=56, temperature=1.0, draw=d) for r in prompts for d in range(SAMPLES)]
    found = {i: response.text for i, response in backend.answer(asked)}
    return [[found[i * SAMPLES + d] for d in range(SAMPLES)] for i in range(len(prompts))]


def latest(run: Path) -> Path:
    """The last checkpoint of a run."""
    return max(run.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))


def again(model: Path, other: Path) -> None:
    """The same model in another folder: what compares it with itself must find nothing."""
    last = latest(model)
    shutil.copytree(last, other / last.name, dirs_exist_ok=True)


def baseline(folder: Path) -> str:
    """The SFT checkpoint's name in the results."""
    last = latest(folder / "runs" / "sft")
    read_json(last / "trainer_state.json")
    return f"sft@{last.name.split('-')[1]}"


def main(arguments: Sequence[str]) -> None:
    """python -m harness.demo data|pool|again ...: the stages that are no command of their own."""
    what, *paths = arguments
    if what == "data":
        write_data(Path(paths[0]))
    elif what == "pool":
        write_pool(paths[0], Path(paths[1]))
    else:
        again(Path(paths[0]), Path(paths[1]))


if __name__ == "__main__":
    main(sys.argv[1:])
