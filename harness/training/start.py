"""How a trainer begins: its settings, the other processes, the seed, and the models with the parts that the user named."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from harness.atomic_files import atomic_folder, link_file, write_json
from harness.bounded_files import read_json
from harness.integrity import ADAPTER_CONFIG
from harness.prompts.tokenizer_cache import TOKENIZER_FILES
from harness.tokenizer_folders import OTHER_VOCABULARIES
from harness.training import parallel
from harness.training.model_loading import absolute_name, is_adapter, model_folder
from harness.training.reward_settings import RewardSettings, reward_model_folder
from harness.training.settings import TrainerSettings
from harness.types import Checkpoint, SkilldeltaError

# The folder of a run with the models that it starts from, as --base and --tokenizer make them.  Searches for checkpoints pass
# over names with an underscore.
START = "_start"
LOG = logging.getLogger("skilldelta")
Settings = TypeVar("Settings", bound=TrainerSettings)


def begin_training(config: Settings) -> Settings:
    """Checks the settings, joins the other processes and seeds torch; the settings with the models to start from.

    Raises SkilldeltaError for settings that cannot work.
    """
    config.check()
    parallel.join()
    torch.manual_seed(config.seed)
    if config.eval_steps and not (config.eval_data or config.holdout) and parallel.is_writer():
        LOG.warning(
            "--eval-steps is %d, and no rows are held out: nothing is evaluated.  Name them with --eval-data, or a share of "
            "the prompts with --holdout.",
            config.eval_steps,
        )
    return name_sources(config)


def name_sources(config: Settings) -> Settings:
    """The settings with models that have the base and the tokenizer of `--base` and `--tokenizer`.

    An adapter names its base, and a folder holds its tokenizer, so each model becomes a folder of the run, with links to its
    files and the parts that were named.  The reward model, and the policy that its scale is measured on, are adapters of the
    same base as a rule: they have it named too.  SkilldeltaError where there is no such folder, or nothing to apply it to.
    """
    if not config.base and not config.tokenizer:
        return config
    from harness.checkpoint_selection import Selection
    from harness.named_bases import apply_source, base_without_adapters  # which few runs need, and which stands on much

    apply_source(Checkpoint("", "", ""), Selection(base=config.base, tokenizer=config.tokenizer))
    if config.tokenizer and not Path(config.tokenizer).is_dir():
        raise SkilldeltaError(f"--tokenizer {config.tokenizer}: name a folder.  A model of the Hub has its tokenizer with it.")
    models = {"model": config.model}
    if isinstance(config, RewardSettings) and (reward := reward_model_folder(config)):
        models["reward"] = reward
    if policy := getattr(config, "sft", ""):
        models["sft"] = policy
    folders = {name: model_folder(model) for name, model in models.items()}
    if config.base and not any(map(is_adapter, folders.values())):
        raise base_without_adapters(list(models.values()))
    changed = {name: folder for name, folder in folders.items() if config.tokenizer or is_adapter(folder)}
    for name, folder in changed.items():
        if parallel.is_writer():
            write_start(Path(folder), Path(config.out) / START / name, config)
    parallel.barrier()
    values: dict[str, Any] = {name: str(Path(config.out) / START / name) for name in changed}
    if "reward" in values and isinstance(config, RewardSettings):
        values["reward"] = config.reward.replace(models["reward"], values["reward"])
    return replace(config, **values)


def write_start(source: Path, target: Path, config: TrainerSettings) -> None:
    """A folder with a model's files by other names, its base and its tokenizer replaced by those of the settings."""
    if not source.is_dir():
        raise SkilldeltaError(f"--base and --tokenizer are for models in folders: {source} is a model of the Hub.")
    tokenizer = Path(config.tokenizer) if config.tokenizer else None
    with atomic_folder(target) as draft:
        for file in sorted(source.iterdir()):
            if file.is_file() and not (tokenizer and is_tokenizer_file(file)):
                link_file(file.resolve(), draft / file.name)
        if config.base and (draft / ADAPTER_CONFIG).is_file():
            settings = read_json(source / ADAPTER_CONFIG) | {"base_model_name_or_path": absolute_name(config.base)}
            write_json(draft / ADAPTER_CONFIG, settings)
        for file in sorted(tokenizer.iterdir()) if tokenizer else ():
            if file.is_file() and is_tokenizer_file(file):
                link_file(file.resolve(), draft / file.name)


def is_tokenizer_file(file: Path) -> bool:
    return any(file.match(pattern) for pattern in (*TOKENIZER_FILES, *OTHER_VOCABULARIES))
