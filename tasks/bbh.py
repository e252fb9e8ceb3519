"""BIG-Bench Hard: 27 subtasks, answered in steps after three worked examples (Suzgun et al., arXiv 2210.09261)."""

from __future__ import annotations

import importlib.util
import json
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness import data
from harness.config import load_yaml
from harness.data import DataSource, locate, read_text
from harness.types import Example, Json, Metric, Request, Response, Score, SkilldeltaError, Task
from tasks.answer_reading import stated_choice, word_answers
from tasks.answer_reading.stated_number import read_number

SUBTASKS = (
    "boolean_expressions", "causal_judgement", "date_understanding", "disambiguation_qa", "dyck_languages", "formal_fallacies",
    "geometric_shapes", "hyperbaton", "logical_deduction_five_objects", "logical_deduction_seven_objects",
    "logical_deduction_three_objects", "movie_recommendation", "multistep_arithmetic_two", "navigate", "object_counting",
    "penguins_in_a_table", "reasoning_about_colored_objects", "ruin_names", "salient_translation_error_detection", "snarks",
    "sports_understanding", "temporal_sequences", "tracking_shuffled_objects_five_objects",
    "tracking_shuffled_objects_seven_objects", "tracking_shuffled_objects_three_objects", "web_of_lies", "word_sorting",
)  # fmt: skip

# A local folder has the layout of github.com/suzgunmirac/BIG-Bench-Hard.  The Hub has the rows but not the worked examples:
# the lm-eval package has those, as its configuration files hold the same texts.
ROWS = "bbh/bbh/{}.json"
PROMPT = "bbh/cot-prompts/{}.txt"
HUB = "SaylorTwift/bbh"
LM_EVAL = "tasks/bbh/cot_fewshot/{}.yaml"
STEP_SEPARATORS = {"sports_understanding": " "}  # between "step by step." and the steps; elsewhere a new line

STEP_BY_STEP = "A: Let's think step by step."  # zero-shot chain of thought: Kojima et al., arXiv 2205.11916
PREFIX = "A:"  # as in open-instruct's eval/bbh, which the study ran; the worked examples show the model how to go on
# A model without a chat format continues with a next question of its own, which is no part of its answer.
STOP = ("\n\nQ:",)
MARKER = re.compile("the answer is", re.IGNORECASE)
STUDY_MARKER = re.compile(r"[t|T]he answer is ")  # open-instruct's "[t|T]he answer is (.*?)\.", its stray "|" included
INTEGER = re.compile(r"-?\d+")
CANARY_LINES = 2  # the authors' files begin with a warning and a line of dashes, which are no part of the prompt


def rows(folder: Path | None) -> list[Json]:
    return [
        {"subtask": name, "input": row["input"], "target": row["target"]}
        for name in SUBTASKS
        for row in (
            read_subtask(folder, name) if folder else data.rows(DataSource(HUB, "", ("input", "target"), config=name), None)
        )
    ]


def read_subtask(folder: Path, name: str) -> list[Json]:
    """The rows of a subtask's file; SkilldeltaError where it is not JSON with a list \"examples\"."""
    path = locate(ROWS.format(name), folder)
    try:
        return list(json.loads(read_text(path))["examples"])
    except (json.JSONDecodeError, KeyError) as error:
        raise SkilldeltaError(f'{path} is not JSON with a list "examples": {error!r}.  Is the file whole?') from error


def exemplars(folder: Path | None) -> Mapping[str, Sequence[Json]]:
    """The task description and the three worked examples of each subtask, as one text."""
    return {name: ({"prompt": read_prompt(folder, name) if folder else lm_eval_prompt(name)},) for name in SUBTASKS}


def read_prompt(folder: Path, name: str) -> str:
    return "\n".join(read_text(locate(PROMPT.format(name), folder)).split("\n")[CANARY_LINES:]).strip()


def lm_eval_prompt(name: str) -> str:
    """The same text, built from lm-eval's configuration file, which is read and not run."""
    spec = importlib.util.find_spec("lm_eval")
    path = Path((spec.submodule_search_locations or [""])[0] if spec else "") / LM_EVAL.format(name)
    try:
        settings = load_yaml(path)
        shots = [(s["input"], s["target"]) for s in settings["fewshot_config"]["samples"]]
        description = settings["description"]
    except (SkilldeltaError, KeyError) as error:
        raise SkilldeltaError(
            f"The worked examples of {name} are not on the Hub, and the lm-eval package here has none to read ({error}).\n"
            f"Lay {PROMPT.format(name)} of github.com/suzgunmirac/BIG-Bench-Hard below a folder, and name it with --data."
        ) from error
    gap = STEP_SEPARATORS.get(name, "\n")
    return str(description + "\n\n".join(f"Q: {q}\nA: Let's think step by step.{gap}{a}" for q, a in shots)).strip()


