"""Training data: files read, rows kept or counted with the reason, several sources mixed by weight."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from harness.data import Source, hub_rows, read
from harness.training import preferences
from harness.training.preferences import Pair, Reading, Text, UnusableRowError, text, user
from harness.training.settings import Settings
from harness.types import Json, Message, SkilldeltaError, digest

T = TypeVar("T")


@dataclass(frozen=True)
class Conversation:
    """A row to imitate: with an answer, the prompt is masked; without one (`text` rows), all of it is learnt."""

    prompt: Text
    answer: Text
    source: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Prompt:
    """A row for the policy to answer."""

    prompt: Text
    source: str = ""
    kind: str = ""


@dataclass
class Loaded(Generic[T]):
    """What was read: the kept rows, and for run.json what became of every source."""

    rows: list[T]
    report: list[dict[str, Any]] = field(default_factory=list)


def pairs(config: Settings) -> Loaded[Pair]:
    """Preference pairs of all sources."""
    return load(config, preferences.pair)


def conversations(config: Settings) -> Loaded[Conversation]:
    """Rows for supervised fine-tuning: text; messages; or prompt and completion."""
    return load(config, conversation)


def prompts(config: Settings) -> Loaded[Prompt]:
    """Prompts for rollouts, of any set: prompt, messages, instruction or question."""
    return load(config, prompt)


def divided(
    config: Settings, read_all: Callable[[Settings], Loaded[T]], prompt_of: Callable[[T], object]
) -> tuple[Loaded[T], list[T]]:
    """(rows to learn from, held-out rows): from files of their own, or by the hash of the prompt.

    A prompt is never on both sides: where eval_data repeats one, it is not learnt from.
    """
    found = read_all(config)
    if config.eval_data:
        unseen = read_all(replace(config, data=config.eval_data, weights=(), kinds=(), limit=0)).rows
        held = {digest(prompt_of(row)) for row in unseen}
        kept = [row for row in found.rows if digest(prompt_of(row)) not in held]
    else:
        out = [int(digest(prompt_of(row), 8), 16) < config.holdout * 16**8 for row in found.rows]
        kept = [row for row, o in zip(found.rows, out, strict=True) if not o]
        unseen = [row for row, o in zip(found.rows, out, strict=True) if o]
    if not kept:
        raise SkilldeltaError(f"Of {len(found.rows)} rows all are held out: nothing is left to train on.")
    return Loaded(kept, found.report), unseen


def load(config: Settings, reader: Callable[[Json, Reading], T]) -> Loaded[T]:
    """Every source of the mix through `reader`, then mixed by weight."""
    if not config.data:
        raise SkilldeltaError("There is no data to train on: name files with --data (.jsonl, .json, .csv, each also .gz).")
    for name, given in (("weights", config.weights), ("kinds", config.kinds)):
        if given and len(given) != len(config.data):
            raise SkilldeltaError(
                f"--{name} has {len(given)} entries for {len(config.data)} sources of data: give one for each."
            )
    parts, report = [], []
    for i, name in enumerate(config.data):
        how = Reading(config.rate, config.seed, name, config.kinds[i] if config.kinds else "")
        found, facts = one(name, how, reader)
        parts.append(found)
        report.append(facts)
    chosen = mixed([len(p) for p in parts], config.weights, config.limit, config.seed)
    used = Counter(source for source, _ in chosen)
    for i, facts in enumerate(report):
        facts["used"] = used[i]
    return Loaded([parts[source][place] for source, place in chosen], report)


def one(name: str, how: Reading, reader: Callable[[Json, Reading], T]) -> tuple[list[T], dict[str, Any]]:
    """The rows of one source, and what is told of it: hash, kind, kept, skipped by reason."""
    raw, sha = raw_rows(name)
    kept, skipped = [], Counter[str]()
    for row in raw:
        try:
            kept.append(reader(row, how))
        except UnusableRowError as reason:
            skipped[str(reason)] += 1
    if not kept:
        why = ", ".join(f"{n} x {reason}" for reason, n in skipped.items()) or "it is empty"
        raise SkilldeltaError(f"{name} holds no row to train on: {why}.")
    facts = {"source": name, "sha256": sha, "kind": how.kind, "rows": len(kept), "skipped": dict(sorted(skipped.items()))}
    return kept, facts


def raw_rows(name: str) -> tuple[Sequence[Json], str]:
    """The rows of a file, or of `hub:NAME` or `hub:NAME:SPLIT`, with a hash of their content."""
    if name.startswith("hub:"):
        hub, _, split = name.removeprefix("hub:").partition(":")
        rows = list(hub_rows(Source(hub, "", (), split=split or "train")))
        return rows, digest(rows, 64)
    path = Path(name)
    if not path.is_file():
        raise SkilldeltaError(f"There is no data file {name}.  Rows of the Hub are named hub:NAME or hub:NAME:SPLIT.")
    return read(path), hashlib.sha256(path.read_bytes()).hexdigest()


def mixed(sizes: Sequence[int], weights: Sequence[float], limit: int, seed: int) -> list[tuple[int, int]]:
    """(source, row) of the mixture, in the order of the sources: shares as the weights say, no row twice.

    Without weights everything is taken (or, with a limit, a share of each by its size).  With weights the mixture is as
    large as it can be before a source runs out.
    """
    shares = [w / sum(weights) for w in weights] if weights else [n / sum(sizes) for n in sizes]
    most = min(n / share for n, share in zip(sizes, shares, strict=True) if share > 0)
    total = min(most, limit) if limit else most
    chosen = []
    for source, (size, share) in enumerate(zip(sizes, shares, strict=True)):
        count = min(size, round(total * share))
        drawn = random.Random(digest([seed, source])).sample(range(size), count)
        chosen += [(source, row) for row in sorted(drawn)]
    return chosen


def conversation(row: Json, how: Reading) -> Conversation:
    """A row to imitate.  `messages`: everything up to the last user turn is the prompt."""
    if "messages" in row:
        turns = text(row["messages"])
        if isinstance(turns, str) or not turns or turns[-1].role != "assistant":
            raise UnusableRowError("messages do not end with the assistant")
        return Conversation(turns[:-1], preferences.filled(turns[-1:], "assistant's"), how.source, how.kind)
    if "completion" in row:
        said = preferences.answer(row["completion"], "completion")
        return Conversation(text(row.get("prompt") or ""), said, how.source, how.kind)
    if "text" in row:
        return Conversation("", preferences.answer(row["text"], "text"), how.source, how.kind)
    raise SkilldeltaError(
        f"A row of {how.source} has the columns {', '.join(row)}, which is no known format to imitate.  "
        "Known are: messages; prompt and completion; text."
    )


def prompt(row: Json, how: Reading) -> Prompt:
    """A prompt: text of a `question` or an `instruction` is a user turn; `prompt` and `messages` are taken as they are."""
    for column in ("question", "instruction"):
        if column in row and "prompt" not in row:
            return Prompt(user(preferences.answer(row[column], column)), how.source, how.kind)
    found = text(row.get("prompt") or row.get("messages") or "")
    turns: tuple[Message, ...] = () if isinstance(found, str) else found
    if turns and turns[-1].role == "assistant":
        found = turns[:-1]
    if not found:
        raise UnusableRowError("no prompt")
    return Prompt(found, how.source, how.kind)
