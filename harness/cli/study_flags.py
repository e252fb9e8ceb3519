"""The flags of `skilldelta score` that a study file gives under `score`: read before hours of training, not after them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from harness.cli.score import score
from harness.cli.spellings import current_flag
from harness.studies.grid import StudySettings, write_flags
from harness.types import SkilldeltaError, unknown_name

# What a study says itself, and what scores nothing.
NOT_HERE = {
    "--suite": "`tasks` of the study names the suite",
    "--output": "a study names its folders itself",
    "--name": "a study names its runs itself",
    "--only-checkpoint": "a study scores every run of its grid",
    **dict.fromkeys(("--plan", "--dry-run"), "the study would score nothing"),
}


def check_score_flags(study: StudySettings) -> None:
    """SkilldeltaError for a flag that `score` does not have, for a value that it does not take, and for what the study says."""
    app = typer.Typer(add_completion=False)
    app.command()(score)
    command: Any = typer.main.get_command(app)
    flags_by_name = {flag: each for each in command.params for flag in each.opts or () if flag.startswith("--")}
    for name, value in study.score.items():
        flag = current_flag(f"--{name}")
        if flag not in flags_by_name:
            raise unknown_name("flag of `skilldelta score`", name, [each[2:].replace("-", "_") for each in flags_by_name])
        if flag in NOT_HERE:
            raise SkilldeltaError(f"`score` of the study names {name!r}: {NOT_HERE[flag]}.")
        if isinstance(value, Mapping) or (isinstance(value, bool) != bool(flags_by_name[flag].is_flag)):
            kind = "true or false" if flags_by_name[flag].is_flag else "what follows the flag on the command line, as one text"
            raise SkilldeltaError(f"`score` of the study: {name} is {value!r}; write {kind}.")
        try:
            command.make_context("score", [current_flag(each) for each in write_flags(name, value)])
        except Exception as error:
            if not hasattr(error, "format_message"):  # what typer's parser raises
                raise
            raise SkilldeltaError(f"`score` of the study: {name} is {value!r}: {error.format_message()}") from error
