"""MBPP and MBPP+: short Python functions from a sentence and an example, run in the sandbox against their tests."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from harness import data
from harness.data import DataSource
from harness.sandbox.evalplus_tests import call_groups, json_inputs, read_inputs
from harness.sandbox.extract import complete_function, cut_at_stop, extract_program
from harness.sandbox.problems import ComparisonProblem, Problem, conditions, examiner
from harness.sandbox.verdict import Asserts
from harness.types import Example, Json, Metric, Request, Response, SandboxOptions, Score, Task
from tasks.answer_reading.run_on import cut_behind_function

PLAIN = DataSource(
    hub="google-research-datasets/mbpp",
    config="full",
    split="prompt+test+validation+train",  # in the order of the authors' file, which is that of the problems' numbers
    local="mbpp/mbpp.jsonl",
    columns=("task_id", "text", "code", "test_list"),
)
PLUS_COLUMNS = ("task_id", "prompt", "entry_point", "canonical_solution", "assertion", "base_input", "plus_input", "atol")
PLUS = DataSource(hub="", local="mbppplus/MbppPlus.jsonl", columns=PLUS_COLUMNS)
HUB_PLUS = DataSource(
    hub="evalplus/mbppplus", local="mbppplus/MbppPlus-OriginFmt.jsonl", columns=("task_id", "prompt", "code", "test")
)

CHAT = "{}\n\nAnswer with one Python code block.  It should pass this test:\n\n{}"
# Few words, one test, and the fence that ends the answer: open-instruct's eval/mbpp, which the study ran.
STUDY_PROMPT = "Complete the following python function.\n\n\n{}{}"
STUDY_PREFIX = "Here is the completed function:\n\n\n```python\n"
FENCE = ("```",)

SAME_SET = (
    "similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum", "intersection_array",
    "find_dissimilar", "Diff",
)  # fmt: skip
ORACLES = dict.fromkeys(SAME_SET, "same set") | {
    **dict.fromkeys(("check_str", "text_match_three", "text_starta_endb"), "found or not"),
    "are_equivalent": "anything",
    "sum_div": "or zero",
    "surface_Area": "surface",
    "digit_distance_nums": "digits",
}

# JSON has no tuples, sets and complex numbers.  These conversions restore them, by problem (evalplus 0.3.1, data/mbpp.py).
Convert = Callable[[list[Any]], list[Any]]


def inner_tuples(argument: Any) -> list[Any]:
    """A list's items as tuples."""
    return [tuple(item) for item in argument]


def deep_tuples(value: Any) -> Any:
    """Lists at any depth as tuples."""
    return tuple(deep_tuples(item) for item in value) if isinstance(value, list) else value


CONVERSIONS: tuple[tuple[str, Convert], ...] = (
    ("2 116 132 143 222 261 273 394 399 421 424 429 470 560 579 596 616 630 726 740 744 809", lambda a: [tuple(x) for x in a]),
    ("63 64 70 94 120 237 272 299 400 409 417 438 473 614 780", lambda a: [inner_tuples(x) for x in a]),
    ("75 413 444 753", lambda a: [inner_tuples(a[0]), a[1]]),
    ("106 750", lambda a: [a[0], tuple(a[1])]),
    ("115", lambda a: [[set(x) if isinstance(x, list) and x else {} for x in a[0]]]),
    ("124", lambda a: [float(a[0]), complex(a[1])]),
    ("250 405 446 617 720 763 808", lambda a: [tuple(a[0]), a[1]]),
    ("259 401 445", lambda a: [tuple(inner_tuples(x)) for x in a]),
    ("278", lambda a: [tuple(tuple(x) if isinstance(x, list) else x for x in a[0])]),
    ("307", lambda a: [tuple(a[0]), a[1], a[2]]),
    ("722", lambda a: [{k: tuple(v) for k, v in a[0].items()}, *a[1:]]),
    ("252", lambda a: [complex(a[0])]),
    ("580 615 791", lambda a: [deep_tuples(x) for x in a]),
)
CONVERSION = {f"Mbpp/{number}": convert for numbers, convert in CONVERSIONS for number in numbers.split()}


def rows(folder: Path | None) -> list[Json]:
    names = ("task_id", "text", "code", "test_list")
    return [
        {n: row[n] for n in names} | {"test_setup_code": row.get("test_setup_code", "")} for row in data.rows(PLAIN, folder)
    ]


def plus_rows(folder: Path | None) -> list[Json]:
    if folder is None:  # the Hub's copy has the inputs in its test code
        return [hub_row(row) for row in data.rows(HUB_PLUS, None)]
    return [text_row(row) for row in data.rows(PLUS, folder)]


def hub_row(row: dict[str, Any]) -> Json:
    """A row of the Hub with its inputs as Python source."""
    inputs, atol = read_inputs(row["test"], f"MBPP/{row['task_id']}")
    columns = {n: row[n] for n in HUB_PLUS.columns if n != "test"}
    return columns | {"test_list": list(row.get("test_list") or ()), "inputs": inputs, "atol": atol}


def text_row(row: dict[str, Any]) -> Json:
    """The row with its inputs as JSON text, which holds infinities and numbers of any size."""
    return {n: row[n] for n in PLUS_COLUMNS} | json_inputs(row) | {"atol": float(row["atol"])}


