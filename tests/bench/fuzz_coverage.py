"""`make fuzz-coverage`: atheris looks for bytes on which a reader of strangers' texts and files breaks.

It is led by the lines that an input reaches.
python -m tests.bench.fuzz_coverage [--seconds 60] [--target NAME]: each target in a process of its own; exit code 1 where one
broke.  A reader may give a value or raise its own errors (SkilldeltaError, ValueError); anything else is a find, and so is a
text that takes more than 10 seconds.  atheris leaves the input in crash-* below the folder that it names.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris  # type: ignore[import-not-found]  # only `make fuzz-coverage` installs it

with atheris.instrument_imports(include=["harness", "tasks"]):
    from harness.bounded_files import read_json
    from harness.integrity import BrokenWeightsError
    from harness.loading.headers import read_headers
    from harness.prompts.reading import Reader
    from harness.run_logs.tables import read_json_history
    from harness.types import Response, SkilldeltaError
    from harness.visible_text import escape_markdown, printable
    from harness.yaml_files import load_yaml
    from tasks.answer_reading.refusals import refusal_kind
    from tasks.answer_reading.stated_choice import stated_text
    from tasks.answer_reading.stated_number import read_number
    from tasks.answer_reading.steps import shows_steps
    from tasks.tool_calls.parsing import NoCallsError, read_calls

Target = Callable[[bytes, Path], Any]
OWN_ERRORS = (SkilldeltaError, BrokenWeightsError, NoCallsError, ValueError)  # of readers, for what they do not take
SLOWEST = 10  # seconds for one input


def words(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def on_file(read: Callable[[Path], Any], name: str) -> Target:
    """A target that reads the bytes as a file of this name."""

    def act(data: bytes, folder: Path) -> None:
        file = folder / name
        file.write_bytes(data)
        read(file)

    return act


TARGETS: dict[str, Target] = {
    "reasoning": lambda data, _: Reader().read(Response(words(data))),
    "number": lambda data, _: read_number(words(data)),
    "choice": lambda data, _: stated_text(words(data)),
    "refusal": lambda data, _: refusal_kind(words(data)),
    "steps": lambda data, _: shows_steps(words(data)),
    "calls": lambda data, _: read_calls(words(data)),
    "visible": lambda data, _: escape_markdown(printable(words(data))),
    "json": on_file(read_json, "config.json"),
    "yaml": on_file(load_yaml, "suite.yaml"),
    "headers": on_file(lambda file: read_headers([file]), "model.safetensors"),
    "log": on_file(read_json_history, "history.json"),
}


def fuzz(name: str, seconds: int) -> None:
    """Runs one target until its time is up; ends the process."""
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))

    def one_input(data: bytes) -> None:
        with contextlib.suppress(*OWN_ERRORS):
            TARGETS[name](data, folder)

    flags = [f"-max_total_time={seconds}", f"-timeout={SLOWEST}", "-max_len=4096"]
    atheris.Setup([sys.argv[0], *flags, f"-artifact_prefix={folder}/"], one_input)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--target", choices=sorted(TARGETS))
    options = parser.parse_args()
    if options.target:
        fuzz(options.target, options.seconds)
    share = max(1, options.seconds // len(TARGETS))
    command = [sys.executable, "-m", "tests.bench.fuzz_coverage", "--seconds", str(share), "--target"]
    results = {name: subprocess.run([*command, name], capture_output=True, text=True, check=False) for name in TARGETS}
    for name, result in results.items():
        runs = next((line for line in result.stderr.splitlines() if line.startswith("Done ")), "")
        sys.stdout.write(f"{name}: {'held' if result.returncode == 0 else 'NOT HELD'}  {runs}\n")
        if result.returncode:
            sys.stdout.write(result.stderr[-2000:] + "\n")
    return any(result.returncode for result in results.values())


if __name__ == "__main__":
    sys.exit(main())
