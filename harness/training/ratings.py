"""Several rated completions of one prompt (UltraFeedback's rows): what a rating is, and which two completions make a pair."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from harness.json_values import storable
from harness.training.messages import UnusableRowError
from harness.training.parse_settings import ParseSettings
from harness.types import Json, SkilldeltaError, digest


def draw_rated_pair(row: Json, completions: Sequence[Json] | None, settings: ParseSettings) -> tuple[Json, Json, float]:
    """(the best completion, a lower one that (seed, row) draws, the difference of their ratings)."""
    if not isinstance(completions, Sequence) or not all(isinstance(c, Mapping) for c in completions):
        raise SkilldeltaError(
            f"The completions of {settings.source or 'the data'} carry no ratings: they are mappings of a response and its "
            "ratings.  Steps with labels (stepwise supervision) train process reward models, which are not made here."
        )
    ratings = [(deciding_rating(c, settings.rate), c) for c in completions]
    candidates = [(r, c) for r, c in ratings if r is not None]
    if len(candidates) < 2:
        raise UnusableRowError(f"fewer than two completions with the rating {settings.rate!r}")
    best = max(r for r, _ in candidates)
    lower = [(r, c) for r, c in candidates if r < best]
    if not lower:
        raise UnusableRowError("tied ratings")
    generator = random.Random(digest(storable([settings.seed, dict(row)])))
    better = generator.choice([c for r, c in candidates if r == best])
    rating, worse = generator.choice(lower)
    return better, worse, best - rating


def aspect_ratings(completion: Json) -> dict[str, float]:
    """Rating by aspect: {"ratings": {aspect: number}}, or UltraFeedback's {"annotations": {aspect: {"Rating": "4"}}}."""
    values = completion.get("ratings")
    if values is None:
        annotations = completion.get("annotations")
        notes = annotations.items() if isinstance(annotations, Mapping) else ()
        values = {a: note.get("Rating") for a, note in notes if isinstance(note, Mapping)}
    numbers = {a: parse_rating(value) for a, value in values.items()} if isinstance(values, Mapping) else {}
    return {a: number for a, number in numbers.items() if number is not None}


def deciding_rating(completion: Json, rate: str) -> float | None:
    """The overall score, the mean over the aspects, or one aspect; None where a completion lacks it."""
    if rate == "overall":
        return parse_rating(completion.get("overall_score", completion.get("overall")))
    ratings = aspect_ratings(completion)
    if rate == "mean":
        return sum(ratings.values()) / len(ratings) if ratings else None
    return ratings.get(rate)


def parse_rating(value: Any) -> float | None:
    """A rating as a finite number; None for "N/A", NaN and the like."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
