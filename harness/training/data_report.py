"""A report on training data before training: duplicates, length bias, contamination with evaluation rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from harness.training.contamination import find_contamination
from harness.training.conversations import Conversation, PolicyPrompt
from harness.training.messages import Text
from harness.training.settings import TrainerSettings
from harness.types import digest

if TYPE_CHECKING:
    from harness.training.preferences import Pair


def report_pairs(rows: Sequence[Pair], config: TrainerSettings) -> dict[str, Any]:
    """Duplicates, length bias and labels of preference pairs, and the evaluation rows that they contain."""
    longer = [len(plain_text(p.chosen)) - len(plain_text(p.rejected)) for p in rows]
    prompts = Counter(digest(p.prompt) for p in rows)
    digests = {digest([p.prompt, p.chosen, p.rejected]) for p in rows}
    texts = [f"{plain_text(p.prompt)}\n{plain_text(p.chosen)}\n{plain_text(p.rejected)}" for p in rows]
    return {
        "pairs": len(rows),
        "prompts": len(prompts),
        "duplicates": count_duplicates([[p.prompt, p.chosen, p.rejected] for p in rows]),
        "contradictions": sum(
            digest([p.prompt, p.rejected, p.chosen]) in digests for p in rows
        ),  # the reverse is there as well
        "chosen_longer": round(sum(d > 0 for d in longer) / len(rows), 4),
        "characters_chosen": round(sum(len(plain_text(p.chosen)) for p in rows) / len(rows), 1),
        "characters_rejected": round(sum(len(plain_text(p.rejected)) for p in rows) / len(rows), 1),
        "kinds": dict(sorted(Counter(p.kind or "unlabelled" for p in rows).items())),
        "aspects": dict(sorted(Counter(a for p in rows for a, sign in p.aspects.items() if sign).items())),
        "overlap": find_contamination(texts, config.overlap_with, config.overlap_share),
    }


def report_rows(rows: Sequence[Conversation | PolicyPrompt], config: TrainerSettings) -> dict[str, Any]:
    """Duplicates and contamination of rows to imitate, or of policy prompts."""
    answers = [f"\n{plain_text(r.answer)}" if isinstance(r, Conversation) else "" for r in rows]
    texts = [plain_text(r.prompt) + answer for r, answer in zip(rows, answers, strict=True)]
    contamination = find_contamination(texts, config.overlap_with, config.overlap_share)
    return {"rows": len(texts), "duplicates": count_duplicates(texts), "overlap": contamination}


def plain_text(value: Text) -> str:
    """All the words of a text or of messages."""
    return value if isinstance(value, str) else "\n".join(m.content for m in value)


def count_duplicates(rows: Iterable[object]) -> int:
    """The number of rows that repeat an earlier one."""
    counts = Counter(digest(r) for r in rows)
    return sum(n - 1 for n in counts.values())
