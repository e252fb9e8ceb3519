"""skilldelta judge: stored answers of any task against another checkpoint's, by a judge."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from harness.bounded_files import resolve_links
from harness.cli import options
from harness.cli.screen import note, print_json
from harness.name_value_pairs import split_names
from harness.types import SkilldeltaError


def judge(
    results: options.ResultsFolder,
    against: Annotated[str, typer.Option("--against", help="The checkpoint whose answers the others are compared with.")],
    judge: Annotated[str, typer.Option("--judge", help="PLUGIN:WHERE: llm:BACKEND:MODEL, reward:FOLDER, ...")],
    output: options.Output = Path("preferences"),
    tasks: options.Tasks = None,
    include: options.Include = None,
    as_json: options.Json = False,
) -> None:
    """How often a judge prefers each checkpoint's stored answers to another checkpoint's.  No model answers anew."""
    from dataclasses import asdict

    from harness.evaluation.head_to_head import HeadToHead, absent_references, judge_against
    from harness.judge_binding import LazyJudge
    from harness.store import Results

    if resolve_links(output) == resolve_links(results):
        raise SkilldeltaError("Preferences go into a folder of their own: name another one with -o.")
    match = HeadToHead(Results(results), against, LazyJudge(judge), Results.make(output), tuple(include or ()))
    outcomes = judge_against(match, split_names(tasks))
    if as_json:
        print_json([asdict(outcome) for outcome in outcomes])
    for outcome in outcomes:
        reason = f" ({outcome.why})" if outcome.why else ""
        counts = f": {outcome.samples} answers, {outcome.unscored} unscored{reason}"
        detail = f": FAILED: {outcome.why}" if outcome.state == "failed" else counts
        note(f"{outcome.checkpoint} · {outcome.task}{detail}")
    for sentence in absent_references(match):
        note(sentence)
    if any(outcome.state == "failed" for outcome in outcomes):
        raise typer.Exit(4)
    note(f"Next: skilldelta compare {quote(str(output))} --baseline {quote(against)}")


VERBS = (judge,)
