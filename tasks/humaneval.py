"""HumanEval and HumanEval+: Python functions from their docstrings, run in the sandbox against their tests."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from harness.data import Source, rows
from harness.sandbox.extract import STOPS, completed, program
from harness.sandbox.problems import Comparison, Problem, conditions, examiner, told
from harness.sandbox.verdict import Asserts
from harness.types import Example, Json, Metric, Request, Response, Score, Task

COLUMNS = ("task_id", "prompt", "entry_point", "canonical_solution", "test")
PLAIN = Source(hub="openai/openai_humaneval", config="openai_humaneval", local="humaneval/HumanEval.jsonl", columns=COLUMNS)
# The Hub's copy has no inputs apart, only test code; EvalPlus's own file has inputs to compare outputs on.
PLUS = Source(hub="evalplus/humanevalplus", local="humanevalplus/HumanEvalPlus.jsonl", columns=COLUMNS)
ORACLES = {"find_zero": "root"}

CHAT = "Please complete the following Python function.  Answer with the whole function in one code block.\n\n```python\n{}\n```"
# HumanEvalPack's instruction (Muennighoff et al., arXiv 2308.07124) and answer prefix, as open-instruct's eval/codex has them,
# which the study ran with 20 draws at temperature 0.8 and top-p 0.95, and no extraction beyond the stops.
PACK = "Write a Python function `{signature}` to solve the following problem:\n{docstring}"
BEGUN = "Here is the function:\n\n```python\n{}"


def plain_rows(folder: Path | None) -> list[Json]:
    return [{c: row[c] for c in COLUMNS} for row in rows(PLAIN, folder)]


def plus_rows(folder: Path | None) -> list[Json]:
    return [slim(row) for row in rows(PLUS, folder)]


def slim(row: dict[str, Any]) -> Json:
    """A row with its inputs as JSON text, which holds infinities and numbers of any size; from the Hub there are none."""
    kept = {c: row[c] for c in COLUMNS}
    if "plus_input" in row:
        kept["atol"] = float(row["atol"])
        kept |= {name: [json.dumps(one) for one in row[name] or ()] for name in ("base_input", "plus_input")}
    return kept


def ask_chat(example: Example) -> Request:
    return Request(CHAT.format(example.row["prompt"].strip()), max_tokens=1024)


def ask_completion(example: Example) -> Request:
    return Request(example.row["prompt"], max_tokens=512, stop=STOPS, raw=True)


def ask_study(example: Example) -> Request:
    prefix = BEGUN.format(example.row["prompt"])
    return Request(instruction(example), prefix=prefix, max_tokens=512, stop=STOPS, temperature=0.8, top_p=0.95)


def instruction(example: Example) -> str:
    """HumanEvalPack's instruction for a problem: the function's signature and docstring."""
    tree = ast.parse(example.row["prompt"])
    entry = example.row["entry_point"]
    function = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == entry)
    line = example.row["prompt"].split("\n")[function.lineno - 1]
    signature = line.removeprefix("def ").rstrip().removesuffix(":")
    return PACK.format(signature=signature, docstring=ast.get_docstring(function) or "")


def read_chat(example: Example, text: str) -> str:
    """The program in a chat answer; an answer that is only the function's body goes on with the prompt."""
    found = program(text, example.row["entry_point"])
    return completed(example.row["prompt"], found, example.row["entry_point"])


def read_completion(example: Example, text: str) -> str:
    return completed(example.row["prompt"], text, example.row["entry_point"])


def problem(example: Example) -> Problem | Comparison:
    """The sandbox's view of a row: with inputs, outputs are compared; else its test code is run."""
    row, entry = example.row, example.row["entry_point"]
    reference = row["prompt"] + row["canonical_solution"]
    if "plus_input" in row:
        groups = [(kind, [told(json.loads(one)) for one in row[f"{kind}_input"]]) for kind in ("base", "plus")]
        return Comparison(reference, entry, groups, row["atol"], ORACLES.get(entry, ""))
    return Problem(reference, Asserts(f"{row['test']}\ncheck({entry})", (entry,), f"{row['prompt'].rstrip()}\n    pass\n"))


def score(example: Example, response: Response, read: Any) -> Score:
    return examiner().score(example.id, partial(problem, example), read(example, response.text))


def ideal(example: Example) -> Response:
    """The reference solution, as a completion."""
    return Response(example.row["canonical_solution"])


def ideal_chat(example: Example) -> Response:
    return Response(f"```python\n{example.row['prompt']}{example.row['canonical_solution']}\n```")


BASE = Task(
    name="humaneval",
    skill="coding",
    version=1,
    source="Chen et al. 2021, arXiv 2107.03374; tests run as in openai/human-eval",
    rows=plain_rows,
    ask=ask_chat,
    score=partial(score, read=read_chat),
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
    metrics=BY_GROUP,
    summary="HumanEval with 80 times the tests, in chat",
)


def completing(task: Task, summary: str) -> Task:
    """The task for a base model, which goes on with the prompt."""
    read = partial(score, read=read_completion)
    return replace(task, name=f"{task.name}_completion", ask=ask_completion, score=read, ideal=ideal, summary=summary)


TASKS = (
    BASE,
    EVALPLUS,
    completing(BASE, "164 functions, completed by a base model"),
    completing(EVALPLUS, "HumanEval+, completed by a base model"),
    replace(
        EVALPLUS,
        name="humaneval_plus_study",
        source=f"{EVALPLUS.source}; prompt and sampling: open-instruct eval/codex_humaneval at the time of arXiv 2406.09279",
        ask=ask_study,
        score=partial(score, read=read_completion),
        ideal=ideal,
        draws=20,
        pass_at=10,
        metrics=(*BY_GROUP, Metric("pass@1", "pass@1")),
        summary="HumanEval+ as in the study: pass@10 of 20 draws at temperature 0.8, answers begun with the prompt",
    ),
)
