"""What is known of training data before anything is trained on it: duplicates, length bias, overlap with evaluation rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from harness.training.contamination import overlap
from harness.training.datasets import Conversation, Prompt
from harness.training.preferences import Pair, Text
from harness.types import digest

Against = tuple[Sequence[str], float]  # tasks, suites or files of evaluation rows; the share of a question that gives it away


def pairs(rows: Sequence[Pair], against: Against = ((), 0.5)) -> dict[str, Any]:
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
        "overlap": overlap([f"{said(p.prompt)}\n{said(p.chosen)}\n{said(p.rejected)}" for p in rows], *against),
    }


def conversations(rows: Sequence[Conversation], against: Against = ((), 0.5)) -> dict[str, Any]:
    """The same of rows to imitate."""
    texts = [f"{said(r.prompt)}\n{said(r.answer)}" for r in rows]
    return {"rows": len(rows), "duplicates": duplicates(texts), "overlap": overlap(texts, *against)}


def prompts(rows: Sequence[Prompt], against: Against = ((), 0.5)) -> dict[str, Any]:
    """The same of prompts."""
    texts = [said(r.prompt) for r in rows]
    return {"rows": len(rows), "duplicates": duplicates(texts), "overlap": overlap(texts, *against)}


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
