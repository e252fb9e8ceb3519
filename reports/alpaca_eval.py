"""AlpacaEval's leaderboard columns: win rate and length-controlled win rate, as alpaca_eval.md and alpaca_eval.csv."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness import data
from harness.comparison import sample_table
from harness.comparison.number_format import ABSENT
from harness.csv_files import write_csv
from harness.data import DataSource
from harness.statistics import length_controlled
from harness.statistics.length_controlled import PreferencePairs
from harness.store import Results
from harness.types import SkilldeltaError
from harness.visible_text import escape_markdown
from reports.layout.markdown import markdown_table
from reports.layout.text_tables import TextTable

if TYPE_CHECKING:
    from harness.comparison.result import Comparison

TASK = "alpaca_eval"  # the length-controlled win rate is defined for its reference, GPT-4 Turbo
GAMED_SOURCE = DataSource(
    "tatsu-lab/alpaca_eval",
    "alpaca_eval/df_gamed.csv",
    ("index", "std_delta_len", "instruction_difficulty", "preference"),
    file="df_gamed.csv",
)
COLUMNS = ("checkpoint", "judged", "win rate", "length-controlled", "mean length")
NOTE = (
    "Rates in points ± one standard error. That of the length-controlled rate leaves out the error of its fit, "
    "as on AlpacaEval's leaderboard."
)


@dataclass(frozen=True)
class LeaderboardRow:
    """One checkpoint, by the names of the columns of alpaca_eval.csv; rates in points, NaN where they are unknown."""

    checkpoint: str
    judged: int
    win_rate: float
    standard_error: float
    lc_win_rate: float
    lc_standard_error: float
    mean_length: float


@dataclass(frozen=True)
class GamedModels:
    """AlpacaEval's two models whose length was gamed, and the difficulty of each instruction by its index."""

    pairs: PreferencePairs
    difficulty: dict[int, float]


def render(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes both files if AlpacaEval is among the compared tasks; gives their paths."""
    checkpoints = [row.checkpoint for row in comparison.at("task") if row.name == TASK]
    if not checkpoints:
        return []
    try:
        gamed_models, reason = read_gamed_models(data.default_folder()), ""
    except SkilldeltaError as error:
        gamed_models, reason = None, str(error)
    rows = [leaderboard_row(name, Path(comparison.checkpoints[name].results), gamed_models) for name in checkpoints]
    markdown, names = folder / "alpaca_eval.md", [field.name for field in fields(LeaderboardRow)]
    folder.mkdir(parents=True, exist_ok=True)
    markdown.write_text(leaderboard_document(rows, reason), encoding="utf-8")
    return [markdown, write_csv(folder / "alpaca_eval.csv", names, map(astuple, rows))]


def read_gamed_models(folder: Path | None) -> GamedModels:
    """AlpacaEval's df_gamed.csv; SkilldeltaError where it is not there."""
    rows = data.rows(GAMED_SOURCE, folder)
    longer, difficulty, preference = (
        np.array([float(row[name]) for row in rows]) for name in ("std_delta_len", "instruction_difficulty", "preference")
    )
    by_index = dict(zip((int(row["index"]) for row in rows), difficulty.tolist(), strict=True))
    return GamedModels(PreferencePairs(preference, longer, difficulty), by_index)


def leaderboard_row(checkpoint: str, results: Path, gamed_models: GamedModels | None) -> LeaderboardRow:
    """A checkpoint's rates, from its stored samples; without the gamed models no length-controlled one."""
    samples = sample_table.read_table(Results(results).cell(checkpoint, TASK))
    has_score = ~np.isnan(samples.score)
    preference = samples.score[has_score]
    length, reference, index = (samples.parts[part][has_score] for part in ("length", "reference_length", "index"))
    raw = length_controlled.mean_win_rate(preference)
    rate = length_controlled.WinRate(np.nan, np.nan)
    if gamed_models:
        difficulty = np.array([gamed_models.difficulty[int(i)] for i in index])
        rate = length_controlled.win_rate(PreferencePairs(preference, reference - length, difficulty), gamed_models.pairs)
    rates = (raw.value, raw.standard_error, rate.value, rate.standard_error)
    return LeaderboardRow(checkpoint, len(preference), *rates, float(length.mean()))


def leaderboard_document(rows: list[LeaderboardRow], reason: str) -> str:
    """The table and its note; `reason`: why there is no length-controlled rate."""
    lines = tuple(
        (
            row.checkpoint,
            str(row.judged),
            format_rate(row.win_rate, row.standard_error),
            format_rate(row.lc_win_rate, row.lc_standard_error),
            f"{row.mean_length:.0f}",
        )
        for row in rows
    )
    parts = ["# AlpacaEval", markdown_table(TextTable("AlpacaEval", COLUMNS, lines)), NOTE]
    if reason:
        parts.append(f"No length-controlled rate: {escape_markdown(reason)}")
    return "\n\n".join(parts) + "\n"


def format_rate(value: float, error: float) -> str:
    return ABSENT if np.isnan(value) else f"{value:.2f} ± {error:.2f}"
