"""index.html: the comparison as one page that opens from disk, with the responses of every sample in columns.

Nothing comes from a network, and no text of a model is ever markup: data are JSON in blocks that no browser runs,
and the page's own script, allowed by its hash alone, shows them as text.  Samples are compressed chunks (the lines of
samples.jsonl as they are), inside the page while they are small, in files next to it (page/N.js) when they are not.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import registry
from harness.bounded_files import read_bytes
from harness.comparison.decision import decide
from harness.comparison.sample_table import MAX_BYTES
from harness.grouping import run_order
from harness.store import Results
from reports.layout import html_tables, text_tables
from reports.layout.page_frame import ASSETS, escape_html, fill_page, html_items, html_picture

if TYPE_CHECKING:
    from harness.comparison.result import Comparison

MAX_INLINE_BYTES = 8_000_000  # of compressed samples that a page holds itself
MAX_INLINE_SOURCE = 4 * MAX_INLINE_BYTES  # of samples.jsonl: beyond, compressing them to see would be lost time
MAX_OPEN_WARNINGS = 3
BADGES = {"ship": "to ship", "ship at a cost": "to ship, at a cost", "none better": "highest candidate", "undecided": ""}
INLINE_LEVEL, FILE_LEVEL = 6, 2  # of compression; for files it is half of all the work


@dataclass(frozen=True)
class SampleChunk:
    """A file of JSON lines that the page can open, by its number."""

    number: int
    path: Path

    def encode(self, level: int) -> str:
        """The lines, compressed, as base64: the same lines give the same text.  SkilldeltaError where they cannot be read."""
        return base64.b64encode(gzip.compress(read_bytes(self.path, MAX_BYTES), level, mtime=0)).decode()


def render(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes index.html, and page/*.js where the samples are many; gives their paths."""
    samples, examples = list_chunks(comparison)
    decision = decide(comparison)
    facts = page_facts(comparison) | {
        "decision": decision.checkpoint,
        "badge": BADGES[decision.outcome],
        "order": decision.order,
        "steps": sorted((n for n in comparison.checkpoints if n != comparison.baseline), key=partial(step_order, comparison)),
        "chunks": {task: {name: c.number for name, c in cells.items()} for task, cells in samples.items()},
        "examples": {task: c.number for task, c in examples.items()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    chunks = [*examples.values(), *(c for cells in samples.values() for c in cells.values())]
    blocks = inline_blocks(chunks)
    files = [] if blocks is not None else write_chunks(chunks, folder / "page")
    script, style = (ASSETS / "page.js").read_text(encoding="utf-8"), (ASSETS / "page.css").read_text(encoding="utf-8")
    page = fill_page(
        "page.html",
        f"What moved against {comparison.baseline}",
        style,
        script,
        decision=decision_heading(decision.sentence),
        lead=escape_html(lead_sentence(comparison)),
        baseline=escape_html(comparison.baseline),
        overview="".join(plot_sections(comparison, overview=True)),
        plots="".join(plot_sections(comparison)),
        warnings=warning_items([*comparison.warnings, *(f"Incomplete: {text}" for text in comparison.incomplete)]),
        tables=html_tables.render_sections(comparison) + "".join(table_sections(comparison)),
        notes=html_items(text_tables.notes(comparison)),
        data=script_json(facts),
        chunks="".join(blocks or ()),
    )
    index = folder / "index.html"
    index.write_text(page, encoding="utf-8", newline="\n")
    return [index, *files]


def step_order(comparison: Comparison, name: str) -> Any:
    """A key to sort checkpoints by: run, step and name."""
    record = comparison.checkpoints[name]
    return run_order(record.run, record.step, name)


def decision_heading(sentence: str) -> str:
    """The sentence, its first clause in bold: what to do, by how much and how sure."""
    first, semicolon, others = escape_html(sentence).partition("; ")
    return f"<strong>{first}{semicolon.rstrip()}</strong> {others}".rstrip()


def warning_items(warnings: Sequence[str]) -> str:
    """The warnings as items of a list; of many all but the first few are folded."""
    first, others = warnings[:MAX_OPEN_WARNINGS], warnings[MAX_OPEN_WARNINGS:]
    if not others:
        return html_items(first)
    count = f"{len(others)} more warning{'s' * (len(others) != 1)}"
    return f"{html_items(first)}<li><details><summary>{count}</summary><ul>{html_items(others)}</ul></details></li>"


def plot_sections(comparison: Comparison, overview: bool = False) -> Iterator[str]:
    """The plots as images for light and for dark: those of every report that has a PAGE_HEADING and draw_figure().

    `overview`: those that stand before the differences (IS_OVERVIEW), or the others.
    """
    for name in registry.modules("reports"):
        report = registry.module("reports", name)
        heading = getattr(report, "PAGE_HEADING", "")
        if heading and getattr(report, "IS_OVERVIEW", False) == overview and (figure := report.draw_figure(comparison)):
            picture = html_picture(figure, f"{heading}, against {comparison.baseline}; the numbers are in table.csv")
            yield f"<section><h2>{escape_html(heading)}</h2>{picture}</section>\n"


def table_sections(comparison: Comparison) -> Iterator[str]:
    """The tables of every report that has a heading for them (PAGE_TABLES) and page_tables(), folded."""
    for name in registry.modules("reports"):
        report = registry.module("reports", name)
        heading = getattr(report, "PAGE_TABLES", "")
        if heading and (tables := report.page_tables(comparison)):
            yield f"<h2>{escape_html(heading)}</h2>"
            yield from (html_tables.fold_table(table, len(tables) == 1) for table in tables)


def lead_sentence(comparison: Comparison) -> str:
    candidates = len(comparison.checkpoints) - 1
    tasks = len({r.name for r in comparison.at("task")})
    return f"{candidates} checkpoint{'s' * (candidates != 1)} against {comparison.baseline} on {tasks} task{'s' * (tasks != 1)}"


def page_facts(comparison: Comparison) -> dict[str, Any]:
    """The comparison as the page's script reads it."""
    skill_of = {r.name: r.skill for r in comparison.at("task")}
    return {
        "baseline": comparison.baseline,
        "checkpoints": list(comparison.checkpoints),
        "rows": comparison.json()["rows"],
        "skills": [name for level, name in text_tables.matrix_columns(comparison) if level == "skill"],
        "tasks": sorted(skill_of, key=lambda task: (text_tables.skill_order(skill_of[task]), task)),
        "skill_of": skill_of,
    }


def script_json(value: Any) -> str:
    """JSON that may stand in a script block: no "<", and none of the line ends that only some readers know."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def list_chunks(comparison: Comparison) -> tuple[dict[str, dict[str, SampleChunk]], dict[str, SampleChunk]]:
    """The samples of each task by checkpoint, and the rows of each task."""
    numbers = iter(range(10**9))
    tasks = sorted({r.name for r in comparison.at("task")})
    samples: dict[str, dict[str, SampleChunk]] = {t: {} for t in tasks}
    examples: dict[str, SampleChunk] = {}
    folders = [(n, f) for n, record in comparison.checkpoints.items() for f in (record.results, *record.elsewhere)]
    for name, folder in folders:
        results = Results(folder)
        for task in tasks:
            if (path := results.cell(name, task).samples_file).exists():
                samples[task][name] = SampleChunk(next(numbers), path)
            if task not in examples and (path := results.examples_file(task)).exists():
                examples[task] = SampleChunk(next(numbers), path)
    return samples, examples


def inline_blocks(chunks: Sequence[SampleChunk]) -> list[str] | None:
    """The chunks as blocks of the page; None where they are too large for it."""
    if sum(chunk.path.stat().st_size for chunk in chunks) > MAX_INLINE_SOURCE:
        return None
    blocks = [f'<script type="text/plain" id="chunk-{c.number}">{c.encode(INLINE_LEVEL)}</script>\n' for c in chunks]
    return blocks if sum(map(len, blocks)) <= MAX_INLINE_BYTES else None


def write_chunks(chunks: Sequence[SampleChunk], folder: Path) -> list[Path]:
    """Each chunk as a script next to the page; compression releases Python's lock, so threads share the work."""
    folder.mkdir(exist_ok=True)

    def write(chunk: SampleChunk) -> Path:
        path = folder / f"{chunk.number}.js"
        path.write_text(f'skilldelta({chunk.number},"{chunk.encode(FILE_LEVEL)}")\n', encoding="ascii")
        return path

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(write, chunks))
