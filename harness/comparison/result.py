"""The result of a comparison: a Row for each checkpoint on each task, skill, and on average.  Units: points, 0..100."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from harness.atomic_files import write_json
from harness.records import CheckpointRecord
from harness.statistics.decision import Verdict

if TYPE_CHECKING:
    import pandas as pd

    from harness import published
    from harness.comparison.training_runs import TrainingRun

Level = Literal["task", "skill", "average"]
Family = Literal["auto", "holm", "max-t", "bh", "none"]
LEVELS: tuple[Level, ...] = ("task", "skill", "average")


@dataclass(frozen=True)
class ComparisonSettings:
    """How results are compared.  A difference whose whole interval lies within `margin` points is called the same."""

    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    margin: Annotated[float, Field(ge=0)] = 2.0
    family: Family = "auto"  # Holm for one candidate, max-T for several
    allow: tuple[str, ...] = ()  # differences in how results were made that are accepted, by name
    candidates: tuple[str, ...] = ()  # only these; (): every other checkpoint
    published: tuple[str, ...] = ()  # STUDY or STUDY:TABLE, of reports/published: shown next to the results, never tested
    leave_out: tuple[str, ...] = ()  # training runs or files of ids, whose examples do not count
    only: tuple[str, ...] = ()  # the same, and no other examples count
    holdout: Annotated[float, Field(ge=0, lt=1)] = 0.0  # the share of items that judge what the others choose; 0: none
    suite: str = ""  # whose weights and skills the means follow; "": as the results say, "none": all alike
    draws: Annotated[int, Field(ge=99)] = 9_999
    seed: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True)
class Flips:
    """Samples with a lower score than the baseline's (lost), and with a higher one (gained)."""

    lost: int
    gained: int


@dataclass(frozen=True)
class Difference:
    """Candidate minus baseline, on the samples that both have a score for."""

    pairs: int
    delta: float
    delta_low: float
    delta_high: float
    p: float
    p_error: float  # Monte Carlo standard error of p; 0 where p is exact
    mde: float  # the smallest true difference that these data detect 4 times in 5
    p_adjusted: float = 1.0  # within the family
    verdict: Verdict = "unclear"
    flips: Flips | None = None
    missing: int = 0  # samples of one side without a partner, or without a score on one side
    noise: float | None = None  # % of items whose score changes when they are answered again; None: not measured
    graded_mde: float | None = None  # mde of a judge's grades, whose errors stretch `mde`; None where none are measured
    missing_share: float = 0.0  # 0..1: of the items; in a mean, of what these weigh in it


@dataclass(frozen=True)
class MetricValue:
    """A further metric of a task."""

    name: str
    value: float
    low: float
    high: float
    lower_is_better: bool = False
    delta: float | None = None
    delta_low: float | None = None
    delta_high: float | None = None
    p: float | None = None  # of its difference alone
    mde: float | None = None  # as in Difference
    pairs: int = 0
    missing: int = 0  # samples of its group that lack a value on one side

    @property
    def gain(self) -> tuple[float, float, float] | None:
        """The difference and its interval (low, high), signed so that more is better; None where there is none."""
        if self.delta is None or self.delta_low is None or self.delta_high is None:
            return None
        if self.lower_is_better:
            return -self.delta, -self.delta_high, -self.delta_low
        return self.delta, self.delta_low, self.delta_high


LATER = ("holdout", "suite")  # settings that older versions have not: comparison.json tells of them where they are set
SPARSE = "graded_mde"  # left out where it is None: older versions have it not
APART = ("difference", "metrics", "termination", "missing_share")  # that flat() does not take as they are


@dataclass(frozen=True)
class Row:
    """One checkpoint on one task, on one skill (mean of its tasks), or on average (mean of skills, see mean_rules.py)."""

    checkpoint: str
    level: Level
    name: str
    skill: str  # the task's; the skill itself; "" on average
    n: int  # scored samples
    score: float
    score_low: float
    score_high: float
    unscored: int = 0
    if_wrong: float = math.nan  # the score with everything unscored counted wrong
    if_right: float = math.nan  # ... counted right
    difference: Difference | None = None  # None for the baseline
    tokens: float = math.nan  # mean length of a response
    health: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)  # why samples have no score, with how often
    metrics: tuple[MetricValue, ...] = ()
    termination: tuple[MetricValue, ...] = ()  # how responses end, see termination.py

    def flat(self) -> dict[str, Any]:
        """The row as the JSON object of comparison.json: the score's fields and the difference's, all at one level."""
        row = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in APART}
        row |= {"health": dict(self.health), "reasons": dict(self.reasons), "metrics": [*map(dataclasses.asdict, self.metrics)]}
        change = dataclasses.asdict(self.difference) if self.difference else {}
        row |= {f.name: change.get(f.name) for f in dataclasses.fields(Difference) if f.name not in APART}
        return {name: value for name, value in row.items() if name != SPARSE or value is not None}


