"""The command line: one file for each verb or pair of verbs.  Heavy libraries are imported when a verb runs, never before."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from harness.bounded_files import is_there
from harness.cli import (
    behaviour,
    bisect,
    choose,
    claims,
    compare,
    docs,
    doctor,
    explain,
    gate,
    interchange,
    judge,
    judge_check,
    listing,
    noise,
    overlap,
    power,
    recipes,
    reward_models,
    score,
    study,
    train,
    watch,
)
from harness.cli.missing_options import list_choices
from harness.cli.screen import fail
from harness.cli.spellings import current_flags
from harness.library_messages import make_libraries_printable
from harness.results_marker import forget_new, remove_unused
from harness.rust_panics import panics_as_errors
from harness.types import SkilldeltaError
from harness.wrong_values import explain_wrong_value

app = typer.Typer(
    name="skilldelta",
    help="Measures how preference tuning (DPO, PPO and others) changed a language model, skill by skill.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# Importing torch and transformers spends an eighth of its time in garbage collections that free nothing.
COLLECTION_THRESHOLDS = (200_000, 30, 30)
GROUPS = {
    "Score": (
        score.VERBS,
        choose.VERBS,
        bisect.VERBS,
        watch.VERBS,
        noise.VERBS,
        judge.VERBS,
        judge_check.VERBS,
        reward_models.VERBS,
    ),
    "Compare and decide": (compare.VERBS, behaviour.VERBS, explain.VERBS, gate.VERBS, recipes.VERBS, power.VERBS),
    "Train": (study.VERBS, claims.VERBS, overlap.VERBS),
    "Data of this and other programs": (interchange.VERBS,),
    "Look up": (listing.VERBS, docs.VERBS, doctor.VERBS),
}
CTRL_C_CODE = 130  # the shells' exit code of what Ctrl-C ended

for group, modules in GROUPS.items():
    for verb in (verb for verbs in modules for verb in verbs):
        app.command(verb.__name__.removesuffix("_").replace("_", "-"), rich_help_panel=group)(verb)
app.command("train", rich_help_panel="Train", context_settings=train.OPEN)(train.train)


def main(arguments: list[str] | None = None) -> None:
    """Runs one command and exits: 0 done or pass, 1 regression, 2 inconclusive, 3 refused, 4 cells failed, 10 internal.

    Refused is wrong use, and what the system refuses: a full disk, a folder that is read-only.
    """
    gc.set_threshold(*COLLECTION_THRESHOLDS)
    make_libraries_printable()
    flags: Sequence[str] = ()
    try:
        forget_new()
        flags = current_flags(sys.argv[1:] if arguments is None else arguments)
        with panics_as_errors():
            status = app(args=flags, obj=flags, standalone_mode=False)  # score hands its own flags on to other machines
        code = status if isinstance(status, int) else 0  # an int is the code of a typer.Exit
        if code == CTRL_C_CODE:  # typer makes an exit code of Ctrl-C, without a word
            raise KeyboardInterrupt
    except SkilldeltaError as error:
        code = fail(str(error), 3)
    except KeyboardInterrupt:
        code = fail("Stopped.  The same command continues from here.", CTRL_C_CODE)
    except Exception as error:  # noqa: BLE001  the last door: an internal error is reported as one, with its trace
        code = report_error(error, flags)
    remove_unused()
    sys.exit(code)


def report_error(error: Exception, flags: Sequence[str] = ()) -> int:
    """Wrong use of flags, or a file that the system does not let us write (exit code 3), or an error of ours (10)."""
    import traceback

    try:
        refusal = explain_refusal(error, flags)
    except Exception as fault:  # noqa: BLE001  its trace shows the first error too
        error, refusal = fault, None
    if refusal is not None:
        return fail(refusal, 3) if refusal else 3  # without a verb the help was printed, and says enough
    traceback.print_exception(error)
    return fail("This is an error in skilldelta itself: please report it with the lines above.", 10)


def explain_refusal(error: Exception, flags: Sequence[str]) -> str | None:
    """What was wrong with the use or with the system, and the way out; None for an error of ours."""
    if hasattr(error, "format_message"):  # what typer's parser raises
        return explain_wrong_use(error)
    from harness.system_errors import explain_system_error

    return explain_system_error(error) or explain_missing_place(error, flags) or None


def explain_missing_place(error: Exception, flags: Sequence[str]) -> str:
    """That a place which the user named is not there, or cannot be made; "" for a file that the program itself misses."""
    if not isinstance(error, FileNotFoundError) or not error.filename:
        return ""
    place = Path(os.fsdecode(error.filename)).absolute()
    values = {Path(value).absolute() for flag in flags for value in (flag, flag.partition("=")[2]) if value}
    if not any(place.is_relative_to(v) or v.is_relative_to(place) for v in values if not is_there(str(v))):
        return ""
    return f"{error.strerror}: {error.filename}.  Name another file or folder."


def explain_unknown_command(message: str) -> str:
    """typer's sentence, and where the verbs stand; of a kind of thing also how it is listed."""
    from harness import registry

    name = message.removeprefix("No such command ").partition(".")[0].strip("'")
    kind = next((kind for kind in (*registry.KINDS, *listing.DATA_KINDS) if name in (kind, kind.removesuffix("s"))), "")
    way = f"`skilldelta list {kind}` lists them." if kind else "`skilldelta --help` lists the commands."
    return f"{message}  {way}"


def explain_wrong_use(error: Any) -> str:
    """What typer's parser says of wrong use; of an argument that is missing also what it is, of a wrong value what to write."""
    message = str(error.format_message())
    if message.startswith("Invalid value") and hasattr(error.__cause__, "errors"):  # its words are pydantic's
        return f"{message.partition(': ')[0]}: {'; '.join(map(explain_wrong_value, error.__cause__.errors()))}."
    if message.startswith("No such command "):
        return explain_unknown_command(message)
    meaning = getattr(getattr(error, "param", None), "help", None) if message.startswith("Missing ") else None
    if not meaning:
        return message
    choices = list_choices(str(error.param.name), error.ctx.params)
    return f"{message.rstrip('.')}: {meaning.rstrip('.')}.{choices}  `{error.ctx.command_path} --help` says what else it takes."
