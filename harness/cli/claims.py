"""skilldelta claims: published claims, tested on a study's stored results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import Json
from harness.cli.screen import note, print_json, print_table, say
from harness.own_packages import own_imports

if TYPE_CHECKING:
    from harness.studies.claims import ClaimsReport


def claims(
    study: Annotated[Path, typer.Argument(help="A study's folder (it holds study.json).")],
    file: Annotated[
        str, typer.Option(help="A YAML file of claims, or the name of one that comes with the program.")
    ] = "claims",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A folder for the report; default: STUDY/report.")
    ] = None,
    correction: Annotated[str, typer.Option(help="Correction for many tests: holm, bh or none.")] = "holm",
    as_json: Json = False,
) -> None:
    """The published claims, tested on a study's stored results: supported, contradicted, or inconclusive at this scale."""
    from harness.studies.claims import assess_claims

    report = assess_claims(study, file, correction)
    write_claims(report, output or study / "report")
    if as_json:
        with own_imports():
            from reports.claims import as_json as content

        print_json(content(report))
    else:
        print_claims(report)


def write_claims(report: ClaimsReport, folder: Path) -> None:
    from harness import registry
    from harness.atomic_files import whole_files

    with whole_files(folder) as draft:
        modules = (registry.module("study-reports", name) for name in registry.modules("study-reports"))
        paths = [path.relative_to(draft) for module in modules for path in module.render_study(report, draft)]
    for path in paths:
        note(f"wrote {folder / path}")


def print_claims(report: ClaimsReport) -> None:
    """The verdicts as a table on the screen, with what a reader needs in order to believe them."""
    with own_imports():
        from reports import claims as words

    results = [h for h in report.hypotheses() if h.measured]
    if not results:
        say(f"No claim of {report.summary} is about runs of the study {report.study}.")
        return
    rows = [
        (words.MARKS[h.verdict], h.test.says, words.interval(h.measured) if h.measured else "", words.cite(h), h.verdict)
        for h in results
    ]
    columns = ("", "hypothesis", "here", "published", "verdict at this scale")
    print_table(columns, rows, title=f"Claims: {report.summary}")
    absent = len(report.hypotheses()) - len(results)
    more = f"  {absent} hypotheses are about runs that this study does not have." if absent else ""
    say("\n".join([words.summary(report) + more, *words.notes(report)[1:-1]]))


VERBS = (claims,)
