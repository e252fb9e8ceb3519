"""skilldelta overlap: which evaluation questions training data contain, without training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from harness.cli import options
from harness.cli.screen import note, print_json, print_table, say
from harness.name_value_pairs import split_names
from harness.shares import check_share
from harness.types import Example, SkilldeltaError
from harness.visible_text import printable

MAX_QUESTION = 160  # characters of a question that the screen shows


def overlap(
    data: Annotated[
        list[str],
        typer.Argument(help="Training data: .jsonl, .json, .csv, .txt (also .gz, .zst), .parquet, hub:SET, hub:OWNER/SET/FILE"),
    ],
    tasks: Annotated[
        list[str],
        typer.Option("--tasks", "-t", help="Tasks, suites, lm-eval:NAME or files of evaluation rows; commas between them."),
    ],
    folder: Annotated[
        Path | None,
        typer.Option("--data", envvar="SKILLDELTA_DATA", help="Folder with the benchmarks' own files; default: the Hub."),
    ] = None,
    share: Annotated[float, typer.Option(help="The share of a question that one row must repeat, by n-grams; 1: all.")] = 0.5,
    show: Annotated[int, typer.Option(help="Print so many of the questions of each task.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A .json file for the ids; `compare --leave-out` and --only read it.")
    ] = None,
    include: options.Include = None,
    as_json: options.Json = False,
) -> None:
    """Searches training data for evaluation questions, by the rule that `train --overlap-with` uses."""
    from harness import api
    from harness.training import contamination

    check_overlap_options(share, output)
    api.use_data(folder)
    names = split_names(tasks)
    if not names:
        raise SkilldeltaError("--tasks names no task, no suite and no file of rows: there is nothing to search for.")
    sets: dict[str, list[Example]] = {}
    for name in names:
        sets |= contamination.evaluation_examples(name, include or (), "--tasks")
    sources = []
    for source in contamination.search_sources(data, sets, share):
        note(f"{source['source']}: {source['rows']} rows searched")
        sources.append(source)
    union = contamination.unite_overlaps([source["overlap"] for source in sources])
    report = {"audit": {"overlap": union}, "share": share, "sources": sources}
    if output:
        from harness.atomic_files import write_json

        write_json(output, report)
        note(f"wrote {output}: `skilldelta compare RESULTS --leave-out {quote(str(output))}` leaves these examples out")
    if as_json:
        print_json(report)
        return
    print_overlap(sources, union)
    for task, examples in sets.items():
        show_questions(task, examples, union[task]["examples"], show)


def check_overlap_options(share: float, output: Path | None) -> None:
    check_share("--share", share)
    if output and output.suffix != ".json":
        raise SkilldeltaError(f"--output {output}: name a file that ends with .json.")


def print_overlap(sources: Sequence[Mapping[str, Any]], union: Mapping[str, Any]) -> None:
    """A row for each task; with several sources of data, a column for each."""
    paths = [source["source"] for source in sources] if len(sources) > 1 else []
    names = [Path(path).name for path in paths]
    of_sources = names if len(set(names)) == len(names) else paths
    columns = ["task", "questions", "contaminated", "%", *of_sources]
    rows = []
    for task, counts in union.items():
        percent = f"{100 * counts['dirty'] / counts['rows']:.1f}" if counts["rows"] else ""
        cells = [task, str(counts["rows"]), str(counts["dirty"]), percent]
        rows.append(cells + [str(source["overlap"][task]["dirty"]) for source in sources if of_sources])
    print_table(columns, rows, right=columns[1:])


def show_questions(task: str, examples: Sequence[Example], ids: Sequence[str], most: int) -> None:
    """Prints the first contaminated questions of a task."""
    from harness.training.source_rows import row_text

    dirty = set(ids)
    for example in [e for e in examples if e.id in dirty][:most]:
        text = " ".join(row_text(example.row).split())
        say(f"{task} {example.id}: {printable(text[:MAX_QUESTION])}{'...' if len(text) > MAX_QUESTION else ''}")


VERBS = (overlap,)
