"""BIG-Bench Hard: 27 subtasks, answered in steps after three worked examples (Suzgun et al., arXiv 2210.09261)."""

from __future__ import annotations

import importlib.util
import json
import re
import string
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.config import load_yaml
from harness.data import Source, locate, rows, text
from harness.types import Example, Json, Metric, Request, Response, Score, SkilldeltaError, Task

SUBTASKS = (
    "boolean_expressions", "causal_judgement", "date_understanding", "disambiguation_qa", "dyck_languages", "formal_fallacies",
    "geometric_shapes", "hyperbaton", "logical_deduction_five_objects", "logical_deduction_seven_objects",
    "logical_deduction_three_objects", "movie_recommendation", "multistep_arithmetic_two", "navigate", "object_counting",
    "penguins_in_a_table", "reasoning_about_colored_objects", "ruin_names", "salient_translation_error_detection", "snarks",
    "sports_understanding", "temporal_sequences", "tracking_shuffled_objects_five_objects",
    "tracking_shuffled_objects_seven_objects", "tracking_shuffled_objects_three_objects", "web_of_lies", "word_sorting",
)  # fmt: skip

# Locally in the layout of github.com/suzgunmirac/BIG-Bench-Hard.  The Hub has the rows but not the worked examples: those
# are then read from the lm-eval package, whose configuration files hold the same texts.
ROWS = "bbh/bbh/{}.json"
PROMPT = "bbh/cot-prompts/{}.txt"
HUB = "SaylorTwift/bbh"
LM_EVAL = "tasks/bbh/cot_fewshot/{}.yaml"
AFTER_A = {"sports_understanding": " "}  # what stands between "step by step." and the steps; elsewhere a new line

PREFIX = "A:"  # as in open-instruct's eval/bbh, which the study ran; the worked examples show the model how to go on
MARKER = re.compile("the answer is", re.IGNORECASE)
STUDY = re.compile(r"[t|T]he answer is (.*?)\.")  # open-instruct's expression, its stray "|" included
CANARY_LINES = 2  # the authors' files begin with a warning and a rule, which are no part of the prompt


def test_rows(folder: Path | None) -> list[Json]:
    return [
        {"subtask": name, "input": row["input"], "target": row["target"]}
        for name in SUBTASKS
        for row in (local_rows(folder, name) if folder else rows(Source(HUB, "", ("input", "target"), config=name), None))
    ]


def local_rows(folder: Path, name: str) -> list[Json]:
    path = locate(ROWS.format(name), folder)
    try:
        return list(json.loads(text(path))["examples"])
    except (json.JSONDecodeError, KeyError) as error:
        raise SkilldeltaError(f'{path} is not JSON with a list "examples": {error!r}.  Is the file whole?') from error


def prompts(folder: Path | None) -> Mapping[str, Sequence[Json]]:
    """The task description and the three worked examples of each subtask, as one text."""
    read = (lambda name: local_prompt(folder, name)) if folder else lm_eval_prompt
    return {name: ({"prompt": read(name)},) for name in SUBTASKS}


def local_prompt(folder: Path, name: str) -> str:
    return "\n".join(text(locate(PROMPT.format(name), folder)).split("\n")[CANARY_LINES:]).strip()


def lm_eval_prompt(name: str) -> str:
    """The same text, put together from lm-eval's configuration file (read, not imported)."""
    spec = importlib.util.find_spec("lm_eval")
    path = Path((spec.submodule_search_locations or [""])[0] if spec else "") / LM_EVAL.format(name)
    try:
        known = load_yaml(path)
        shots = [(s["input"], s["target"]) for s in known["fewshot_config"]["samples"]]
        description = known["description"]
    except (SkilldeltaError, KeyError) as error:
        raise SkilldeltaError(
            f"The worked examples of {name} are not on the Hub, and the lm-eval package here has none to read ({error}).\n"
            f"Lay {PROMPT.format(name)} of github.com/suzgunmirac/BIG-Bench-Hard below a folder, and name it with --data."
        ) from error
    gap = AFTER_A.get(name, "\n")
    return str(description + "\n\n".join(f"Q: {q}\nA: Let's think step by step.{gap}{a}" for q, a in shots)).strip()


def subtask(example: Example) -> str:
    return str(example.row["subtask"])


def ask(example: Example) -> Request:
    prompt = f"{example.shots[0]['prompt']}\n\nQ: {example.row['input']}"
    # A model without a chat format goes on to write the next question: nothing after that is its answer.
    return Request(prompt, prefix=PREFIX, max_tokens=512, stop=("\n\nQ:",))


def answer(said: str) -> str:
    """What follows the last "the answer is" on its line, less a final full stop; without those words, a text of one line."""
    found = list(MARKER.finditer(said))
    lines = (said[found[-1].end() :] if found else said).strip().split("\n")
    return "" if len(lines) > 1 and not found else lines[0].strip().removesuffix(".")


def score(example: Example, response: Response) -> Score:
    """1 if the answer is the target, letter by letter, as the authors' own results were scored.

    The study took the text up to the first full stop and ignored case and punctuation, so that ") ]" passes for "} ]";
    its figure is kept beside, as `study`.
    """
    said = answer(response.text)
    found = STUDY.search(response.text)
    study = plain(found[1] if found else response.text) == plain(example.row["target"])
    return Score(float(said == example.row["target"]), extracted=said, parts={"study": float(study)})


def plain(words: str) -> str:
    return words.strip().lower().translate(str.maketrans("", "", string.punctuation))


def ideal(example: Example) -> Response:
    return Response(f" Let's think step by step.\nSo the answer is {example.row['target']}.")


TASKS = (
    Task(
        name="bbh",
        skill="reasoning",
        version=1,
        source="Suzgun et al. 2022, github.com/suzgunmirac/BIG-Bench-Hard; frame: open-instruct eval/bbh, arXiv 2406.09279",
        rows=test_rows,
        ask=ask,
        score=score,
        ideal=ideal,
        chance=0.257,  # "random" in table 2 of the paper
        shots=prompts,
        group=subtask,
        aggregate="macro",
        metrics=(Metric("study_exact_match", "study"),),
        summary="6511 hard BIG-Bench questions in 27 subtasks, 3-shot chain of thought; mean over subtasks",
    ),
)
