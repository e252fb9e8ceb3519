"""Damaged checkpoints by what their files hold: weights, indices, adapters, links, pipes, states, names, trees.

`checkpoints` must list their good neighbour all the same, and `score` must end in words of its own.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.hostile.checkpoint_headers import HEADERS, RUN, WEIGHTS
from tests.hostile.edits import (
    MARKER,
    Edit,
    all_of,
    at,
    cases,
    change_json,
    fields,
    put,
)
from tests.loading.folders import save_lora, shard
from tests.support import tiny
from tests.support.damage import FILES, instead
from tests.support.forked import Case

CONFIG, STATE = f"{RUN}/config.json", f"{RUN}/trainer_state.json"
INDEX = "shards/model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
ADAPTER = "lora/adapter_config.json"
DEEP = b"[" * 100_000
ADAPTER_WEIGHTS = "lora/adapter_model.safetensors"
PIPES = (
    *("chat_template.jinja", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "README.md"),
    *("training_args.bin", "run.json", "args.json", "events.out.tfevents.1", "tokenizer.model", "preprocessor_config.json"),
)
LOGS = ("history.json", "m.jsonl", "m.csv", "m.db", "run-a.wandb", "events.out.tfevents.2")


def make_good(good: Path) -> None:
    """A run's checkpoint, a neighbour, one in shards, and an adapter."""
    whole = tiny.llama(good / RUN, hidden_size=8, intermediate_size=8, num_hidden_layers=1, vocabulary=300, template=True)
    state = {"global_step": 5, "log_history": [{"step": 5, "loss": 1.0}]}
    (whole / "trainer_state.json").write_text(json.dumps(state))
    shutil.copytree(whole, good / "neighbour")
    shutil.copytree(whole, good / "shards")
    shard(good / "shards")
    save_lora(whole, good / "lora")


def list_all(folder: Path) -> list[str]:
    return ["checkpoints", str(folder)]


def scorer(target: str) -> Callable[[Path], list[str]]:
    """Scores two questions with the checkpoint `target`."""
    settings = ["-t", "world_sums_validation", "-L", "2", "--device", "cpu"]
    return lambda folder: ["score", str(folder / target), *settings, "-o", str(folder / "out")]


def shard_named(name: str) -> Edit:
    """An index whose first tensor is in another file."""
    return change_json(INDEX, lambda index: index["weight_map"].update({next(iter(index["weight_map"])): name}))


def based_on(base: Any) -> Edit:
    return fields(ADAPTER, base_model_name_or_path=base)


def pickle_that_runs(target: str) -> Edit:
    """A pickle whose loading would write MARKER."""
    return lambda folder: put(target, f"cposix\nsystem\n(S'touch {folder.parent / MARKER}'\ntR.")(folder)


def renamed(name: str | bytes) -> Edit:
    """A copy of the neighbour under another name."""
    return lambda folder: shutil.copytree(folder / "neighbour", folder / os.fsdecode(name))


