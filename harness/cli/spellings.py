"""Spellings of flags that scripts and study files may still use; the help names the present one alone."""

from __future__ import annotations

from collections.abc import Sequence

OLD_FLAGS = {"--out": "--output", "--model": "--backend", "--model-args": "--backend-args", "--family": "--correction"}


def current_flags(arguments: Sequence[str]) -> list[str]:
    """The arguments with each flag in its present spelling: hyphens for underscores, new names for old ones.

    `train` reads its own settings, among which `--model` is the model to train.
    """
    if not arguments or arguments[0] == "train":
        return list(arguments)
    return [current_flag(argument) if argument.startswith("--") else argument for argument in arguments]


def current_flag(argument: str) -> str:
    name, equals, value = argument.partition("=")
    name = name.replace("_", "-")
    return OLD_FLAGS.get(name, name) + equals + value
