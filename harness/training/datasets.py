"""Training data: files are read, each row is parsed or counted with its fault, and several sources are mixed by weight."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from harness.training import parallel
from harness.training.conversations import Conversation, PolicyPrompt, parse_conversation, parse_prompt
from harness.training.messages import UnusableRowError, describe_faults
from harness.training.parse_settings import ParseSettings
from harness.training.row_texts import names_without_rows, nested_texts
from harness.training.settings import TrainerSettings
from harness.training.source_rows import raw_rows
from harness.types import Json, SkilldeltaError, digest
from harness.visible_text import replace_surrogates

__all__ = ["Conversation", "PolicyPrompt", "load_mixture", "parse_conversation", "parse_prompt", "split_holdout"]
LOG = logging.getLogger("skilldelta")
T = TypeVar("T")
ParseRow = Callable[[Json, ParseSettings], T]  # raises UnusableRowError for a row that cannot be learnt from


@dataclass
class TrainingRows(Generic[T]):
    """The parsed rows, and for run.json a report on each source."""

    rows: list[T]
    report: list[dict[str, Any]] = field(default_factory=list)


def split_holdout(
    config: TrainerSettings, parse: ParseRow[T], prompt_of: Callable[[T], object]
) -> tuple[TrainingRows[T], list[T]]:
    """(training rows, held-out rows): the latter from `eval_data`, or by the hash of the prompt.

    A prompt is never on both sides: where `eval_data` repeats a training prompt, the training row is left out.
    """
    data = load_mixture(config, parse)
    if config.eval_data:
        heldout = load_mixture(replace(config, data=config.eval_data, weights=(), kinds=(), limit=0), parse).rows
        heldout_prompts = {digest(prompt_of(row)) for row in heldout}
        training = [row for row in data.rows if digest(prompt_of(row)) not in heldout_prompts]
    else:
        # By the hash of the prompt, not by place: the same prompts stay held out when the data grow or are reordered.
        is_heldout = [int(digest(prompt_of(row), 8), 16) < config.holdout * 16**8 for row in data.rows]
        training = [row for row, out in zip(data.rows, is_heldout, strict=True) if not out]
        heldout = [row for row, out in zip(data.rows, is_heldout, strict=True) if out]
    if not training:
        raise SkilldeltaError(f"All {len(data.rows)} rows are held out, and none is left to train on: lower --holdout.")
    return TrainingRows(training, data.report), heldout


def load_mixture(config: TrainerSettings, parse: ParseRow[T]) -> TrainingRows[T]:
    """Every source through `parse`, then mixed by weight."""
    if not config.data:
        raise SkilldeltaError("There is no data to train on: name files with --data (.jsonl, .json, .csv or .parquet).")
    count = len(config.data)
    for name, values in (("weights", config.weights), ("kinds", config.kinds)):
        if values and len(values) != count:
            raise SkilldeltaError(f"--{name} has {len(values)} entries for {count} sources of data: give one for each.")
    sources, report, missing = [], [], set(config.ignore_columns)
    for i, name in enumerate(config.data):
        settings = parse_settings(config, name, config.kinds[i] if config.kinds else "")
        rows, facts = load_source(name, settings, parse)
        sources.append(rows)
        report.append(facts)
        missing.difference_update(settings.ignored)
    if missing and parallel.is_writer():
        LOG.warning("--ignore-columns %s: no row of %s has it.", ",".join(sorted(missing)), ", ".join(config.data))
    mixture = draw_mixture([len(rows) for rows in sources], config.weights, config.limit, config.seed)
    use_counts = Counter(source for source, _ in mixture)
    for i, facts in enumerate(report):
        facts["used"] = use_counts[i]
    return TrainingRows([sources[source][place] for source, place in mixture], report)


def load_source(name: str, settings: ParseSettings, parse: ParseRow[T]) -> tuple[list[T], dict[str, Any]]:
    """The rows of one source, and its report: hash, kind, row count, and the count of unusable rows by fault."""
    raw, sha = raw_rows(name)
    rows, faults = parse_every(raw, settings, parse)
    if not rows:
        raise SkilldeltaError(f"{name} holds no row to train on: {describe_faults(faults) or 'it is empty'}.")
    facts = {"source": name, "sha256": sha, "kind": settings.kind, "rows": len(rows), "skipped": dict(sorted(faults.items()))}
    facts |= {"unused": sorted(settings.unused)}
    if parallel.is_writer() and (faults or settings.unused):
        LOG.warning("%s", describe_source(facts))
    return rows, facts


def parse_every(raw: Sequence[Json], settings: ParseSettings, parse: ParseRow[T]) -> tuple[list[T], Counter[str]]:
    """(the parsed rows, the count of unusable rows by fault)."""
    rows, faults = [], Counter[str]()
    for row in raw:
        try:
            if not row:
                raise UnusableRowError("an empty row")
            if any(text != replace_surrogates(text) for text in nested_texts(row)):
                raise UnusableRowError("a text with half of a surrogate pair, which no tokenizer reads")
            rows.append(parse(row, settings))
        except UnusableRowError as fault:
            faults[str(fault)] += 1
    settings.check_numbers()
    settings.ignored.update({*settings.ignore}.difference(names_without_rows(settings.ignore, raw)))
    return rows, faults


def parse_settings(config: TrainerSettings, source: str, kind: str = "") -> ParseSettings:
    """How the rows of one source are read."""
    return ParseSettings(config.rate, config.seed, source, kind, config.chat, config.ignore_columns)


def describe_source(facts: Json) -> str:
    """One line for the screen: the rows of a source, those that were skipped, and the columns that nothing reads."""
    text = f"{facts['source']}: {facts['rows']} rows to train on"
    if faults := facts["skipped"]:
        text += f"; {sum(faults.values())} skipped: {describe_faults(faults)}"
    return text + (f"; columns that are not used: {', '.join(facts['unused'])}" if facts["unused"] else "") + "."


def draw_mixture(sizes: Sequence[int], weights: Sequence[float], limit: int, seed: int) -> list[tuple[int, int]]:
    """(source, row) of the mixture, in the order of the sources; no row twice.

    Without weights every row is taken, or with a limit a share of each source by its size.  With weights the mixture is as
    large as it can be before a source runs out.
    """
    shares = [w / sum(weights) for w in weights] if weights else [n / sum(sizes) for n in sizes]
    largest = min(n / share for n, share in zip(sizes, shares, strict=True) if share > 0)
    total = min(largest, limit) if limit else largest
    mixture = []
    for source, (size, share) in enumerate(zip(sizes, shares, strict=True)):
        count = min(size, round(total * share))
        places = random.Random(digest([seed, source])).sample(range(size), count)
        mixture += [(source, row) for row in sorted(places)]
    return mixture