CONFIGS: dict[str, Edit] = {
    "config: deep": put(CONFIG, DEEP),
    "config: deep objects": at(CONFIG, FILES["deep objects"]),
    "config: a list": put(CONFIG, b"[1]"),
    "config: a byte order mark": put(CONFIG, b"\xef\xbb\xbf{}"),
    "config: Latin-1": put(CONFIG, b'{"a":"\xff"}'),
    "config: architectures 5": fields(CONFIG, architectures=5),
    "config: architectures as an object": fields(CONFIG, architectures={"a": 1}),
    "config: NaN": fields(CONFIG, x=float("nan")),
    "config: 100,000 digits": put(CONFIG, b'{"x":' + b"9" * 100_000 + b"}"),
}
INDICES: dict[str, Edit] = {
    **{
        f"index: {what}": shard_named(name)
        for what, name in {
            "a parent's file": "../neighbour/model.safetensors",
            "an absolute path": "/etc/passwd",
            "the parent": "..",
            "NUL": "x\0y.safetensors",
            "half of a pair": "x\ud800.safetensors",
            "5,000 letters": "x" * 5000,
            "itself": "model.safetensors.index.json",
        }.items()
    },
    "index: deep": put(INDEX, b'{"weight_map":' + DEEP),
    "index: a list": fields(INDEX, weight_map=[1]),
    "index: each shard is the other": change_json(
        INDEX, lambda x: x["weight_map"].update({k: SHARDS[v == SHARDS[0]] for k, v in x["weight_map"].items()})
    ),
    "index: 300,000 names": change_json(
        INDEX, lambda x: x["weight_map"].update({f"z{i}": f"s{i}.safetensors" for i in range(300_000)})
    ),
    "index: a size that is none": fields(INDEX, metadata={"total_size": "NaN", "total_parameters": -1}),
    "index: shards and the whole": lambda c: shutil.copy(c / "neighbour/model.safetensors", c / "shards"),
    "index: a shard that is its folder": at(f"shards/{SHARDS[0]}", instead(lambda file: file.symlink_to("../shards"))),
}
BASES: dict[str, Edit] = {
    **{
        f"adapter: base {what}": based_on(base)
        for what, base in {
            "/etc": "/etc",
            "NUL": "a\0b",
            "half of a pair": "\ud800",
            "5,000 letters": "x" * 5000,
            "an object": {"a": 1},
            "escapes": "\x1b]52;c;ZXZpbA==\x07",
            "the parent's": "../neighbour",
            "itself": "../lora",
        }.items()
    },
    "adapter: deep": put(ADAPTER, DEEP),
    "adapter: weights a pipe": at(ADAPTER_WEIGHTS, FILES["pipe"]),
}
PLACES: dict[str, Edit] = {
    "weights: a link out": at(WEIGHTS, FILES["link out"]),
    "weights: a link to itself": at(WEIGHTS, FILES["link to itself"]),
    "weights: a pipe": at(WEIGHTS, FILES["pipe"]),
    "weights: a folder": at(WEIGHTS, FILES["folder"]),
    "config: an endless device": at(CONFIG, FILES["link to an endless device"]),
    "config: a pipe": at(CONFIG, FILES["pipe"]),
    "state: deep": put(STATE, DEEP),
    "state: a list": put(STATE, b"[1]"),
    "state: 1e400 and a step of 200 digits": all_of(
        put(STATE, b'{"global_step": 1e400}'),
        lambda c: (c / RUN).rename(c / ("run/checkpoint-" + "9" * 200)),
    ),
    "state: odd history": put(
        STATE, json.dumps({"global_step": "x", "log_history": [1, None, {"step": "x", "loss": "\x1b[31m"}]})
    ),
    "state: a loss of 400 digits": put(STATE, '{"global_step": 5, "log_history": [{"step": 5, "loss": 1' + "0" * 400 + "}]}"),
    "state: odd steps": put(
        STATE,
        '{"global_step": 5, "log_history": [{"step": "x", "loss": 1}, {"step": NaN, "loss": 2}, {"step": [1], "loss": 3}]}',
    ),
    "state: steps of 10^300": put(STATE, '{"global_step": 1e300, "log_history": [{"step": 1e299, "loss": 1}]}'),
    "state: a pickle of arguments": pickle_that_runs(f"{RUN}/training_args.bin"),
    "weights: a pickle": all_of(pickle_that_runs(f"{RUN}/pytorch_model.bin"), at(WEIGHTS, Path.unlink)),
    "name: escapes": renamed("name-\x1b]52;c;ZXZpbA==\x07"),
    "name: a new line": renamed("name\nline"),
    "name: a formula": renamed("=cmd|x"),
    "name: no UTF-8, bidi": all_of(
        renamed(b"run/ckpt-\xff\xfe"), renamed("run/\u202ecp"), renamed(b"run/checkpoint-7\x1b[31m")
    ),
}


def many_checkpoints(folder: Path) -> None:
    for i in range(3000):
        (folder / f"run/checkpoint-{i + 10}").mkdir()
        (folder / f"run/checkpoint-{i + 10}/config.json").write_text("{}")


def deep_tree(folder: Path) -> None:
    place = folder / "run"
    for _ in range(700):
        place /= "d"
        place.mkdir()


def put_pipes(folder: Path, names: Sequence[str]) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        if not (folder / name).exists():
            os.mkfifo(folder / name)


TREES: dict[str, Edit] = {
    "tree: 3,000 empty checkpoints": many_checkpoints,
    "tree: 700 folders in one another": deep_tree,
    "tree: a link to the parent": lambda c: (c / "run/checkpoint-9").symlink_to("..", target_is_directory=True),
    "tree: pipes beside the weights": at(RUN, lambda folder: put_pipes(folder, PIPES)),
    "tree: logs that are pipes": at("run/logs", lambda folder: put_pipes(folder, LOGS)),
    "tree: a folder without rights": at("run", lambda folder: folder.chmod(0)),
}


def checkpoint_files(good: Path) -> Iterator[Case]:
    yield from cases(good, HEADERS | CONFIGS | INDICES | BASES | PLACES | TREES, list_all, "neighbour", "checkpoints")
    yield from cases(good, HEADERS, scorer(RUN), verb="score")
    yield from cases(good, INDICES, scorer("shards"), verb="score")
    yield from cases(good, BASES, scorer("lora"), verb="score")
    yield from cases(good, TREES, scorer(RUN), verb="score")
