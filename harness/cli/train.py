"""skilldelta train: the built-in trainers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.screen import note, print_table, say

OPEN = {"allow_extra_args": True, "ignore_unknown_options": True}  # the method's own settings come through as they are


def train(
    context: typer.Context,
    method: Annotated[str, typer.Argument(help="sft, reward, dpo or ppo")],
    config: Annotated[Path | None, typer.Option(help="A YAML file with settings; flags come before it.")] = None,
) -> None:
    """Trains a model: skilldelta train dpo --model SFT --data pairs.jsonl --out runs/dpo.  Without settings, lists them all."""
    from harness import config as settings
    from harness import registry

    plugin = registry.module("trainers", method)
    given = settings.flags(context.args)
    if not given and config is None:
        print_settings(settings.settings_class(plugin))
        return
    values: dict[str, Any] = (settings.load_yaml(config) if config else {}) | given
    made = plugin.train(settings.build(settings.settings_class(plugin), values))
    note(f"{made.name} is in {made.path}.  Next: skilldelta score {made.run or made.path} --suite quick -o results")


def print_settings(kind: type[Any]) -> None:
    """Every setting of a method with its default, and what the method is."""
    rows = [[f"--{f.name}", str(f.type), repr(f.default)] for f in dataclasses.fields(kind)]
    say((kind.__doc__ or "").strip())
    print_table(["setting", "kind", "default"], rows)
