"""A text classifier with two labels, one of them bad (toxic, refusal): `classifier:MODEL[,bad=LABEL]`, LABEL by name or number.

It reads a response without its prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.file_hashes import content_identity
from harness.grading.criteria import CRITERIA, compares_answers
from harness.grading.questions import Grade, JudgeQuestion
from harness.integrity import DAMAGED, find_problem
from harness.name_value_pairs import parse_pairs
from harness.types import SkilldeltaError
from harness.visible_text import first_line, printable, replace_surrogates

BATCH = 32  # texts at once
FIRST_POSITION = 2  # RoBERTa counts positions from here, so that its window is so much shorter than its table
NO_PAIRS = "a classifier reads one answer alone, and cannot tell which of two is better"
BAD = "1"  # the label that is bad where nothing else is said


@dataclass(frozen=True)
class ClassifierJudge:
    """A sequence-classification model of transformers; `bad` is the place of its bad label."""

    model: Any
    tokenizer: Any
    bad: int = 1

    def grade(self, prompt: str, response: str, reference: str) -> float:
        """The probability of the good label."""
        return self.good_probabilities([response])[0]

    def grade_all(self, questions: Sequence[JudgeQuestion]) -> list[Grade]:
        """A grade for each response, classified in batches of like length."""
        order = sorted(range(len(questions)), key=lambda place: len(questions[place].response))
        values: dict[int, float] = {}
        size = BATCH if self.can_pad else 1
        for start in range(0, len(order), size):
            places = order[start : start + size]
            values |= zip(places, self.good_probabilities([questions[p].response for p in places]), strict=True)
        return [
            Grade(None, why=NO_PAIRS)
            if compares_answers(question.criterion, question.reference)
            else Grade(values[place], option_name(question, values[place]))
            for place, question in enumerate(questions)
        ]

    @property
    def can_pad(self) -> bool:
        """Whether texts of several lengths can be classified at once."""
        return self.tokenizer.pad_token is not None and self.model.config.pad_token_id is not None

    def good_probabilities(self, texts: Sequence[str]) -> list[float]:
        """The probability of the good label of each text.  What is longer than the window is cut, as in the study."""
        import torch

        options: dict[str, Any] = {"truncation": True, "padding": len(texts) > 1, "return_tensors": "pt"}
        inputs = self.tokenizer([replace_surrogates(text) for text in texts], **options).to(self.model.device)
        with torch.inference_mode():
            logits = self.model(**inputs).logits.double()  # [texts, labels]
        return [1.0 - p for p in torch.softmax(logits, dim=-1)[:, self.bad].tolist()]


def option_name(question: JudgeQuestion, value: float) -> str:
    """What the criterion calls the likelier label; "" without a criterion."""
    criterion = CRITERIA.get(question.criterion)
    return criterion.options[0 if value >= 0.5 else 1].name if criterion else ""


def parse_classifier(where: str) -> tuple[str, str]:
    """(model, bad label) of "MODEL,bad=LABEL".  SkilldeltaError for other settings."""
    model, _, pairs = where.partition(",")
    values = parse_pairs(pairs)
    bad = values.pop("bad", BAD)
    if values:
        raise SkilldeltaError(f"classifier:{where}: its only setting is bad=LABEL, not {', '.join(values)}.")
    return model, bad


def identity(where: str) -> str:
    """The model's content, and its bad label where that is another than usual.

    Damaged weights are not read, as they could be a terabyte without content: load() refuses them.
    """
    model, bad = parse_classifier(where)
    is_damaged = Path(model).is_dir() and find_problem(Path(model))
    return (DAMAGED if is_damaged else content_identity(model)) + (f",bad={bad}" if bad != BAD else "")


def load_parts(name: str) -> tuple[Any, Any, Any]:
    """Model, tokenizer, and transformers' report on the weights."""
    import transformers

    from harness.loading.settings import LoadSettings
    from harness.loading.silence import silent_transformers
    from harness.loading.tokenizer import require_bounded
    from harness.loading.whole_model import read_config

    try:
        config = read_config(name, LoadSettings(head="classifier"))
        with silent_transformers():
            model, report = transformers.AutoModelForSequenceClassification.from_pretrained(
                name, config=config, weights_only=True, output_loading_info=True
            )
        tokenizer = transformers.AutoTokenizer.from_pretrained(name)
        require_bounded(tokenizer, name)
        return model, tokenizer, report
    except Exception as error:  # transformers checks few settings, and raises what Python does with a damaged one
        reason = first_line(error) if isinstance(error, SkilldeltaError) else f"{type(error).__name__}: {first_line(error)}"
        raise SkilldeltaError(f"The classifier {printable(repr(name))} cannot be loaded: {reason}") from error


def load(where: str) -> ClassifierJudge:
    """The classifier in a folder, or on the Hub."""
    from harness.engine.device_names import default_device
    from harness.loading.reports import first_names

    name, bad = parse_classifier(where)
    model, tokenizer, report = load_parts(name)
    if random := sorted([*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])]):
        raise SkilldeltaError(
            f"The classifier {name!r} lacks {len(random)} of its weights ({first_names(random)}): they would be random, and so "
            "would the grades.  A language model is no classifier: llm:NAME asks one as a judge."
        )
    if (count := model.config.num_labels) != 2:
        raise SkilldeltaError(f"The classifier {name!r} has {count} labels; a good and a bad one are needed.")
    labels = {str(label).lower(): int(place) for place, label in model.config.id2label.items()}
    if (place := labels.get(bad.lower(), int(bad) if bad in ("0", "1") else None)) is None:
        raise SkilldeltaError(f"The classifier {name!r} has no label {bad!r}; it has {', '.join(labels)}.")
    positions = getattr(model.config, "max_position_embeddings", 0)
    if positions and tokenizer.model_max_length > positions:  # a tokenizer that does not say where to cut
        tokenizer.model_max_length = positions - FIRST_POSITION
    return ClassifierJudge(model.to(default_device()).eval(), tokenizer, place)
