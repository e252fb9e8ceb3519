"""What the names of tasks and of metrics tell: a well-known task's skill, and which metrics are no scores of 0 to 1."""

from __future__ import annotations

import re
from collections.abc import Mapping

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
# Their data sets on the Hub, by the same beginnings; the first that fits counts.
HUB_DATASETS = {
    "mmlu_pro": "TIGER-Lab/MMLU-Pro",
    "mmlu": "cais/mmlu",
    "gsm8k": "openai/gsm8k",
    "bbh": "SaylorTwift/bbh",
    "truthfulqa": "truthfulqa/truthful_qa",
    "toxigen": "toxigen/toxigen-data",
    "xstest": "Paul/XSTest",
    "ifeval": "google/IFEval",
    "alpaca_eval": "tatsu-lab/alpaca_eval",
    "humaneval_plus": "evalplus/humanevalplus",
    "humaneval": "openai/openai_humaneval",
    "mbpp_plus": "evalplus/mbppplus",
    "mbpp": "google-research-datasets/mbpp",
}
# Means of other things than a score of 0 to 1: percentages, differences, lengths of text, ratios without bound.
OTHER_SCALES = re.compile(
    r"bleu(?!_acc)|rouge.*_(max|avg|diff)|chrf|^ter$|perplexity|bits_per|_diff|difference|^wer$|likelihood"
)


def find_skill(task: str) -> str:
    """The skill of a well-known task; "" for another."""
    return match_beginning(task, SKILLS)


def find_hub_dataset(task: str) -> str:
    """The data set on the Hub of a well-known task; "" for another."""
    return match_beginning(task, HUB_DATASETS)


def match_beginning(task: str, by_beginning: Mapping[str, str]) -> str:
    plain_name = re.sub(r"[^a-z0-9]+", "_", task.lower())
    return next((value for start, value in by_beginning.items() if plain_name.startswith(start)), "")