def top_level_names(code: str) -> tuple[str, ...]:
    """The functions and classes that a program defines at its margin."""
    return tuple(re.findall(r"^(?:def|class)\s+(\w+)", code, re.MULTILINE))


def top_level_imports(code: str) -> str:
    """A program's imports at its margin, whose names the tests use."""
    return "\n".join(re.findall(r"^(?:import|from)\s.*", code, re.MULTILINE))


def reference_solution(example: Example) -> str:
    return str(example.row.get("code") or example.row["canonical_solution"])


def entry_point(example: Example) -> str:
    """The function to write: the one that the tests call."""
    if "entry_point" in example.row:
        return str(example.row["entry_point"])
    tests = "\n".join(example.row["test_list"])
    names = top_level_names(reference_solution(example))
    return next((name for name in reversed(names) if f"{name}(" in tests), names[-1])


def statement_and_test(example: Example) -> tuple[str, str]:
    """The problem in words, and one test."""
    row = example.row
    if "entry_point" in row:  # the prompt is a docstring of both
        words, _, test = row["prompt"].strip().strip('"').strip().partition("\nassert")
        return words.strip(), f"assert{test}".strip()
    return str(row.get("text") or row["prompt"]), str(row["test_list"][0]) if row["test_list"] else ""


def ask_chat(example: Example) -> Request:
    return Request(CHAT.format(*statement_and_test(example)), max_tokens=1024)


def ask_study(example: Example) -> Request:
    signature = reference_solution(example).split(":")[0]
    prompt = STUDY_PROMPT.format(statement_and_test(example)[0], signature)
    return Request(prompt, prefix=STUDY_PREFIX, max_tokens=512, stop=FENCE, temperature=0.8)


def read_chat(example: Example, text: str) -> str:
    """The program in an answer, with the classes that the tests use."""
    entry = entry_point(example)
    return extract_program(cut_behind_function(text, entry), entry, *top_level_names(reference_solution(example)))


def read_study(example: Example, text: str) -> str:
    """The answer up to the fence that ends it; where it continues the signature, the signature and the answer."""
    code = cut_at_stop(text, FENCE)
    signature = reference_solution(example).split(":")[0]
    return code if code and not code[:1].isspace() else complete_function(f"{signature}:\n", code, entry_point(example))


def build_problem(example: Example) -> Problem | ComparisonProblem:
    """The row for the sandbox: to compare outputs where it has inputs, else to run its tests."""
    row = example.row
    if groups := call_groups(row, CONVERSION.get(str(row["task_id"]), list)):
        return compare_outputs(example, groups)
    code = reference_solution(example)
    tests = "\n".join([row["test_setup_code"], *row["test_list"]])
    return Problem(code, Asserts(tests, top_level_names(code), top_level_imports(code)))


def compare_outputs(example: Example, groups: list[tuple[str, list[str]]]) -> ComparisonProblem:
    """A problem whose outputs are compared with the reference's, with EvalPlus's exceptions."""
    name = entry_point(example)
    oracle = ORACLES.get(name, "")
    reference = reference_solution(example) + (NOT_NONE.format(name) if oracle == "found or not" else "")
    return ComparisonProblem(reference, name, groups, example.row["atol"], oracle)


# These references return match objects, which JSON cannot hold: only their presence counts.
NOT_NONE = "\n_found = {0}\ndef {0}(*arguments):\n    return _found(*arguments) is not None\n"


def execute(options: SandboxOptions, example: Example, response: Response, read: Callable[[Example, str], str]) -> Score:
    """1 if the program that `read` finds in the response passes every test in a sandbox of these options."""
    return examiner(options).score(example.id, partial(build_problem, example), read(example, response.text))


def score(example: Example, response: Response, read: Callable[[Example, str], str]) -> Score:
    return execute(SandboxOptions(), example, response, read)


def ideal(example: Example) -> Response:
    return Response(f"```python\n{reference_solution(example)}\n```")


def ideal_study(example: Example) -> Response:
    return Response(f"{reference_solution(example)}\n```")


BASE = Task(
    name="mbpp",
    skill="coding",
    version=4,
    source="Austin et al. 2021, arXiv 2108.07732",
    rows=rows,
    ask=ask_chat,
    score=partial(score, read=read_chat),
    execute=partial(execute, read=read_chat),
    ideal=ideal,
    conditions=conditions,
    concurrent=True,
    summary="974 short functions from a sentence and a test, in chat",
)
EVALPLUS = replace(
    BASE,
    name="mbpp_plus",
    source="Liu et al. 2023, arXiv 2305.01210; outputs compared as in evalplus 0.3.1",
    rows=plus_rows,
    metrics=(Metric("base tests", "base"),),
    summary="378 checked problems of MBPP with 35 times the tests, in chat",
)

TASKS = (
    BASE,
    EVALPLUS,
    replace(
        EVALPLUS,
        name="mbpp_plus_study",
        source=f"{EVALPLUS.source}; prompt and sampling: open-instruct eval/mbpp at the time of arXiv 2406.09279",
        ask=ask_study,
        score=partial(score, read=read_study),
        execute=partial(execute, read=read_study),
        ideal=ideal_study,
        draws=20,
        pass_at=10,
        metrics=(*EVALPLUS.metrics, Metric("pass@1", "pass@1")),
        summary="MBPP+ as in the study: pass@10 of 20 draws at temperature 0.8, answers begun with a fence",
    ),
)
