"""AlpacaEval's leaderboard columns: win rate and length-controlled win rate, as alpaca_eval.md and alpaca_eval.csv."""

from __future__ import annotations

import csv
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from harness import data
from harness.comparison import sample_table
from harness.comparison.result import Comparison
from harness.data import Source
from harness.statistics import length_controlled
from harness.statistics.length_controlled import Pairs
from harness.store import Results
from harness.types import SkilldeltaError

TASK = "alpaca_eval"  # the length-controlled win rate is defined for its reference, GPT-4 Turbo
GAMED = Source(
    "tatsu-lab/alpaca_eval",
    "alpaca_eval/df_gamed.csv",
    ("index", "std_delta_len", "instruction_difficulty", "preference"),
    file="df_gamed.csv",
)


@dataclass(frozen=True)
class Line:
    """One checkpoint; rates in points, NaN where they could not be computed."""

    checkpoint: str
    judged: int
    win_rate: float
    standard_error: float
    lc_win_rate: float
    lc_standard_error: float
    mean_length: float


def render(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes both files if AlpacaEval is among the compared tasks; gives their paths."""
    if not any(row.name == TASK for row in comparison.at("task")):
        return []
    try:
        gamed, why = gamed_models(data.default_folder()), ""
    except SkilldeltaError as error:
        gamed, why = None, str(error)
    named = dict.fromkeys(row.checkpoint for row in comparison.at("task") if row.name == TASK)
    lines = [line(name, Path(comparison.checkpoints[name]["results"]), gamed) for name in named]
    markdown, table = folder / "alpaca_eval.md", folder / "alpaca_eval.csv"
    folder.mkdir(parents=True, exist_ok=True)
    markdown.write_text(as_markdown(lines, why), encoding="utf-8")
    with table.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([[f.name for f in fields(Line)], *map(astuple, lines)])
    return [markdown, table]


@dataclass(frozen=True)
class Gamed:
    """Two models with gamed lengths, and the difficulty of each instruction by its index."""

    pairs: Pairs
    difficulty: dict[int, float]


def gamed_models(folder: Path | None) -> Gamed:
    """AlpacaEval's df_gamed.csv."""
    rows = data.rows(GAMED, folder)
    longer, difficulty, preference = (
        np.array([float(row[name]) for row in rows]) for name in ("std_delta_len", "instruction_difficulty", "preference")
    )
    known = dict(zip((int(row["index"]) for row in rows), difficulty.tolist(), strict=True))
    return Gamed(Pairs(preference, longer, difficulty), known)


def line(name: str, results: Path, gamed: Gamed | None) -> Line:
    """A checkpoint's numbers, from its stored samples."""
    found = sample_table.read(Results(results).cell(name, TASK))
    there = ~np.isnan(found.score)
    raw = length_controlled.raw(found.score[there])
    length, reference, index = (found.parts[part][there] for part in ("length", "reference_length", "index"))
    controlled = length_controlled.WinRate(np.nan, np.nan)
    if gamed:
        difficulty = np.array([gamed.difficulty[int(i)] for i in index])
        controlled = length_controlled.win_rate(Pairs(found.score[there], reference - length, difficulty), gamed.pairs)
    rates = (raw.value, raw.standard_error, controlled.value, controlled.standard_error)
    return Line(name, int(there.sum()), *rates, float(length.mean()))


def as_markdown(lines: list[Line], why: str) -> str:
    head = "| checkpoint | judged | win rate | length-controlled | mean length |\n| --- | --: | --: | --: | --: |\n"
    body = "".join(
        f"| {x.checkpoint} | {x.judged} | {rate(x.win_rate, x.standard_error)} | {rate(x.lc_win_rate, x.lc_standard_error)} "
        f"| {x.mean_length:.0f} |\n"
        for x in lines
    )
    foot = (
        "\nRates in points ± one standard error. That of the length-controlled rate leaves out the error of its fit, "
        "as on AlpacaEval's leaderboard.\n"
    )
    return f"# AlpacaEval\n\n{head}{body}{foot}" + (f"\nNo length-controlled rate: {why}\n" if why else "")


def rate(value: float, error: float) -> str:
    return "—" if np.isnan(value) else f"{value:.2f} ± {error:.2f}"
