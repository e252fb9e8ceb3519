"""Comparability: the settings that two results must share; a refusal names each difference with both sides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.differences import differences
from harness.records import RAW, CellRecord, current_name
from harness.types import SkilldeltaError

# Keys of task.json that cannot move a score, and so may differ.
IRRELEVANT = ("task.summary", "task.source", "task.skill", "task.chance", "backend.engine")
SERVERS = ("lm-eval:local-", "lm-eval:openai-", "lm-eval:anthropic-")
NAMES_MODEL = re.compile(r"\s*(?:model|base_url|pretrained)\s*=")  # arguments of lm-eval's servers
MAX_LISTED = 12  # differences named in full; the others are counted
RESCORE_HINT = (
    "Where a task's version alone differs: `skilldelta rescore RESULTS` reads the stored answers by today's, without a model."
)
COUNT_HINT = (
    "Where inputs.examples differs, the sides were asked different numbers of questions: score both with one --limit, or "
    "compare the questions that both were asked with --allow inputs."
)


@dataclass(frozen=True)
class SettingDifference:
    """One setting that differs from the baseline's, with both sides as short JSON."""

    task: str
    name: str
    baseline: str
    candidate: str
    checkpoints: tuple[str, ...]


def setting_differences(task: str, baseline: CellRecord, candidates: Mapping[str, CellRecord]) -> list[SettingDifference]:
    """The settings in which candidates' task.json differ from the baseline's; equal differences are gathered into one."""
    checkpoints_by_difference: dict[tuple[str, str, str], list[str]] = {}
    for checkpoint, record in candidates.items():
        for difference in differences(baseline.comparable(), record.comparable()):
            both_imported = bool(baseline.imported and record.imported)  # a further metric is shown where both sides have it
            irrelevant = (*IRRELEVANT, "task.metrics") if both_imported else IRRELEVANT
            is_ignored = concerns_no_prompt(difference[0], baseline, record) or names_served_model(
                difference[0], baseline, record
            )
            if not is_covered(difference[0], irrelevant) and not is_ignored:
                checkpoints_by_difference.setdefault(difference, []).append(checkpoint)
        one, other = (each.imported.get("metric") for each in (baseline, record))
        if one and other and one != other:  # the scores of two different metrics
            checkpoints_by_difference.setdefault(("imported.metric", str(one), str(other)), []).append(checkpoint)
    return [SettingDifference(task, *difference, tuple(who)) for difference, who in checkpoints_by_difference.items()]


def concerns_no_prompt(difference: str, one: CellRecord, other: CellRecord) -> bool:
    """Whether the templates differ though neither rendered a prompt: older results name the model's also for raw prompts."""
    templates = (one.backend.get("template"), other.backend.get("template"))
    if difference == "rendered":  # it is no difference of its own where one side does not know it, or templates differ anyway
        return not (one.rendered and other.rendered) or templates[0] != templates[1]
    return difference == "backend.template" and RAW in templates and one.inputs.prompts == other.inputs.prompts


def names_served_model(difference: str, one: CellRecord, other: CellRecord) -> bool:
    """Whether two servers' settings differ in which model is asked, and where: that is what the checkpoint is, no setting."""
    backends = {str(record.backend.get("backend")) for record in (one, other)}
    if backends == {"openai"}:
        return difference in ("backend.model", "backend.url")
    if difference != "backend.args" or len(backends) > 1 or not backends.pop().startswith(SERVERS):
        return False
    left, right = (
        [part for part in str(record.backend.get("args")).split(";") if not NAMES_MODEL.match(part)] for record in (one, other)
    )
    return left == right


def is_covered(difference: str, names: Iterable[str]) -> bool:
    """Whether `names` holds a difference or a parent of it: `inputs` covers `inputs.prompts`."""
    return any(difference == name or difference.startswith(name + ".") for name in names)


def accept_differences(every_difference: Sequence[SettingDifference], allow: Sequence[str], baseline: str) -> tuple[str, ...]:
    """The differences in words.  SkilldeltaError where `allow` does not cover one; it may use names of older versions."""
    names = [current_name(name) for name in allow]
    if not_accepted := [d for d in every_difference if not is_covered(d.name, names)]:
        raise SkilldeltaError(refusal_message(not_accepted, baseline))
    return tuple(side_by_side(d).strip() for d in every_difference)


def refusal_message(not_accepted: Sequence[SettingDifference], baseline: str) -> str:
    """The differences side by side, and the flags that accept them."""
    hidden_count = len(not_accepted) - MAX_LISTED
    names = " ".join(f"--allow {n}" for n in dict.fromkeys(d.name for d in not_accepted))
    return "\n".join((
        "These results cannot be compared: they were made with different settings.",
        *map(side_by_side, not_accepted[:MAX_LISTED]),
        *([f"  ... and {hidden_count} more"] if hidden_count > 0 else []),
        *([RESCORE_HINT] if any(d.name == "task.version" for d in not_accepted) else []),
        *([COUNT_HINT] if any(d.name == "inputs.examples" for d in not_accepted) else []),
        f"Score both with the same settings, or accept the differences from {baseline}: {names} (every table then lists them).",
    ))  # fmt: skip


def side_by_side(difference: SettingDifference) -> str:
    first, *more = difference.checkpoints
    who = f"{first} and {len(more)} more" if more else first
    return f"  {difference.task}, {difference.name}: baseline {difference.baseline}, {who} {difference.candidate}"