def descriptions(folder: Path | None) -> Mapping[str, Sequence[Json]]:
    """The task description of each subtask, which stands before its worked examples."""
    return {name: ({"prompt": prompts[0]["prompt"].split("\n\nQ:", 1)[0]},) for name, prompts in exemplars(folder).items()}


def subtask(example: Example) -> str:
    return str(example.row["subtask"])


def ask(example: Example) -> Request:
    prompt = f"{example.fewshot[0]['prompt']}\n\nQ: {example.row['input']}"
    return Request(prompt, prefix=PREFIX, max_tokens=512, stop=STOP)


def ask_zero_shot(example: Example) -> Request:
    return replace(ask(example), prefix=STEP_BY_STEP)


def extract_answer(text: str) -> str:
    """The rest of the line after the last "the answer is", less a final full stop; without those words, a text of one line."""
    markers = list(MARKER.finditer(text))
    lines = (text[markers[-1].end() :] if markers else text).strip().split("\n")
    return "" if len(lines) > 1 and not markers else lines[0].strip().removesuffix(".")


def score(example: Example, response: Response) -> Score:
    """1 if the response states the target, as a reader takes it: "**(B)** old red barn", "Answer: (B)", "yes, because ...".

    Two stricter readings are metrics.  `authors`: letter by letter, as the authors' own results were scored.
    `study_exact_match`: the text up to the first full stop without case and punctuation, so that ") ]" passes for "} ]".
    """
    target = str(example.row["target"])
    answer, is_right = read_answer(response.text, str(example.row["input"]), target)
    study_answer = find_study_answer(response.text)
    study = strip_punctuation(response.text if study_answer is None else study_answer) == strip_punctuation(target)
    parts = {"study": float(study), "authors": float(extract_answer(response.text) == target)}
    return Score(float(is_right), extracted=answer, parts=parts)


def find_study_answer(text: str) -> str | None:
    """What open-instruct's expression finds, up to the first full stop in the same line; in linear time."""
    for line in text.split("\n"):
        if marker := STUDY_MARKER.search(line):
            answer, stop, _ = line[marker.end() :].partition(".")
            if stop:  # or no later marker of the line has one either
                return answer
    return None


def read_answer(text: str, question: str, target: str) -> tuple[str, bool]:
    """What a response states, in the form that the target has (an option, a number, words); and whether it is the target."""
    if stated_choice.OPTION.fullmatch(target):
        option = stated_choice.read_choice(text, stated_choice.options_of(question))
        return option, option == target
    if INTEGER.fullmatch(target):
        answer = read_number(text)
        number = answer.number if answer.is_stated or "\n" not in text.strip() else None
        return (number.text, number.value == int(target)) if number else ("", False)
    words = word_answers.possible_words(question, target)
    is_bracketed = not any(sign.isalnum() for sign in target)

    def is_answer(statement: str) -> bool:
        if is_bracketed:
            return bool(word_answers.BRACKETS.fullmatch(statement))
        if words in word_answers.OPPOSITES:
            return any(stated_choice.same_words(statement, word) for word in words)
        return word_answers.is_order(statement, words) if words else bool(statement)

    statement = stated_in_words(text, words, is_answer)
    if is_bracketed:
        statement = statement or word_answers.last_brackets(text)
    return statement, stated_choice.same_words(statement, target)


def stated_in_words(text: str, words: tuple[str, ...], is_answer: stated_choice.IsAnswer) -> str:
    """What a response states, where the answer is one of the words, or all of them in an order; (): they are not known."""
    statement = stated_choice.stated_text(text, lambda line: word_answers.find_answer(line, words), is_answer)
    if not words or is_answer(statement) or (statement and "\n" in text.strip()):
        return statement
    return word_answers.final_words(text, words) or statement


def strip_punctuation(text: str) -> str:
    return text.strip().lower().translate(str.maketrans("", "", string.punctuation))


def ideal(example: Example) -> Response:
    return Response(f" Let's think step by step.\nSo the answer is {example.row['target']}.")


FEW_SHOT = Task(
    name="bbh",
    skill="reasoning",
    version=4,
    source="Suzgun et al. 2022, github.com/suzgunmirac/BIG-Bench-Hard; frame: open-instruct eval/bbh, arXiv 2406.09279",
    rows=rows,
    ask=ask,
    score=score,
    ideal=ideal,
    chance=0.257,  # "random" in table 2 of the paper
    fewshot=exemplars,
    group=subtask,
    aggregate="macro",
    metrics=(Metric("study_exact_match", "study"), Metric("authors", "authors")),
    summary="6511 hard BIG-Bench questions in 27 subtasks, 3-shot chain of thought; mean over subtasks",
)
ZERO_SHOT = replace(
    FEW_SHOT,
    name="bbh_zero_shot",
    version=3,
    source="Suzgun et al. 2022; prompt: the authors' description of the subtask, and Kojima et al. 2022",
    ask=ask_zero_shot,
    fewshot=descriptions,
    summary="the same questions, chain of thought without worked examples; mean over subtasks",
)
TASKS = (FEW_SHOT, ZERO_SHOT)
