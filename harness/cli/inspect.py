"""skilldelta list, checkpoints: what there is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.screen import say, say_json, table
from harness.types import SkilldeltaError

Json = Annotated[bool, typer.Option("--json", help="The same facts as JSON on standard output.")]
Include = Annotated[list[Path] | None, typer.Option("--include-path", help="Your own task file, or a folder of them.")]


KINDS = "tasks, suites, studies, published, backends, trainers, reports, judges or producers"


def list_(what: Annotated[str, typer.Argument(help=KINDS)], include: Include = None, as_json: Json = False) -> None:
    """What there is of one kind."""
    from harness import registry

    if what == "tasks":
        rows = [[t.name, t.skill, t.summary] for t in registry.tasks(include or ()).values()]
        columns = ["task", "skill", "what it is"]
    elif what == "suites":
        from harness import suites

        rows = [[s.name, s.summary, ", ".join(s.names())] for s in suites.known()]
        columns = ["suite", "what it is", "tasks"]
    elif what == "studies":
        from harness import config
        from harness.studies import file as studies

        rows = [[name, str(config.load_yaml(studies.find(name))["summary"])] for name in studies.known()]
        columns = ["study", "what it is"]
    elif what == "published":
        from harness import published

        rows = [[s.name, s.summary, ", ".join(s.tables)] for s in map(published.load, published.known())]
        columns = ["study", "what it is", "tables"]
    elif what in registry.KINDS:
        rows = [[name.replace("_", "-"), registry.about(what, name)] for name in registry.modules(what)]
        columns = [what.removesuffix("s"), "what it is"]
    else:
        raise SkilldeltaError(str(registry.unknown("kind of thing", what, [*registry.KINDS, "suites", "studies", "published"])))
    if as_json:
        say_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    table(columns, rows)
    if what in ("tasks", "backends"):
        say(f"Any {what.removesuffix('s')} of lm-eval too: lm-eval:NAME.")


def checkpoints(paths: Annotated[list[str], typer.Argument(help="Folders of checkpoints or runs, or Hub names.")],
                as_json: Json = False) -> None:  # fmt: skip
    """What is found there: name, producer, method, step, base, fingerprint, and ready or why not."""
    from dataclasses import asdict

    from harness import discovery, fingerprint
    from harness.types import digest

    found = discovery.checkpoints(paths)
    prints = {c.name: "" if c.problem else digest(fingerprint.checkpoint(c)) for c in found}
    if as_json:
        say_json([asdict(c) | {"fingerprint": prints[c.name], "ready": not c.problem} for c in found])
        return
    columns = ["checkpoint", "producer", "method", "step", "base", "fingerprint", "state"]
    rows = [
        [c.name, c.producer, c.method or "?", "" if c.step is None else str(c.step), Path(c.base).name, prints[c.name],
         c.problem or "ready"] for c in found
    ]  # fmt: skip
    table(columns, rows, right=["step"])


VERBS = (list_, checkpoints)
