"""What a decision's sentence claims, held against the table beneath it: every claim that is not true there, in words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

from harness.comparison.decision import Decision, decide
from harness.comparison.gate import Policy
from harness.comparison.number_format import format_interval, format_number
from harness.comparison.result import Comparison, Difference

ROUNDING = 1e-6  # points
CORRECTED = ("auto", "max-t")  # over all candidates together
DROP = (Policy().default or Policy.model_fields["default"].default).max_drop


def sentence_faults(comparison: Comparison) -> Iterator[str]:
    """Every claim of the sentence that the rows do not bear out."""
    decision = decide(comparison)
    opposed = {c.checkpoint for c in comparison.contradictions}
    averages = {r.checkpoint: r.difference for r in comparison.at("average") if r.difference and r.difference.pairs}
    averages = {name: d for name, d in averages.items() if not math.isnan(d.delta) and name not in opposed}
    if re.search(r"\b(nan|inf)\b", decision.sentence):
        yield f"no number: {decision.sentence}"
    yield from left_out_faults(comparison, decision.sentence)
    if decision.outcome.startswith("ship"):
        yield from ship_faults(comparison, decision, averages)
    elif averages:
        yield from open_faults(comparison, decision, averages)


def left_out_faults(comparison: Comparison, sentence: str) -> Iterator[str]:
    """`share no item with a score` must hold for all tasks, or else name those for which it holds."""
    for name in comparison.checkpoints:
        claim = re.escape(f"{name} and {comparison.baseline} share no item with a score")
        tasks = [r.difference for r in comparison.at("task") if r.checkpoint == name and r.difference]
        if re.search(rf"(?<!\S){claim}(?! on )", sentence) and any(d.pairs for d in tasks):
            yield f"share no item, though they do: {sentence}"


def ship_faults(comparison: Comparison, decision: Decision, averages: Mapping[str, Difference]) -> Iterator[str]:
    name, sentence = str(decision.checkpoint), decision.sentence
    own = averages[name]
    skills = {r.name: r.difference for r in comparison.at("skill") if r.checkpoint == name and r.difference}
    shown = f"{format_number(own.delta, signed=True)} {format_interval(own.delta_low, own.delta_high, signed=True)} points"
    if own.verdict != "better" or shown not in sentence:
        yield f"shipped, but not shown better so: {sentence}"
    if decision.outcome == "ship" and any(d.verdict == "worse" for d in skills.values()):
        yield f"shipped in spite of a loss: {sentence}"
    if re.search(r"\(p [<0-9.]+ among", sentence) and comparison.settings.family not in CORRECTED:
        yield f"p is not corrected for all candidates: {sentence}"
    if "ruled out in" not in sentence and any(d.delta_low < -DROP and s not in decision.worse for s, d in skills.items()):
        yield f"an open drop is not said: {sentence}"
    unranked = [other for best in comparison.best[:1] for other in best.left_out]
    if "no other can be the highest" in sentence and unranked:
        yield f"beaten without a comparison: {sentence}"
    higher = [n for n, d in averages.items() if d.delta > own.delta + ROUNDING]
    if any(n not in sentence for n in higher) and " more" not in sentence:
        yield f"a higher one is not named: {sentence}"


def open_faults(comparison: Comparison, decision: Decision, averages: Mapping[str, Difference]) -> Iterator[str]:
    sentence, margin = decision.sentence, comparison.settings.margin
    if any(d.verdict == "better" for d in averages.values()):
        yield f"none better, though one is: {sentence}"
    if averages[str(decision.checkpoint)].delta < max(d.delta for d in averages.values()) - ROUNDING:
        yield f"not the highest: {sentence}"
    is_first = bool(comparison.best) and comparison.best[0].level == "average" and comparison.best[0].checkpoint
    if "the highest of" in sentence and is_first not in (False, decision.checkpoint):
        yield f"the highest is another one in the table of the best: {sentence}"
    open_leads = [d for d in averages.values() if d.delta_high > margin]
    is_lost = averages[str(decision.checkpoint)].verdict == "worse"  # which says by itself that no lead is open
    if ("suffice to say" in sentence and open_leads) or not (open_leads or is_lost or "suffice to say" in sentence):
        yield f"a lead beyond the margin is open or not: {sentence}"
    if decision.items is not None and decision.items <= min(d.pairs for d in open_leads):
        yield f"no more items than there are: {sentence}"
