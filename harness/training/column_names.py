"""What the name of a column says: a label, a note on the answers, or something that the model may have to see."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.training.row_texts import holds_sentence, holds_words

# Parts of the names of columns that say something about a row and are no part of it: labels, which have few words.
LABELS_TEXT = """
id ids uid uuid idx index key hash source sources dataset datasets origin origins provenance split subset country state
category categories subcategory type kind task tasks topic topics domain skill skills tag tags cluster label
labels lang language languages locale model models date time timestamp tstamp created url link license level
difficulty licence version score scores rating ratings rank ranking reward rewards rate quality length tokens
count num turn turns order status author worker
"""
# What somebody noted on the answers.
NOTES_TEXT = """
annotation annotations annotator annotators judge rater raters labelling labeling generator generators
generation generations metadata meta info stats feedback critique principle moderation preference preferences
correct incorrect
"""
# At the end of a column's name they say what it holds: a task_description is text, a prompt_category is none.
HEADS_TEXT = """
instruction instructions prompt prompts question questions query input system description definition
background premise hypothesis dialogue dialog history conversation example examples choices options code
"""
LABEL_NAMES, NOTE_NAMES, HEADS = (frozenset(text.split()) for text in (LABELS_TEXT, NOTES_TEXT, HEADS_TEXT))
# Reasons for a preference.  Next to a single answer they may be a part of it.
REASON_NAMES = frozenset(("rationale", "rationales", "explanation", "reason"))
CONTENT = frozenset(
    ("text", "texts", "document", "documents", "passage", "passages", "content", "body", "article", "step", "steps")
)
TEMPLATE_SETTINGS = "chat_template_kwargs"
PICTURES = frozenset(("image", "images", "audio", "audios", "video", "videos"))


def name_parts(column: str) -> list[str]:
    """The words of a column's name, in lower case: model_A, modelA and model-a are the same."""
    return re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column).lower())


def has_effect(column: str) -> bool:
    """Whether a column moves what the model sees, though it may hold no words: pictures, TRL's settings of the template."""
    return column == TEMPLATE_SETTINGS or not PICTURES.isdisjoint(name_parts(column))


def may_be_content(column: str, value: Any, notes: frozenset[str]) -> bool:
    """Whether a column's value may be something that the model should see: a picture, or words that are no label or note."""
    if isinstance(value, Mapping) and "user-agent" in value:  # WildChat's header of a browser's request
        return False
    parts = name_parts(column)
    may_be_aside = CONTENT.isdisjoint(parts) and parts[-1] not in HEADS
    is_note = may_be_aside and not notes.isdisjoint(parts)
    is_label = may_be_aside and not LABEL_NAMES.isdisjoint(parts) and not holds_sentence(value)
    return has_effect(column) or (not is_note and not is_label and holds_words(value))
