"""What the names of tasks and of metrics tell: a well-known task's skill, and which metrics are no scores of 0 to 1."""

from __future__ import annotations

import re

# The beginnings of names, as harnesses write them (in small letters, with _ for all that is no letter or digit).
SKILLS = {
    "mmlu": "factuality",
    "gsm8k": "reasoning",
    "gsm_8k": "reasoning",
    "bbh": "reasoning",
    "big_bench_hard": "reasoning",
    "bigbench_hard": "reasoning",
    "truthfulqa": "truthfulness",
    "truthful_qa": "truthfulness",
    "toxigen": "safety",
    "xstest": "safety",
    "ifeval": "instruction following",
    "alpaca_eval": "instruction following",
    "humaneval": "coding",
    "human_eval": "coding",
    "mbpp": "coding",
}
# Means of other things than a score of 0 to 1: percentages, differences, lengths of text, ratios without bound.
OTHER_SCALES = re.compile(
    r"bleu(?!_acc)|rouge.*_(max|avg|diff)|chrf|^ter$|perplexity|bits_per|_diff|difference|^wer$|likelihood"
)


def skill(task: str) -> str:
    """The skill of a well-known task; "" for another."""
    plain = re.sub(r"[^a-z0-9]+", "_", task.lower())
    return next((skill for start, skill in SKILLS.items() if plain.startswith(start)), "")
