"""The command line: one file a verb, each short.  Heavy libraries are imported when a verb runs, never before."""

from __future__ import annotations

import gc
import sys

import typer

from harness.cli import claims, compare, doctor, gate, inspect, interchange, noise, power, score, study, train, watch
from harness.cli.screen import fail
from harness.types import SkilldeltaError

app = typer.Typer(
    name="skilldelta",
    help="What preference tuning did to a language model: score checkpoints, and compare them so that it can be believed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# Fewer collections: an eighth of the time of importing torch and transformers went into looking for garbage in it.
COLLECT = (200_000, 30, 30)
ROOMS = (study, claims, score, watch, compare, gate, interchange, power, noise, inspect, doctor)
for verb in (v for room in ROOMS for v in room.VERBS):
    app.command(verb.__name__.removesuffix("_").replace("_", "-"))(verb)
app.command("train", context_settings=train.OPEN)(train.train)


def main(arguments: list[str] | None = None) -> None:
    """Runs one command and exits: 0 done or pass, 1 regression, 2 inconclusive, 3 wrong use, 4 cells failed, 10 internal."""
    gc.set_threshold(*COLLECT)
    try:
        ended = app(args=arguments, standalone_mode=False)  # gives back the code of a typer.Exit
        code = ended if isinstance(ended, int) else 0
    except SkilldeltaError as error:
        code = fail(str(error), 3)
    except KeyboardInterrupt:
        code = fail("Stopped.  The same command goes on from here.", 130)
    except Exception as error:  # noqa: BLE001  the last door: an internal error is told as such, with its trace
        code = usage(error)
    sys.exit(code)


def usage(error: Exception) -> int:
    """Wrong use of flags (exit code 3), or an error of ours (exit code 10)."""
    if hasattr(error, "format_message"):  # what typer's parser raises
        return fail(error.format_message(), 3)
    import traceback

    traceback.print_exception(error)
    return fail("This is an error in skilldelta itself: please report it with the lines above.", 10)
