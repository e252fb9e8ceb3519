"""skilldelta list, checkpoints: what can be named, and what lies in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness import registry
from harness.cli.options import Checkpoints, Include, Json, with_option_groups
from harness.cli.screen import note, print_json, print_table, say
from harness.cli.selection import SelectionOptions
from harness.types import SkilldeltaError, unknown_name
from harness.visible_text import printable

if TYPE_CHECKING:
    from harness.checkpoint_selection import Selection
    from harness.types import Checkpoint

DATA_KINDS = ("suites", "studies", "published")  # kinds whose members are YAML files, not plug-ins
KINDS_HELP = ", ".join([*registry.KINDS, *DATA_KINDS])


def list_(kind: Annotated[str, typer.Argument(help=KINDS_HELP)], include: Include = None, as_json: Json = False) -> None:
    """Everything of one kind that can be named, with a line about each."""
    columns, rows = kind_table(kind, include or ())
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    print_table(columns, rows)
    if kind in ("tasks", "backends"):
        say(f"Any {kind.removesuffix('s')} of lm-eval too: lm-eval:NAME.")


def kind_table(kind: str, include: Sequence[Path]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the table of one kind."""
    if kind == "tasks":
        tasks = registry.tasks(include).values()
        return ["task", "skill", "what it is"], [[t.name, t.skill, t.summary] for t in tasks]
    if kind == "suites":
        from harness import suites

        return ["suite", "what it is", "tasks"], [[s.name, s.summary, ", ".join(s.names())] for s in suites.bundled_suites()]
    if kind == "studies":
        from harness import config
        from harness.studies import file as studies

        summaries = {name: str(config.load_yaml(studies.find_study(name))["summary"]) for name in studies.bundled_studies()}
        return ["study", "what it is"], [[name, summary] for name, summary in summaries.items()]
    if kind == "published":
        from harness import published

        tables = map(published.load_study, published.study_names())
        return ["study", "what it is", "tables"], [[s.name, s.summary, ", ".join(s.tables)] for s in tables]
    if kind not in registry.KINDS:
        raise unknown_name("kind", kind, [*registry.KINDS, *DATA_KINDS])
    names = registry.modules(kind)
    return [kind.removesuffix("s"), "what it is"], [[name.replace("_", "-"), registry.about(kind, name)] for name in names]


@with_option_groups
def checkpoints(paths: Checkpoints, choice: SelectionOptions, as_json: Json = False) -> None:
    """The checkpoints in a folder: name, producer, method, step, base, fingerprint, and whether `score` can load each."""
    present, faults = find_where_possible(paths, choice.selection())
    entries = [listing_row(c) for c in present]
    if as_json:
        print_json(entries)
    else:
        print_entries(entries)
    for fault in faults:
        note(fault)
    if faults:
        raise typer.Exit(4)


def find_where_possible(paths: Sequence[str], selection: Selection) -> tuple[list[Checkpoint], list[str]]:
    """The checkpoints of the paths that hold any, and what is wrong with the others.  SkilldeltaError if none does."""
    from harness import discovery

    try:
        return discovery.find_checkpoints(paths, selection), []
    except SkilldeltaError:
        faults = {path: fault for path in paths if (fault := explain_nothing_at(path))}
        if not faults or len(faults) == len(set(paths)):
            raise
    return discovery.find_checkpoints([p for p in paths if p not in faults], selection), list(faults.values())


def explain_nothing_at(path: str) -> str:
    """Why there is no checkpoint at a path; "" where there is one."""
    from harness import discovery

    try:
        discovery.find_at(path)
    except SkilldeltaError as error:
        return str(error)
    return ""


def print_entries(entries: Sequence[dict[str, Any]]) -> None:
    """The checkpoints as a table, with remarks below it."""
    columns = ["checkpoint", "producer", "method", "step", "base", "fingerprint", "state"]
    remarks = list(dict.fromkeys(text for facts in entries if (text := facts["problem"] or facts["note"])))
    rows = []
    for facts in entries:
        step = "" if facts["step"] is None else str(facts["step"])
        remark = facts["problem"] or facts["note"]
        state = ("not ready" if facts["problem"] else "ready") + (f" [{remarks.index(remark) + 1}]" if remark else "")
        base = Path(facts["base"]).name
        rows.append([facts["name"], facts["producer"], facts["method"] or "?", step, base, facts["fingerprint"], state])
    print_table(columns, rows, right=["step"])
    for number, remark in enumerate(remarks, 1):  # below: they are long, and one reason often holds for a whole run
        say(f"[{number}] {remark}")


def listing_row(checkpoint: Checkpoint) -> dict[str, Any]:
    """What the list says of a checkpoint.  One that is damaged is a line like any other, and never hides its neighbours."""
    from harness import fingerprint
    from harness.rust_panics import panics_as_errors
    from harness.types import digest

    try:
        with panics_as_errors():
            problem, note = inspect_checkpoint(checkpoint)
        hashes = "" if problem else digest(fingerprint.hash_checkpoint(checkpoint))
    except Exception as error:  # noqa: BLE001  whatever libraries make of a stranger's files: it is that checkpoint's fault
        problem, note, hashes = f"it cannot be read ({type(error).__name__}: {printable(str(error))[:200]})", "", ""
    facts = asdict(checkpoint) | {"problem": problem, "note": note, "fingerprint": hashes, "ready": not problem}
    return {key: printable(value) if isinstance(value, str) else value for key, value in facts.items()}


def inspect_checkpoint(checkpoint: Checkpoint) -> tuple[str, str]:
    """Why a checkpoint cannot be loaded, "" where it can; and what to know all the same."""
    if checkpoint.problem:
        return checkpoint.problem, ""
    from harness.loading.contract import check_contract, find_infinite
    from harness.tokenizer_problems import explain_missing_tokenizer

    verdict = check_contract(checkpoint)
    return verdict.problem or explain_missing_tokenizer(checkpoint) or find_infinite(checkpoint), verdict.note


VERBS = (list_, checkpoints)
