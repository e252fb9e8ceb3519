"""The panels of the trade-off picture: which checkpoints lie where, by two of their numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.comparison import tradeoff
from harness.comparison.tradeoff import CheckpointCost, SkillFront, ValueInterval

if TYPE_CHECKING:
    from harness.comparison.result import Comparison

GAIN_LABEL = "average, points gained"


@dataclass(frozen=True)
class TradeoffPoint:
    """A checkpoint in one panel."""

    spot: CheckpointCost
    x: ValueInterval
    y: ValueInterval
    on_front: bool = False


@dataclass(frozen=True)
class TradeoffPanel:
    title: str
    x_label: str
    y_label: str
    points: list[TradeoffPoint]
    zero_line: bool = False  # where nothing was gained


def fill_panels(comparison: Comparison) -> list[TradeoffPanel]:
    """The panels for which at least two checkpoints have both numbers, and the costs of two differ."""
    spots = tradeoff.checkpoint_costs(comparison)
    panels = [
        cost_panel("Gain by KL", "KL from the start of the run, as logged", spots, [s.kl for s in spots]),
        cost_panel("Gain by answer length", "longer answers, % more tokens", spots, [s.length_change for s in spots]),
        refusal_panel(spots),
        *(front_panel(spots, choice) for choice in tradeoff.skill_fronts(comparison)[:1]),
    ]
    return [p for p in panels if len({point.x.value for point in p.points}) > 1]


def cost_panel(title: str, x_label: str, spots: Sequence[CheckpointCost], costs: Sequence[float | None]) -> TradeoffPanel:
    """The average difference with its interval, by its cost; the baseline gained nothing at no cost."""
    points = []
    for spot, cost in zip(spots, costs, strict=True):
        gain, x = average_gain(spot), 0.0 if spot is spots[0] else cost
        if gain and x is not None and not math.isnan(x):
            points.append(TradeoffPoint(spot, ValueInterval(x, x, x), gain))
    return TradeoffPanel(title, x_label, GAIN_LABEL, points, zero_line=True)


def average_gain(spot: CheckpointCost) -> ValueInterval | None:
    """The average difference in points; zero for the baseline itself; None where there is no average."""
    if spot.average is None:
        return None
    d = spot.average.difference
    return ValueInterval(d.delta, d.delta_low, d.delta_high) if d else ValueInterval(0.0, 0.0, 0.0)


def refusal_panel(spots: Sequence[CheckpointCost]) -> TradeoffPanel:
    """How often harmful prompts are refused, by how often harmless ones are, on the first task that measures both."""
    refusals = [(s, s.refusal) for s in spots if s.refusal]
    task = refusals[0][1].task if refusals else ""
    points = [TradeoffPoint(s, r.harmless, r.harmful) for s, r in refusals if r.task == task]
    title = f"Refusal, both ways ({task}): best is the upper left"
    return TradeoffPanel(title, "harmless prompts refused, %", "harmful prompts refused, %", points)


def front_panel(spots: Sequence[CheckpointCost], choice: SkillFront) -> TradeoffPanel:
    """The mean of the other skills by the target skill."""
    by_name = {s.checkpoint: s for s in spots}
    points = [TradeoffPoint(by_name[name], x, y, name in choice.front) for name, (x, y) in choice.scores.items()]
    title = f"The other skills by {choice.target}; filled: the Pareto front"
    return TradeoffPanel(title, f"{choice.target}, points", "mean of the other skills, points", points)
