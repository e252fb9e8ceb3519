"""skilldelta list, checkpoints: what can be named, and what lies in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from harness import registry
from harness.cli.options import Checkpoints, Include, Json
from harness.cli.screen import print_json, print_table, say
from harness.types import unknown_name

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


def checkpoints(paths: Checkpoints, as_json: Json = False) -> None:
    """The checkpoints in a folder: name, producer, method, step, base, fingerprint, and whether each is ready."""
    from harness import discovery, fingerprint
    from harness.types import digest

    records = discovery.find_checkpoints(paths)
    fingerprints = {c.name: "" if c.problem else digest(fingerprint.hash_checkpoint(c)) for c in records}
    if as_json:
        print_json([asdict(c) | {"fingerprint": fingerprints[c.name], "ready": not c.problem} for c in records])
        return
    columns = ["checkpoint", "producer", "method", "step", "base", "fingerprint", "state"]
    rows = []
    for c in records:
        step = "" if c.step is None else str(c.step)
        state = c.problem or "ready"
        rows.append([c.name, c.producer, c.method or "?", step, Path(c.base).name, fingerprints[c.name], state])
    print_table(columns, rows, right=["step"])


VERBS = (list_, checkpoints)
