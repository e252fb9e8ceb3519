"""The card next to a reward model's weights, which says how its outputs become one reward."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path

from harness.bounded_files import read_json
from harness.typed_fields import check_fields
from harness.types import SkilldeltaError
from harness.visible_text import printable

CARD = "reward.json"


@dataclass(frozen=True)
class RewardCard:
    """The reward is (heads . combine - mean) / sd; without `combine`, of the heads' mean."""

    heads: tuple[str, ...] = ()  # none: as config.json names them
    combine: tuple[float, ...] = ()
    mean: float = 0.0
    sd: float = 1.0
    ends: tuple[int, ...] = ()  # ids that ended the answers of its training, besides the tokenizer's end
    conversations: bool | None = None  # whether it was trained on conversations, or on plain texts; None: nobody says


def read_card(folder: str) -> RewardCard | None:
    """The card of a reward model's folder; None where it has none.

    SkilldeltaError for a damaged one: without it, or with other numbers, the same answers would have other rewards.
    """
    file = Path(folder) / CARD
    if not os.path.lexists(file):
        return None
    try:
        content = read_json(file)
        names = {field.name for field in fields(RewardCard)}
        card = RewardCard(**check_fields(RewardCard, {name: content[name] for name in names & content.keys()}))
    except SkilldeltaError as error:
        reason = str(error)
    else:
        reason = find_card_fault(card)
    if not reason:
        return card
    where_from = "Copy it anew from where the reward model comes from, or train it again."
    raise SkilldeltaError(f"{file} is damaged: {printable(reason.rstrip('.'))}.\n{where_from}")


def find_card_fault(card: RewardCard) -> str:
    """What no card says; "" where nothing is wrong."""
    if len(set(card.heads)) < len(card.heads):
        return "it names a head twice"
    if card.combine and card.heads and len(card.combine) != len(card.heads):
        return f"combine has {len(card.combine)} weights for {len(card.heads)} heads"
    return "" if card.sd > 0 else f"sd is {card.sd}, and no deviation is 0 or less"
