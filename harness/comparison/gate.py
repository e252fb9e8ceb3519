"""The gate for CI: may a candidate replace the baseline?  A policy of largest allowed drops gives a three-way answer."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pydantic

from harness import config
from harness.comparison.candidate_names import check_candidate
from harness.comparison.metric_rows import metric_rows
from harness.comparison.number_format import ABSENT, format_change
from harness.comparison.result import Comparison, Difference, Level, Row, without_nan
from harness.grouping import group_by
from harness.types import SkilldeltaError, unknown_name
from harness.visible_text import escape_markdown
from harness.wrong_values import explain_wrong_value

RuleLevel = Level | Literal["metric"]
GateAnswer = Literal["pass", "regression", "inconclusive"]
EXIT_CODES: Mapping[GateAnswer, int] = {"pass": 0, "regression": 1, "inconclusive": 2}
MARKS: Mapping[GateAnswer, str] = {"pass": "✅", "regression": "❌", "inconclusive": "❔"}

MAX_DIFFERENCE = 100.0  # points
JSON_FIELDS = ("delta", "delta_low", "delta_high", "p", "p_adjusted", "mde")


class Rule(pydantic.BaseModel, extra="forbid", frozen=True):
    """The largest drop that is allowed, in points.

    `regression`: the whole interval lies beyond `max_drop`.  `pass`: the interval ends before `max_drop` + `margin`, and the
    difference itself is no larger than `max_drop`.  Anything else is `inconclusive`.  An `advisory` rule is shown, but decides
    nothing.
    """

    max_drop: float = pydantic.Field(default=2.0, ge=0)
    margin: float = pydantic.Field(default=0.0, ge=0)
    kind: Literal["critical", "advisory"] = "critical"


class Policy(pydantic.BaseModel, extra="forbid", frozen=True):
    """Rules by name.  `default` holds for every skill without a rule of its own; None: only named rules count.

    A metric is named TASK/METRIC, e.g. xstest/over_refusal.  Where lower is better, a rise counts as a drop.
    """

    default: Rule | None = Rule()
    skills: Mapping[str, Rule] = {}
    tasks: Mapping[str, Rule] = {}
    metrics: Mapping[str, Rule] = {}
    average: Rule | None = None
    max_unscored: float = pydantic.Field(default=5.0, ge=0, le=100)  # % of a rule's samples; with more, it is inconclusive

    def check_names(self, names: Mapping[str, Collection[str]]) -> None:
        """SkilldeltaError for a rule on a name that is not among those of its level (skill, task, metric)."""
        for level, rules in (("skill", self.skills), ("task", self.tasks), ("metric", self.metrics)):
            for name in rules:
                if name not in names[level]:
                    raise SkilldeltaError(f"In the policy: {unknown_name(level, name, names[level])}")

    def rules(self, comparison: Comparison) -> Iterator[tuple[RuleLevel, str, Rule]]:
        """Every rule that applies.  SkilldeltaError for a name that the results do not have."""
        names = {level: [r.name for r in comparison.at(level) if r.difference is None] for level in ("skill", "task")}
        names["metric"] = [f"{r.name}/{m.name}" for r in comparison.at("task") if r.difference is None for m in r.metrics]
        names["skill"] += sorted({a.skill for a in comparison.absent} - set(names["skill"]))
        self.check_names(names)
        for name in names["skill"]:
            if rule := self.skills.get(name, self.default):
                yield "skill", name, rule
        for name, rule in self.tasks.items():
            yield "task", name, rule
        for name, rule in self.metrics.items():
            yield "metric", name, rule
        if self.average:
            yield "average", "average", self.average


@dataclass(frozen=True)
class RuleResult:
    """A rule with its answer on these results."""

    level: RuleLevel
    name: str
    rule: Rule
    row: Row | None  # None: the candidate lacks tasks that this rule needs
    answer: GateAnswer
    why: str


@dataclass(frozen=True)
class GateResult:
    """The answer for a candidate: the worst of its critical rules, of regression, inconclusive and pass."""

    baseline: str
    candidate: str
    answer: GateAnswer
    rule_results: tuple[RuleResult, ...]
    notes: tuple[str, ...] = ()
    level: float = 0.95  # of the intervals

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.answer]

    def json(self) -> dict[str, Any]:
        """The content of the summary as JSON."""
        rules = [
            {"level": c.level, "name": c.name, "answer": c.answer, "why": c.why, **c.rule.model_dump()}
            | ({k: getattr(c.row.difference, k) for k in JSON_FIELDS} if c.row else {})
            for c in self.rule_results
        ]
        content: dict[str, Any] = {
            "baseline": self.baseline,
            "candidate": self.candidate,
            "answer": self.answer,
            "rules": rules,
        }
        return without_nan(content)

    def markdown(self) -> str:
        """A summary for a pull request."""
        title = f"{escape_markdown(self.candidate)} against {escape_markdown(self.baseline)}"
        lines = [
            f"### {MARKS[self.answer]} {self.answer}: {title}",
            "",
            f"| | rule | difference ({100 * self.level:g} %) | allowed drop | says |",
            "|---|---|---|---|---|",
            *(markdown_row(c) for c in self.rule_results),
            "",
            *self.notes,
        ]
        return "\n".join(lines) + "\n"


def read_policy(path: Path) -> Policy:
    """A policy from a YAML file."""
    return parse_policy(config.load_yaml(path), str(path))


def parse_policy(values: Mapping[str, object], source: str = "the policy") -> Policy:
    try:
        return Policy.model_validate(values)
    except pydantic.ValidationError as error:
        keys = lambda depth: Rule.model_fields if depth else Policy.model_fields  # noqa: E731
        faults = "; ".join(explain_wrong_value(e, keys) for e in error.errors()[:20])
        raise SkilldeltaError(
            f"{source} is not a policy: {faults}.\n"
            "It may hold: default, skills, tasks, metrics, average (each with max_drop, margin, kind), max_unscored."
        ) from error


def gate(comparison: Comparison, candidate: str, policy_: Policy) -> GateResult:
    """Checks every rule of the policy on one candidate.  SkilldeltaError where no rule applies, or a name is unknown."""
    check_candidate(candidate, comparison.baseline, comparison.checkpoints)
    candidate_rows = [r for r in comparison.rows if r.checkpoint == candidate]
    rows: dict[tuple[RuleLevel, str], Row] = {(r.level, r.name): r for r in candidate_rows}
    confidence, tests = comparison.settings.level, len(policy_.metrics)
    rows |= {("metric", name): row for name, row in metric_rows(candidate_rows, tests).items()}
    rule_results = []
    for level, name, rule in policy_.rules(comparison):
        result = check_rule(level, name, rule, rows.get((level, name)), (confidence, policy_.max_unscored))
        reason = undecidable_reason(comparison, candidate, level, name)
        rule_results.append(replace(result, answer="inconclusive", why=reason) if reason else result)
    if not rule_results:
        raise SkilldeltaError("No rule of the policy applies: name skills or tasks, or keep `default`.")
    critical = {c.answer for c in rule_results if c.rule.kind == "critical"}
    answer: GateAnswer = next((a for a in ("regression", "inconclusive") if a in critical), "pass")
    levels = {c.level for c in rule_results}
    corrections = [f"{level}s: {words}." for level, words in comparison.families.items() if level in levels]
    corrections += [f"metrics: Bonferroni over {tests} rules."] if tests > 1 else []
    setting_notes = [f"Made with different settings, accepted: {a}." for a in comparison.accepted_differences]
    units = explain_small_drops(rule_results)
    notes = tuple(f"- {escape_markdown(n)}" for n in (*corrections, *units, *setting_notes, *comparison.incomplete))
    return GateResult(comparison.baseline, candidate, answer, tuple(rule_results), notes, confidence)


def explain_small_drops(results: Iterable[RuleResult]) -> list[str]:
    """Says the unit where an allowed drop looks like a share."""
    shares = sorted({c.rule.max_drop for c in results if 0 < c.rule.max_drop < 1})
    if not shares:
        return []
    drop = shares[0]
    return [f"Allowed drops are points of 100: {drop:g} is {drop:g} points.  If a share is meant, write {100 * drop:g}."]


def undecidable_reason(comparison: Comparison, candidate: str, level: RuleLevel, name: str) -> str:
    """Why no rule on a skill, a task, a metric or the average can be decided; "" where one can.

    A task that one side lacks may hold the regression.  Two readings that point opposite ways prove neither.
    """
    sides = (comparison.baseline, candidate)
    task, _, _ = name.rpartition("/")

    def concerns(own_task: str, skill: str) -> bool:
        return (
            level == "average" or name == (skill if level == "skill" else own_task) or (level == "metric" and task == own_task)
        )

    if absent := [a for a in comparison.absent if a.checkpoint in sides and concerns(a.task, a.skill)]:
        lacking = group_by(absent, lambda a: a.checkpoint).items()
        return "; ".join(f"{who} has no samples of {', '.join(a.task for a in tasks)}" for who, tasks in lacking)
    opposite_words = [o.words for o in comparison.contradictions if o.checkpoint == candidate and concerns(o.task, o.skill)]
    return f"two readings point opposite ways: {'; '.join(opposite_words)}" if opposite_words else ""


def check_rule(level: RuleLevel, name: str, rule: Rule, row: Row | None, limits: tuple[float, float]) -> RuleResult:
    """One rule.  `limits`: the level of the intervals, and the largest share of unscored samples in %."""
    confidence, max_unscored = limits
    if row is None or row.difference is None:
        return RuleResult(level, name, rule, None, "inconclusive", "some of its tasks are not scored")
    difference, total, why = row.difference, row.n + row.unscored, describe_reach(row.difference)
    answer: GateAnswer = "inconclusive"
    if row.unscored and 100 * row.unscored > max_unscored * total:
        why = f"{row.unscored} of {total} samples have no score"
    elif 100 * difference.missing_share > max_unscored:
        items, share = difference.pairs + difference.missing, difference.missing_share
        weight = "" if math.isclose(share * items, difference.missing) else f", {100 * share:.0f} % of the weight"
        why = f"of {items} items, {difference.missing} without a score on one side{weight}"
    # The adjusted p-value must agree, so that equal checkpoints fail a gate of many rules in 5 % of cases at most.
    elif difference.delta_high < -rule.max_drop and difference.p_adjusted <= 1 - confidence:
        answer, why = "regression", f"a drop of more than {rule.max_drop:g} points is proven"
    elif difference.delta_low >= -rule.max_drop - rule.margin and difference.delta >= -rule.max_drop:
        answer, why = "pass", "a larger drop is ruled out"
    return RuleResult(level, name, rule, row, answer, why)


def describe_reach(difference: Difference) -> str:
    """What so many samples can detect at all."""
    if math.isnan(difference.delta):
        return "no sample has a score on both sides"
    if difference.mde >= MAX_DIFFERENCE:
        return "these samples are too few to detect any difference reliably"
    return f"these samples detect differences of {difference.mde:.1f} points or more"


def markdown_row(result: RuleResult) -> str:
    """A rule as a row of the Markdown table."""
    name = result.row.name if result.row else result.name
    kind = "" if result.rule.kind == "critical" else " (advisory)"
    difference = result.row.difference if result.row else None
    change = ABSENT
    if difference and not math.isnan(difference.delta):
        change = format_change(difference.delta, difference.delta_low, difference.delta_high)
    allowance = f"{result.rule.max_drop:g}" + (f" + {result.rule.margin:g}" if result.rule.margin else "")
    label = f"{MARKS[result.answer]} | {escape_markdown(name)}{kind}"
    return f"| {label} | {change} | {allowance} | {result.answer}: {escape_markdown(result.why)} |"
