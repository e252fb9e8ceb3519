"""skilldelta docs: the pages of harness/docs, which are shipped with the program."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.screen import print_table, say
from harness.types import unknown_name

PAGES = Path(__file__).resolve().parent.parent / "docs"


def docs(page: Annotated[str, typer.Argument(help="A page; without one, all pages are listed.")] = "") -> None:
    """Lists the pages of the documentation, or prints one."""

    pages = {path.stem: path for path in sorted(PAGES.glob("*.md"))}
    if not page:
        print_table(["page", "about"], [[name, summary(path)] for name, path in pages.items()])
        return
    name = page.removesuffix(".md")
    if name not in pages:
        raise unknown_name("page", name, pages)
    text = pages[name].read_text(encoding="utf-8")
    if not sys.stdout.isatty():
        say(text.rstrip())
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(text))


def summary(path: Path) -> str:
    """The first paragraph of a page below its title."""
    lines = path.read_text(encoding="utf-8").splitlines()
    paragraphs = "\n".join(line for line in lines if not line.startswith("#")).strip().split("\n\n")
    return " ".join(paragraphs[0].split())


VERBS = (docs,)
