"""index.html: the comparison as one page that opens from disk, with every sample side by side.

Nothing is fetched from a network, and nothing that a model said is ever markup: data are JSON in blocks that no browser runs,
and the page's own script, allowed by its hash alone, shows them as text.  Samples are compressed chunks (the lines of
samples.jsonl as they are), inside the page while they are small, in files beside it (page/N.js) when they are not.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from harness.comparison.result import Comparison
from harness.store import Results
from reports import curves, drawing, sections, text_tables, tradeoff

ASSETS = Path(__file__).parent / "assets"
INSIDE = 8_000_000  # bytes of compressed samples that a page holds itself
SMALL, QUICK = 6, 2  # levels of compression: inside the page, and beside it, where it is half of all the work
PLOT = """<section><h2>{title}</h2><div class="plot"><picture>
<source media="(prefers-color-scheme: dark)" srcset="{dark}"><img alt="{alt}" src="{light}"></picture></div></section>
"""
PLOTS = {"Scores over training": curves.figure, "What it was paid with": tradeoff.figure}


@dataclass(frozen=True)
class Chunk:
    """A file of lines that the page can open."""

    number: int
    path: Path

    def text(self, level: int) -> str:
        """The lines, compressed, as base64.  The same lines give the same text."""
        return base64.b64encode(gzip.compress(self.path.read_bytes(), level, mtime=0)).decode()


def render(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes index.html, and page/*.js where the samples are many; gives their paths."""
    samples, examples = chunks(comparison)
    facts = about(comparison) | {
        "chunks": {task: {name: c.number for name, c in found.items()} for task, found in samples.items()},
        "examples": {task: c.number for task, c in examples.items()},
    }
    every = [*examples.values(), *(c for found in samples.values() for c in found.values())]
    folder.mkdir(parents=True, exist_ok=True)
    inside, beside = place(every, folder)
    script, style = (ASSETS / "page.js").read_text(encoding="utf-8"), (ASSETS / "page.css").read_text(encoding="utf-8")
    page = Template((ASSETS / "page.html").read_text(encoding="utf-8")).substitute(
        policy=policy(script, style),
        title=html.escape(f"What moved against {comparison.baseline}"),
        lead=html.escape(lead(comparison)),
        baseline=html.escape(comparison.baseline),
        style=style,
        plots="".join(plots(comparison)),
        noticed=listed(comparison.noticed),
        tables=sections.tables(comparison),
        foot=listed(text_tables.foot(comparison)),
        data=block(facts),
        chunks="".join(inside),
        script=script,
    )
    index = folder / "index.html"
    index.write_text(page, encoding="utf-8", newline="\n")
    return [index, *beside]


def policy(script: str, style: str) -> str:
    """Only this page's own script and style run; chunks come from beside the page; nothing else is loaded or sent."""
    allowed = "default-src 'none'; script-src 'self' {}; style-src {}; img-src data:; base-uri 'none'; form-action 'none'"
    return allowed.format(
        *(f"'sha256-{base64.b64encode(hashlib.sha256(t.encode()).digest()).decode()}'" for t in (script, style))
    )


def listed(sentences: Sequence[str]) -> str:
    return "".join(f"<li>{html.escape(text)}</li>" for text in sentences)


def plots(comparison: Comparison) -> Iterator[str]:
    """The plots as images for light and for dark, each under its heading."""
    for title, figure in PLOTS.items():
        if drawn := figure(comparison):
            svg = drawing.as_svg(drawn)
            light, dark = address(svg), address(drawing.at_night(svg))
            alt = html.escape(f"{title}, against {comparison.baseline}; the numbers are in table.csv")
            yield PLOT.format(title=html.escape(title), alt=alt, light=light, dark=dark)


def address(svg: str) -> str:
    """A picture as a data: address."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def lead(comparison: Comparison) -> str:
    candidates = len(comparison.checkpoints) - 1
    tasks = len({r.name for r in comparison.at("task")})
    return f"{candidates} checkpoint{'s' * (candidates != 1)} against {comparison.baseline} on {tasks} task{'s' * (tasks != 1)}"


def about(comparison: Comparison) -> dict[str, Any]:
    """What the page shows of the comparison itself."""
    content = comparison.json()
    skill_of = {r.name: r.skill for r in comparison.at("task")}
    return {
        "baseline": comparison.baseline,
        "checkpoints": list(comparison.checkpoints),
        "rows": content["rows"],
        "skills": [name for level, name in text_tables.names(comparison) if level == "skill"],
        "tasks": sorted(skill_of, key=lambda t: (text_tables.place(skill_of[t]), t)),
        "skill_of": skill_of,
    }


def block(value: Any) -> str:
    """JSON that may stand in a script block: no "<", and none of the line ends that only some readers know."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def chunks(comparison: Comparison) -> tuple[dict[str, dict[str, Chunk]], dict[str, Chunk]]:
    """The cells by task and checkpoint, and the rows of each task."""
    numbers = iter(range(10**9))
    tasks = sorted({r.name for r in comparison.at("task")})
    samples: dict[str, dict[str, Chunk]] = {t: {} for t in tasks}
    examples: dict[str, Chunk] = {}
    folders = [(n, f) for n, facts in comparison.checkpoints.items() for f in (facts["results"], *facts.get("elsewhere", ()))]
    for name, folder in folders:
        results = Results(folder)
        for task in tasks:
            if (path := results.cell(name, task).samples_file).exists():
                samples[task][name] = Chunk(next(numbers), path)
            if task not in examples and (path := results.examples_file(task)).exists():
                examples[task] = Chunk(next(numbers), path)
    return samples, examples


def place(every: list[Chunk], folder: Path) -> tuple[list[str], list[Path]]:
    """The chunks as blocks of the page, or as files beside it, whichever fits."""
    if sum(c.path.stat().st_size for c in every) <= INSIDE * 4:
        blocks = [f'<script type="text/plain" id="chunk-{c.number}">{c.text(SMALL)}</script>\n' for c in every]
        if sum(map(len, blocks)) <= INSIDE:
            return blocks, []
    return [], files(every, folder / "page")


def files(every: list[Chunk], folder: Path) -> list[Path]:
    """Each chunk as a script beside the page; compression leaves Python's lock, so threads share the work."""
    folder.mkdir(exist_ok=True)

    def write(chunk: Chunk) -> Path:
        path = folder / f"{chunk.number}.js"
        path.write_text(f'skilldelta({chunk.number},"{chunk.text(QUICK)}")\n', encoding="ascii")
        return path

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(write, every))
