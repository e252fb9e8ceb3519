"""skilldelta train: the built-in trainers."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.screen import note, print_table, say
from harness.types import SkilldeltaError

# The settings of a method are no options of the command line's own: they come through as they are, --help among them.
OPEN = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
HELP = ("--help", "-h")
OUTPUT = re.compile(r"^(-o|--output)(?==|$)")  # every verb's flag for what every trainer's settings call `out`


def train(
    context: typer.Context,
    method: Annotated[str, typer.Argument(help="A trainer; without one, all are listed.")] = "",
    config: Annotated[Path | None, typer.Option(help="A YAML file with settings; flags override it.")] = None,
    show: Annotated[int, typer.Option(help="Print the first so many rows as the model will see them, and train nothing.")] = 0,
) -> None:
    """Trains a model: skilldelta train dpo --model SFT --data pairs.jsonl -o runs/dpo.  METHOD --help lists its settings.

    With --show 3 it prints the first rows as the model will see them, the learnt tokens marked, and trains nothing.
    """
    from harness import config as settings
    from harness import registry

    if not method or method in HELP:
        print_methods()
        return
    trainer = registry.module("trainers", method)
    kind = settings.settings_class(trainer)
    if any(flag in context.args for flag in HELP) or (not context.args and config is None):
        print_settings(method, trainer.__doc__, kind, settings.field_comments(kind))
        return
    values: dict[str, Any] = (settings.load_yaml(config) if config else {}) | settings.parse_flags(
        [OUTPUT.sub("--out", argument) for argument in context.args]
    )
    if show:
        from harness.training.needs import read_needs
        from harness.training.preview import preview_rows

        for text in preview_rows(settings.build_config(kind, values), read_needs(method), show):
            say(text)
        return
    run_settings = settings.build_config(kind, values)
    with claim_run(getattr(run_settings, "out", "")), training_lines():
        checkpoint = trainer.train(run_settings)
    folder = checkpoint.run or checkpoint.path
    is_reward = checkpoint.method == "reward"  # it writes no answers that could be scored
    command = f"reward-accuracy {folder}" if is_reward else f"score {folder} --suite quick -o results"
    note(f"{checkpoint.name} is in {checkpoint.path}.  Next: skilldelta {command}")


@contextmanager
def claim_run(folder: str) -> Iterator[None]:
    """Keeps other trainings out of a run's folder; of several processes on one run the first one has it.

    SkilldeltaError for a folder that cannot be made.
    """
    from harness.folder_claims import claim_folder

    if not folder or os.environ.get("RANK", "0") != "0":  # without a folder the settings are refused, with their reason
        yield
        return
    if "\0" in folder:
        raise SkilldeltaError(f"--output is {folder!r}: no name of a folder holds a NUL.")
    with claim_folder(Path(folder), "trains"):
        yield


@contextmanager
def training_lines() -> Iterator[None]:
    """Prints what a trainer logs, its progress too, on standard error."""
    logger, handler = logging.getLogger("skilldelta"), LinesOnScreen()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)


class LinesOnScreen(logging.Handler):
    """A record's text as a line on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())


def print_methods() -> None:
    """Every trainer with the rows it needs and the model it makes."""
    from harness import registry
    from harness.training.needs import read_needs

    say("skilldelta train METHOD --model MODEL --data FILES --output RUN [--SETTING VALUE ...] [--config FILE.yaml]\n")
    needs = {method: read_needs(method) for method in registry.modules("trainers")}
    rows = [[name, n.data, n.makes, registry.about("trainers", name)] for name, n in needs.items()]
    print_table(["method", "data", "makes", "about"], rows)
    say("\nskilldelta train METHOD --help lists the method's settings.")


def print_settings(method: str, about: str | None, kind: type[Any], comments: dict[str, str]) -> None:
    """Every setting of a method with its type, its default and one line of help."""
    say(f"skilldelta train {method} --model MODEL --data FILES --output RUN [--SETTING VALUE ...] [--config FILE.yaml]\n")
    say(f"{(about or '').strip()}\n\n{re.sub(r'(?m)^ +', '', kind.__doc__ or '').strip()}\n")
    rows = [
        [setting_flag(f.name), type_label(str(f.type)), default_label(f.default), comments[f.name]]
        for f in dataclasses.fields(kind)
    ]
    print_table(["setting", "type", "default", "about"], rows)


def setting_flag(name: str) -> str:
    return "--output" if name == "out" else f"--{name.replace('_', '-')}"


def type_label(annotation: str) -> str:
    """An annotation for people: the values of a Literal, and "float,..." for a list that commas separate."""
    if annotation.startswith("Literal["):
        return "|".join(re.findall(r"['\"](\w+)['\"]", annotation))
    return re.sub(r"^tuple\[(\w+), \.\.\.\]$", r"\1,...", annotation)


def default_label(value: object) -> str:
    return "" if value in ("", ()) else ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
