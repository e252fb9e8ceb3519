"""Short real texts that share a beginning, as few-shot prompts do: what a model is tried on before it is asked anything."""

from __future__ import annotations

from typing import Any

STEM = "Question: What is the capital of France?\nAnswer: The capital of France is Paris.\n\nQuestion: "
ENDINGS = (
    "What do bees make?\nAnswer: Bees make honey from the nectar of flowers.",
    "What do bees need?\nAnswer: Bees need flowers, water and a safe place to live.",
    "What is 12 times 3?\nAnswer: 12 times 3 is 36, because 10 times 3 is 30 and 2 times 3 is 6.",
    "Where do penguins live?\nAnswer: Most penguins live in the southern half of the world.",
)


def encode_sample_texts(tokenizer: Any, most: int) -> list[list[int]]:
    """The texts' token ids, the first `most` of each."""
    return [list(tokenizer.encode(STEM + ending))[:most] for ending in ENDINGS]