@dataclass(frozen=True)
class Best:
    """The candidate with the highest score on a skill or on average, with that score corrected for the choice."""

    level: Level
    name: str
    checkpoint: str
    score: float  # on all items
    corrected: float  # the expected score on other items of a checkpoint that is chosen this way
    low: float
    high: float
    probability: Mapping[str, float]  # of each candidate to be the highest when the items are drawn again
    equals: tuple[str, ...]  # itself and the candidates that it does not beat, the highest score first
    left_out: tuple[str, ...] = ()  # candidates with fewer scored items than another, which are not ranked


@dataclass(frozen=True)
class OpposedReadings:
    """Two readings of a checkpoint's answers to one task whose differences point opposite ways."""

    checkpoint: str
    task: str
    skill: str
    words: str


@dataclass(frozen=True)
class AbsentTask:
    """A task of a skill that one checkpoint has no samples of, though it was to be scored or the other side has it."""

    checkpoint: str
    task: str
    skill: str
    why: str


@dataclass(frozen=True)
class Comparison:
    """Checkpoints against a baseline.  `rows`: the baseline's first, then each candidate's, tasks before skills."""

    baseline: str
    rows: tuple[Row, ...]
    families: Mapping[str, str]  # for each level, the correction and its number of tests, in words
    settings: ComparisonSettings
    checkpoints: Mapping[str, CheckpointRecord]  # in order
    accepted_differences: tuple[str, ...] = ()  # settings that differ and were accepted, in words
    incomplete: tuple[str, ...] = ()  # missing data, in words
    absent: tuple[AbsentTask, ...] = ()  # tasks that one side lacks
    contradictions: tuple[OpposedReadings, ...] = ()  # readings of one task that point opposite ways
    best: tuple[Best, ...] = ()  # of several candidates, on average and on each skill
    caveats: tuple[str, ...] = ()  # facts that the numbers do not show, in words
    runs: tuple[TrainingRun, ...] = ()  # of the checkpoints, with their training curves
    warnings: tuple[str, ...] = ()  # findings that need several numbers, such as reward hacking
    published_tables: tuple[published.PublishedTable, ...] = ()  # of other models, shown next to these
    skill_weights: Mapping[str, float] = dataclasses.field(default_factory=dict)  # in the average; 1 where nothing is said

    def row(self, checkpoint: str, level: Level, name: str) -> Row:
        """One row; KeyError where there is none."""
        return {(row.checkpoint, row.level, row.name): row for row in reversed(self.rows)}[checkpoint, level, name]

    def at(self, level: Level) -> list[Row]:
        return [r for r in self.rows if r.level == level]

    def json(self) -> dict[str, Any]:
        """The content of comparison.json."""
        return without_nan({
            "baseline": self.baseline,
            "rows": [r.flat() for r in self.rows],
            "families": dict(self.families),
            "settings": {k: v for k, v in dataclasses.asdict(self.settings).items() if k not in LATER or v},
            "checkpoints": {k: v.to_json() for k, v in self.checkpoints.items()},
            "allowed": list(self.accepted_differences),
            "incomplete": list(self.incomplete),
            "absent": [dataclasses.asdict(a) for a in self.absent],
            "contradictions": [dataclasses.asdict(c) for c in self.contradictions],
            "caveats": list(self.caveats),
            "noticed": list(self.warnings),
            "runs": [r.json() for r in self.runs],
            "termination": [
                {"checkpoint": r.checkpoint, "task": r.name, **dataclasses.asdict(m)} for r in self.rows for m in r.termination
            ],
            "best": [dataclasses.asdict(b) for b in self.best],
            "published": [dataclasses.asdict(f) for table in self.published_tables for f in table.figures.values()],
        })  # fmt: skip

    def write(self, path: Path) -> None:
        write_json(path, self.json())

    def frame(self) -> pd.DataFrame:
        """A row for each Row; counts of flips and health in columns of their own, metrics as JSON."""
        import pandas as pd

        rows = []
        for row in (r.flat() for r in self.rows):
            flips, health = row.pop("flips") or {}, row.pop("health")
            texts = {name: json.dumps(row.pop(name)) for name in ("metrics", "reasons")}
            texts["allowed"] = "; ".join(self.accepted_differences)
            rows.append(row | {k: flips.get(k) for k in ("lost", "gained")} | health | texts)
        return pd.DataFrame(rows)


def without_nan(content: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no NaN and no infinity: None in their place; numbers of points need no more than 6 decimals."""

    def plain(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        if isinstance(value, float):
            return float(f"{value:.8g}") if math.isfinite(value) else None
        return without_nan(value) if isinstance(value, dict) else value

    return {key: plain(value) for key, value in content.items()}
