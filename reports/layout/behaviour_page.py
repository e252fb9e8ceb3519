"""The page of behaviour: tables, the plot, and the answers to each prompt side by side.

Every word of a model and of a user is escaped; the page has no script, and its policy allows none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.behaviour.measures import MEASURES
from harness.behaviour.panel import answer_of_sample
from harness.prompts.reading import Reader
from harness.visible_text import escape_markdown
from reports.layout.behaviour_plot import draw_behaviour
from reports.layout.behaviour_tables import (
    CALIBRATION_GUIDE,
    DIVERGENCE_GUIDE,
    READING_GUIDE,
    calibration_table,
    divergence_table,
    measure_table,
)
from reports.layout.html_tables import fold_table
from reports.layout.markdown import markdown_list, markdown_section
from reports.layout.page_frame import ASSETS, escape_html, fill_page, html_items, html_picture

if TYPE_CHECKING:
    from harness.behaviour.measures import Answer
    from harness.behaviour.run import BehaviourReport
    from reports.layout.text_tables import TextTable

MAX_PROMPTS = 300  # of which the page shows answers
MAX_NAMES = 3  # of checkpoints in the title
MAX_CHARACTERS = 20_000  # of one answer


@dataclass(frozen=True)
class PromptAnswers:
    """A prompt with each checkpoint's answers to it, one for each draw; `distance`: nats per token, the largest of all."""

    example: str
    turns: tuple[tuple[str, str], ...]  # role, content
    answers: Mapping[str, Sequence[Answer | None]]
    distance: float = 0.0


def describe_report(report: BehaviourReport) -> str:
    """The title."""
    names = ", ".join(report.candidates) if len(report.candidates) <= MAX_NAMES else f"{len(report.candidates)} checkpoints"
    return f"How the answers of {names} differ from those of {report.baseline}"


def list_tables(report: BehaviourReport) -> list[TextTable]:
    tables = (divergence_table(report.divergences), calibration_table(report.calibrations))
    return [measure_table(report.task, report.rows), *(table for table in tables if table)]


def reading_notes(report: BehaviourReport) -> list[str]:
    """What a reader of the tables needs to know."""
    notes = [READING_GUIDE, *report.notes, *(f"Failed: {why}" for why in report.failures)]
    notes += [DIVERGENCE_GUIDE] if report.divergences else []
    notes += [CALIBRATION_GUIDE] if report.calibrations else []
    names = {row.measure.name for row in report.rows}
    return notes + [f"{m.name}: {m.about}." for m in MEASURES if m.name in names]


def behaviour_document(report: BehaviourReport) -> str:
    """The tables and notes as Markdown."""
    sections = [f"# {escape_markdown(describe_report(report))}", *map(markdown_section, list_tables(report))]
    return "\n\n".join([*sections, markdown_list(reading_notes(report))]) + "\n"


def behaviour_page(report: BehaviourReport) -> str:
    """The whole page as text."""
    style = "".join((ASSETS / name).read_text(encoding="utf-8") for name in ("page.css", "behaviour.css"))
    every, title = list_answers(report), describe_report(report)
    most = "the prompts with the largest divergence first" if report.divergences else "in the order of the file"
    counts = f"{min(len(every), MAX_PROMPTS)} of {len(every)} prompts, {most}."
    return fill_page(
        "behaviour.html",
        title,
        style,
        lead=escape_html(f"{len(report.prompts.rows)} prompts of {report.prompts.path.name}"),
        plot=plot_section(report),
        tables="".join(fold_table(table, True) for table in list_tables(report)),
        order=escape_html(counts),
        texts="".join(prompt_section(entry) for entry in every[:MAX_PROMPTS]),
        notes=html_items(reading_notes(report)),
    )


def plot_section(report: BehaviourReport) -> str:
    figure = draw_behaviour(report.rows, report.baseline)
    if figure is None:
        return ""
    return html_picture(figure, "Differences in behaviour; the numbers are in the table") + "\n"


def list_answers(report: BehaviourReport) -> list[PromptAnswers]:
    """Every prompt with its answers, the most divergent first; without divergences in the order of the file."""
    answers = {name: answers_of(report, name) for name in (report.baseline, *report.candidates)}
    distances: dict[str, float] = {}
    for divergence in report.divergences:
        for example, value in (divergence.by_example or {}).items():
            distances[example] = max(distances.get(example, 0.0), abs(value))
    entries = []
    for example, row in report.results.rows(report.task).items():
        turns = tuple((str(turn["role"]), str(turn["content"])) for turn in row["messages"])
        of_prompt = {name: own[example] for name, own in answers.items() if example in own}
        if of_prompt:
            entries.append(PromptAnswers(example, turns, of_prompt, distances.get(example, 0.0)))
    return sorted(entries, key=lambda entry: -entry.distance)


def answers_of(report: BehaviourReport, checkpoint: str) -> dict[str, list[Answer | None]]:
    """A checkpoint's answers by prompt, in the order of their draws; None where one failed."""
    cell = report.results.cell(checkpoint, report.task)
    reader, rows = Reader.from_record(cell.read().reader), report.results.rows(report.task)
    answers: dict[str, list[Answer | None]] = {}
    for sample in sorted({s.key: s for s in cell.samples()}.values(), key=lambda s: s.draw):
        answers.setdefault(sample.example, []).append(answer_of_sample(sample, rows.get(sample.example, {}), reader))
    return answers


def prompt_section(entry: PromptAnswers) -> str:
    """One prompt, folded, with a column for each checkpoint."""
    question = " ".join(entry.turns[-1][1].split())
    distance = f' <span class="quiet">{entry.distance:.3f} nats per token</span>' if entry.distance else ""
    turns = "".join(f'<pre class="prompt">{escape_html(f"{role}: {text}")}</pre>' for role, text in entry.turns)
    columns = "".join(
        f"<section><h3>{escape_html(name)}</h3>{''.join(map(answer_html, own))}</section>"
        for name, own in entry.answers.items()
    )
    summary = escape_html(question[:120] + ("..." if len(question) > 120 else ""))
    return f'<details><summary>{summary}{distance}</summary>{turns}<div class="texts">{columns}</div></details>\n'


def answer_html(answer: Answer | None) -> str:
    if answer is None:
        return '<p class="quiet">no answer: the model failed, or the prompt was too long</p>'
    reasoning = f'<pre class="reasoning">{escape_html(cut_long_text(answer.reasoning))}</pre>' if answer.reasoning else ""
    end = " (cut)" if answer.is_truncated else ""
    return f'{reasoning}<pre>{escape_html(cut_long_text(answer.text))}</pre><p class="quiet">{answer.tokens} tokens{end}</p>'


def cut_long_text(text: str) -> str:
    more = len(text) - MAX_CHARACTERS
    return f"{text[:MAX_CHARACTERS]}\n... {more} characters more" if more > 0 else text
