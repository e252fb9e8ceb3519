"""May this candidate replace the baseline?  A policy of largest allowed drops, and a three-way answer from the intervals."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pydantic
from scipy import special

from harness import config, registry
from harness.comparison.result import Comparison, Level, Row, without_nan
from harness.statistics.estimate import quantile
from harness.statistics.power import detectable_from
from harness.types import SkilldeltaError

Ruled = Level | Literal["metric"]
Answer = Literal["pass", "regression", "inconclusive"]
EXIT: Mapping[Answer, int] = {"pass": 0, "regression": 1, "inconclusive": 2}
MARKS: Mapping[Answer, str] = {"pass": "✅", "regression": "❌", "inconclusive": "❔"}

SHOWN = ("delta", "delta_low", "delta_high", "p", "p_adjusted", "mde")


class Rule(pydantic.BaseModel, extra="forbid", frozen=True):
    """How much may be lost, in points.

    A drop is a regression where the whole interval lies beyond `max_drop`; it is ruled out where the interval does not reach
    further than `max_drop` + `margin` and the difference itself is no larger than `max_drop`; anything else is inconclusive.
    An `advisory` rule is shown and decides nothing.
    """

    max_drop: float = pydantic.Field(default=2.0, ge=0)
    margin: float = pydantic.Field(default=0.0, ge=0)
    kind: Literal["critical", "advisory"] = "critical"


class Policy(pydantic.BaseModel, extra="forbid", frozen=True):
    """Rules by name.  `default` holds for every skill that has none of its own; None: only what is named counts.

    A metric is named TASK/METRIC, e.g. xstest/over_refusal; where lower is better, a drop is a rise.
    """

    default: Rule | None = Rule()
    skills: Mapping[str, Rule] = {}
    tasks: Mapping[str, Rule] = {}
    metrics: Mapping[str, Rule] = {}
    average: Rule | None = None
    max_unscored: float = pydantic.Field(default=5.0, ge=0, le=100)  # % of a rule's samples; with more, it is inconclusive

    def rules(self, comparison: Comparison) -> Iterator[tuple[Ruled, str, Rule]]:
        """Every rule that applies; a name that the results do not have is an error."""
        there = {level: [r.name for r in comparison.at(level) if r.difference is None] for level in ("skill", "task")}
        there["metric"] = [f"{r.name}/{m.name}" for r in comparison.at("task") if r.difference is None for m in r.metrics]
        for level, named in (("skill", self.skills), ("task", self.tasks), ("metric", self.metrics)):
            for name in named:
                if name not in there[level]:
                    raise SkilldeltaError(f"In the policy: {registry.unknown(level, name, there[level])}")
        for name in there["skill"]:
            if rule := self.skills.get(name, self.default):
                yield "skill", name, rule
        for name, rule in self.tasks.items():
            yield "task", name, rule
        for name, rule in self.metrics.items():
            yield "metric", name, rule
        if self.average:
            yield "average", "average", self.average


@dataclass(frozen=True)
class Checked:
    """A rule, and what the results say to it."""

    level: Ruled
    name: str
    rule: Rule
    row: Row | None  # None: the candidate has not been asked everything that this needs
    answer: Answer
    why: str


@dataclass(frozen=True)
class Gate:
    """The answer for a candidate: a regression if any critical rule finds one, else inconclusive if any is, else pass."""

    baseline: str
    candidate: str
    answer: Answer
    checked: tuple[Checked, ...]
    foot: tuple[str, ...] = ()

    @property
    def code(self) -> int:
        """The exit code."""
        return EXIT[self.answer]

    def json(self) -> dict[str, Any]:
        """The same facts as the summary."""
        rules = [
            {"level": c.level, "name": c.name, "answer": c.answer, "why": c.why, **c.rule.model_dump()}
            | ({k: getattr(c.row.difference, k) for k in SHOWN} if c.row else {})
            for c in self.checked
        ]
        whole = {"baseline": self.baseline, "candidate": self.candidate, "answer": self.answer, "rules": rules}
        plain: dict[str, Any] = without_nan(whole)
        return plain

    def markdown(self) -> str:
        """A summary fit for a pull request."""
        lines = [
            f"### {MARKS[self.answer]} {self.answer}: {safe(self.candidate)} against {safe(self.baseline)}",
            "",
            "| | rule | difference (95 %) | allowed drop | says |",
            "|---|---|---|---|---|",
            *(line(c) for c in self.checked),
            "",
            *self.foot,
        ]
        return "\n".join(lines) + "\n"


def read_policy(path: Path) -> Policy:
    """A policy from a YAML file."""
    return policy(config.load_yaml(path), str(path))


def policy(values: Mapping[str, object], source: str = "the policy") -> Policy:
    try:
        return Policy.model_validate(values)
    except pydantic.ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SkilldeltaError(
            f"{source} is not a policy: {faults}.\n"
            "It may hold: default, skills, tasks, metrics, average (each with max_drop, margin, kind), max_unscored."
        ) from error


def gate(comparison: Comparison, candidate: str, wanted: Policy) -> Gate:
    """Checks every rule of the policy on one candidate."""
    if candidate not in comparison.checkpoints or candidate == comparison.baseline:
        raise SkilldeltaError(
            str(registry.unknown("candidate", candidate, set(comparison.checkpoints) - {comparison.baseline}))
        )
    mine = [r for r in comparison.rows if r.checkpoint == candidate]
    rows: dict[tuple[Ruled, str], Row] = {(r.level, r.name): r for r in mine}
    rows |= {("metric", name): row for name, row in metrics(mine, comparison.settings.level, len(wanted.metrics)).items()}
    checked = [
        check(level, name, rule, rows.get((level, name)), (comparison.settings.level, wanted.max_unscored))
        for level, name, rule in wanted.rules(comparison)
    ]
    if not checked:
        raise SkilldeltaError("The policy has no rule that applies: name skills or tasks, or leave `default` in.")
    critical = {c.answer for c in checked if c.rule.kind == "critical"}
    answer: Answer = next((a for a in ("regression", "inconclusive") if a in critical), "pass")
    used = {c.level for c in checked}
    foot = [f"{level}s: {words}." for level, words in comparison.families.items() if level in used]
    foot += [f"metrics: Bonferroni over {len(wanted.metrics)} rules."] if len(wanted.metrics) > 1 else []
    notes = [*foot, *(f"Not alike, accepted: {a}." for a in comparison.allowed), *comparison.incomplete]
    return Gate(comparison.baseline, candidate, answer, tuple(checked), tuple(f"- {safe(n)}" for n in notes))


def metrics(rows: Iterable[Row], level: float, tests: int) -> dict[str, Row]:
    """The metrics of tasks as rows, turned so that more is better; p by the normal distribution, from the interval."""
    found = {}
    for row in rows:
        for m in row.metrics:
            if m.delta is None or m.delta_low is None or m.delta_high is None or row.difference is None:
                continue
            low, high = (-m.delta_high, -m.delta_low) if m.lower_is_better else (m.delta_low, m.delta_high)
            delta = -m.delta if m.lower_is_better else m.delta
            error = (high - low) / 2 / quantile(level)
            p = float(2 * special.ndtr(-abs(delta) / error)) if error > 0 else float(delta == 0)
            change = replace(
                row.difference, delta=delta, delta_low=low, delta_high=high, p=p, p_adjusted=min(1.0, p * max(tests, 1)),
                mde=detectable_from(error, level=level),
            )  # fmt: skip
            name = f"{row.name}/{m.name}"
            found[name] = replace(row, name=f"{name}, lower is better" if m.lower_is_better else name, difference=change)
    return found


def check(level: Ruled, name: str, rule: Rule, row: Row | None, limits: tuple[float, float]) -> Checked:
    """One rule.  `limits`: the level of the intervals, the largest share of unscored samples in %.

    A regression must also survive the correction for the number of tests, so that equal checkpoints fail a gate of many
    rules in 5 % at most.
    """
    confidence, max_unscored = limits
    if row is None or row.difference is None:
        return Checked(level, name, rule, None, "inconclusive", "not everything was scored")
    found = row.difference
    if row.unscored and 100 * row.unscored > max_unscored * (row.n + row.unscored):
        return Checked(
            level, name, rule, row, "inconclusive", f"{row.unscored} of {row.n + row.unscored} samples have no score"
        )
    if found.delta_high < -rule.max_drop and found.p_adjusted <= 1 - confidence:
        return Checked(level, name, rule, row, "regression", f"a drop of more than {rule.max_drop:g} points is shown")
    if found.delta_low >= -rule.max_drop - rule.margin and found.delta >= -rule.max_drop:
        return Checked(level, name, rule, row, "pass", "a larger drop is ruled out")
    return Checked(level, name, rule, row, "inconclusive", f"so many samples show differences from {found.mde:.1f} points on")


def line(checked: Checked) -> str:
    """A row of the Markdown table."""
    name = checked.row.name if checked.row else checked.name
    kind = "" if checked.rule.kind == "critical" else " (advisory)"
    found = checked.row.difference if checked.row else None
    change = f"{found.delta:+.1f} [{found.delta_low:+.1f}, {found.delta_high:+.1f}]" if found else "—"
    allowed = f"{checked.rule.max_drop:g}" + (f" + {checked.rule.margin:g}" if checked.rule.margin else "")
    return f"| {MARKS[checked.answer]} | {safe(name)}{kind} | {change} | {allowed} | {checked.answer}: {checked.why} |"


def safe(text: str) -> str:
    """Text that cannot break a Markdown table, nor become markup in a comment."""
    text = html.escape(text, quote=False)
    for char in "\\`*_{}[]|#":
        text = text.replace(char, f"\\{char}")
    return text.replace("\n", " ").replace("@", "@\u200b")
