"""What is known of training data before anything is trained on it: duplicates, length bias, overlap with evaluation rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.data import read
from harness.trainers.preferences import Pair, Text
from harness.trainers.sources import Conversation, Prompt
from harness.types import Example, Json, digest

N = 8  # words in an n-gram, and the share of an evaluation text that makes it dirty: as in Tulu 3 (arXiv 2411.15124)
DIRTY = 0.5


def pairs(rows: Sequence[Pair], against: Sequence[str] = ()) -> dict[str, Any]:
    """Duplicates, length bias and labels of preference pairs, and the evaluation rows that they give away."""
    longer = [len(said(p.chosen)) - len(said(p.rejected)) for p in rows]
    prompts = Counter(digest(p.prompt) for p in rows)
    return {
        "pairs": len(rows),
        "prompts": len(prompts),
        "duplicates": duplicates([[p.prompt, p.chosen, p.rejected] for p in rows]),
        "contradictions": contradictions(rows),
        "chosen_longer": round(sum(d > 0 for d in longer) / len(rows), 4),
        "characters_chosen": round(sum(len(said(p.chosen)) for p in rows) / len(rows), 1),
        "characters_rejected": round(sum(len(said(p.rejected)) for p in rows) / len(rows), 1),
        "kinds": dict(sorted(Counter(p.kind or "unlabelled" for p in rows).items())),
        "aspects": dict(sorted(Counter(a for p in rows for a, sign in p.aspects.items() if sign).items())),
        "overlap": overlap([f"{said(p.prompt)}\n{said(p.chosen)}\n{said(p.rejected)}" for p in rows], against),
    }


def conversations(rows: Sequence[Conversation], against: Sequence[str] = ()) -> dict[str, Any]:
    """The same of rows to imitate."""
    texts = [f"{said(r.prompt)}\n{said(r.answer)}" for r in rows]
    return {"rows": len(rows), "duplicates": duplicates(texts), "overlap": overlap(texts, against)}


def prompts(rows: Sequence[Prompt], against: Sequence[str] = ()) -> dict[str, Any]:
    """The same of prompts."""
    texts = [said(r.prompt) for r in rows]
    return {"rows": len(rows), "duplicates": duplicates(texts), "overlap": overlap(texts, against)}


def said(value: Text) -> str:
    """All the words of a text or of messages."""
    return value if isinstance(value, str) else "\n".join(m.content for m in value)


def duplicates(rows: Iterable[object]) -> int:
    """How many rows repeat an earlier one."""
    counts = Counter(digest(r) for r in rows)
    return sum(n - 1 for n in counts.values())


def contradictions(rows: Sequence[Pair]) -> int:
    """How many pairs are there the other way round as well."""
    seen = {digest([p.prompt, p.chosen, p.rejected]) for p in rows}
    return sum(digest([p.prompt, p.rejected, p.chosen]) in seen for p in rows)


def overlap(texts: Sequence[str], files: Sequence[str]) -> dict[str, Any]:
    """For each file of evaluation rows: how many are dirty, and the ids (`Example.id`) that split a score in two parts."""
    if not files:
        return {}
    known = {gram for text in texts for gram in grams(words(text))}
    found = {}
    for file in files:
        rows = read(Path(file))
        dirty = [Example(row).id for row in rows if coverage(row, known) >= DIRTY]
        found[file] = {"rows": len(rows), "dirty": len(dirty), "examples": dirty}
    return found


def words(text: str) -> list[str]:
    """Lower-case words without punctuation."""
    return re.findall(r"\w+", text.lower())


def grams(tokens: Sequence[str]) -> list[int]:
    """Hashes of the n-grams; a shorter text is one gram of its own."""
    if len(tokens) < N:
        return [hash(tuple(tokens))] if len(tokens) > N // 2 else []
    return [hash(tuple(tokens[i : i + N])) for i in range(len(tokens) - N + 1)]


def coverage(row: Json, known: set[int]) -> float:
    """The largest share of words, over the row's texts, that lie in an n-gram of the training data."""
    return max((share(words(v), known) for v in row.values() if isinstance(v, str)), default=0.0)


def share(tokens: Sequence[str], known: set[int]) -> float:
    """The share of words that lie in a known n-gram."""
    found = grams(tokens)
    if not found:
        return 0.0
    covered = set()
    for start, gram in enumerate(found):
        if gram in known:
            covered |= set(range(start, min(start + N, len(tokens))))
    return len(covered) / len(tokens)
