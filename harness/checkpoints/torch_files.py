"""Files of torch itself (.pt, .pth, .ckpt), as nanochat and hand-written loops save them: seen, and named with the way out."""

from __future__ import annotations

import re
from pathlib import Path

from harness.checkpoint_folders import has_model_files
from harness.folder_entries import find_entries, list_entries
from harness.numbered_folders import parse_number
from harness.types import Checkpoint

ORDER = 90  # after every producer whose models can be loaded
SUFFIXES = (".pt", ".pth", ".ckpt", ".tar")
MODEL_NAME = re.compile(r"check|ckpt|step|epoch|iter|model|policy|actor|final|best|last|latest|weights|state_dict", re.I)
OTHER_NAME = re.compile(
    r"optim|sched|scaler|rng|random_state|value_head|critic|args|buffer|tokens|dataset|loader|^meta_\d", re.I
)
RANK_NAME = re.compile(r"rank[_-]?\d", re.I)
COMPOSER_NAME = re.compile(r"^(?:ep\d+-)?ba(\d{1,15})-rank0\.pt$")
NANOCHAT_NAME = re.compile(r"^model_(\d{1,15})\.pt$")
NUMBER = re.compile(r"(\d{1,15})(?!.*\d)")
MAX_FILES = 100
TORCH = (
    "a file of torch, not a model's folder: load it in the program that wrote it, and save it there with "
    "model.save_pretrained(FOLDER) and tokenizer.save_pretrained(FOLDER)"
)
DISTRIBUTED = (
    "shards of torch.distributed.checkpoint: "
    "`python -m torch.distributed.checkpoint.format_utils dcp_to_torch {folder} FILE.pt` makes one file of them, which the "
    "program that wrote them can load and save with model.save_pretrained(FOLDER)"
)
RANKS = (
    "shards of a model, one for each process that trained it: the program that wrote them can join them and save the model "
    "with model.save_pretrained(FOLDER)"
)
COMPOSER = (
    "a checkpoint of Composer: LLM Foundry's scripts/inference/convert_composer_to_hf.py makes a model of it, "
    "`--composer_path {folder} --hf_output_path FOLDER`"
)
NANOCHAT = (
    "a checkpoint of nanochat: transformers' convert_nanochat_checkpoints.py (src/transformers/models/nanochat) makes a model "
    "of it, `python convert_nanochat_checkpoints.py --input_dir {folder} --output_dir FOLDER`"
)


def find(path: Path) -> list[Checkpoint]:
    """Each file in `path` that may be a model's, by the number in its name; shards of one model together."""
    if has_model_files(path):
        return []
    files = [f for name in list_entries(path).files if (f := path / name).suffix in SUFFIXES and f.is_file()]
    if find_entries(path, "*.distcp"):
        return [Checkpoint(path.name, str(path), "torch", problem=DISTRIBUTED.format(folder=path))]
    if composer := [f for f in files if COMPOSER_NAME.match(f.name)]:
        return sorted((describe_composer(file, path) for file in composer), key=lambda c: c.step or 0)
    if any(RANK_NAME.search(f.stem) and not OTHER_NAME.search(f.name) for f in files):
        return [Checkpoint(path.name, str(path), "torch", problem=RANKS)]
    models = [f for f in files if MODEL_NAME.search(f.stem) and not OTHER_NAME.search(f.name)]
    return [describe_file(file, path) for file in sorted(models, key=file_order)[:MAX_FILES]]


def describe_composer(file: Path, run: Path) -> Checkpoint:
    """A file of Composer, whose number counts batches."""
    match = COMPOSER_NAME.match(file.name)
    step = int(match.group(1)) if match else None
    return Checkpoint(f"{run.name}@{step}", str(file), "torch", run=str(run), step=step, problem=COMPOSER.format(folder=file))


def file_order(file: Path) -> tuple[int, str]:
    match = NUMBER.search(file.stem)
    return int(match.group(1)) if match else 10**15, file.name


def describe_file(file: Path, run: Path) -> Checkpoint:
    """A file that cannot be scored as it is."""
    number, name = file_order(file)
    step = number if NUMBER.search(file.stem) else None
    nanochat = NANOCHAT_NAME.match(name)
    is_nanochat = nanochat is not None and (run / f"meta_{nanochat.group(1)}.json").is_file()
    problem = NANOCHAT.format(folder=run) if is_nanochat else TORCH
    label = file.stem if step is None else f"{run.name}@{step}"
    place = str(run) if step is not None or not parse_number(run.name) else ""  # in step-100/policy.pt the folder says it
    return Checkpoint(label, str(file), "nanochat" if is_nanochat else "torch", run=place, step=step, problem=problem)
