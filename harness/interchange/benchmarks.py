"""What the names of tasks and of metrics tell: a well-known task's skill, and which metrics are no scores of 0 to 1."""

from __future__ import annotations

import re

# The beginnings of names, as harnesses write them (in small letters, with _ for all that is no letter or digit).
SKILLS = {
    "factuality": ("mmlu",),
    "reasoning": ("gsm8k", "gsm_8k", "bbh", "big_bench_hard", "bigbench_hard"),
    "truthfulness": ("truthfulqa", "truthful_qa"),
    "safety": ("toxigen", "xstest"),
    "instruction following": ("ifeval", "alpaca_eval"),
    "coding": ("humaneval", "human_eval", "mbpp"),
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
    return next((skill for skill, beginnings in SKILLS.items() if plain_name(task).startswith(beginnings)), "")


def find_hub_dataset(task: str) -> str:
    """The data set on the Hub of a well-known task; "" for another."""
    return next((dataset for start, dataset in HUB_DATASETS.items() if plain_name(task).startswith(start)), "")


def plain_name(task: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", task.lower())
