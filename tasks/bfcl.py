"""Function calls of the Berkeley Function Calling Leaderboard, compared as syntax trees, without running them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness import data
from harness.data import DataSource
from harness.types import Example, Json, Message, Metric, Request, Response, Score, SkilldeltaError, Task
from tasks.tool_calls.matching import OPTIONAL, TYPES, explain_mismatch
from tasks.tool_calls.parsing import MAX_CHARACTERS, NoCallsError, parse_python_calls, read_calls

HUB = "gorilla-llm/Berkeley-Function-Calling-Leaderboard"
# By category the name of its file on the Hub (version 3) and in the authors' repository (version 4, bfcl_eval/data).
CATEGORIES = {
    "simple": ("simple", "simple_python"),
    "multiple": ("multiple", "multiple"),
    "parallel": ("parallel", "parallel"),
    "parallel_multiple": ("parallel_multiple", "parallel_multiple"),
}
INSTRUCTION = """\
You can call these functions. A JSON list describes them:

{functions}

Reply to the request with the function calls that it needs, and with nothing else: a list in Python's syntax with named \
arguments, such as [name(parameter=value), other_name(parameter=value, other_parameter=value)].

"""


def rows(folder: Path | None) -> list[Json]:
    """{category, messages, functions, answers}; the id is left out, because it changes with the version of the data."""
    return [row for category, names in CATEGORIES.items() for row in read_category(folder, category, names)]


def read_category(folder: Path | None, category: str, names: tuple[str, str]) -> Iterator[Json]:
    hub_name, local_name = names
    files = {
        part: (f"{part}BFCL_v3_{hub_name}.json", f"bfcl/{part}BFCL_v4_{local_name}.json") for part in ("", "possible_answer/")
    }
    columns = {"": ("id", "question", "function"), "possible_answer/": ("id", "ground_truth")}
    questions, answers = (
        data.rows(DataSource(HUB, local, columns[part], file=hub), folder) for part, (hub, local) in files.items()
    )
    answer_by_id = {row["id"]: row["ground_truth"] for row in answers}
    for row in questions:
        if row["id"] not in answer_by_id:
            raise SkilldeltaError(f"BFCL's {category} has no answer to {row['id']!r}: are both files of the same version?")
        if len(row["question"]) != 1:
            raise SkilldeltaError(f"BFCL row {row['id']}: {len(row['question'])} turns, where {category} has one.")
        check_types(row["function"], row["id"])
        yield {
            "category": category,
            "messages": row["question"][0],
            "functions": row["function"],
            "answers": answer_by_id[row["id"]],
        }


def check_types(functions: Sequence[Json], name: str) -> None:
    """SkilldeltaError for a documented type without a rule."""
    for function in functions:
        for parameter, schema in function["parameters"]["properties"].items():
            if schema["type"] not in TYPES or schema.get("items", {}).get("type", "any") not in TYPES:
                raise SkilldeltaError(f"BFCL row {name}: the parameter {parameter!r} has a type that no rule knows: {schema}.")


def ask(example: Example) -> Request:
    """The conversation, with the functions and the instruction before the first user turn, and a system message inside it.

    Some chat templates know no system message.
    """
    messages = [Message(m["role"], m["content"]) for m in example.row["messages"]]
    system = "".join(f"{m.content}\n\n" for m in messages if m.role == "system")
    turns = [m for m in messages if m.role != "system"]
    functions = json.dumps(example.row["functions"], ensure_ascii=False)
    first = Message("user", INSTRUCTION.format(functions=functions) + system + turns[0].content)
    return Request((first, *turns[1:]), max_tokens=1024)


def score(example: Example, response: Response) -> Score:
    """1 for exactly the right calls with allowed arguments, in any order."""
    official = official_reason(example, response.text)
    parts = {"readable": 0.0, "names_right": 0.0, "official": float(official == "")}
    try:
        calls = read_calls(response.text)
    except NoCallsError as error:
        return Score(0.0, extracted=f"no calls: {error}", parts=parts)
    names = sorted(name for answer in example.row["answers"] for name in answer)
    parts |= {"readable": 1.0, "names_right": float(sorted(call.name for call in calls) == names)}
    reason = explain_mismatch(example.row["functions"], example.row["answers"], calls)
    return Score(float(not reason), extracted=reason or "the right calls", parts=parts)


def official_reason(example: Example, text: str) -> str:
    """Why the leaderboard's scorer finds the response wrong: it reads Python's syntax alone, with nothing around it."""
    stripped = text.strip("`\n ")
    if len(stripped) > MAX_CHARACTERS:
        return "too long"
    listed = f"{'' if stripped.startswith('[') else '['}{stripped}{'' if stripped.endswith(']') else ']'}"
    try:
        calls = parse_python_calls(listed)
    except NoCallsError as error:
        return str(error)
    return explain_mismatch(example.row["functions"], example.row["answers"], calls)


def ideal(example: Example) -> Response:
    """The calls with the first allowed value of every parameter that must be there."""
    required = {function["name"]: function["parameters"]["required"] for function in example.row["functions"]}
    calls = []
    for answer in example.row["answers"]:
        [(name, allowed)] = answer.items()
        needed = [p for p, values in allowed.items() if OPTIONAL not in values or p in required[name]]
        arguments = (f"{p}={first_choice(next((v for v in allowed[p] if v != OPTIONAL), OPTIONAL))!r}" for p in needed)
        calls.append(f"{name}({', '.join(arguments)})")
    return Response(f"[{', '.join(calls)}]")


def first_choice(value: Any) -> Any:
    """A value as a call would hold it: of an object's fields, which have lists of allowed values, the first of each."""
    if isinstance(value, dict):
        return {field: first_choice(options[0]) for field, options in value.items() if OPTIONAL not in options}
    return [first_choice(item) for item in value] if isinstance(value, list) else value


TASKS = (
    Task(
        name="bfcl",
        skill="tool use",
        version=3,
        source="ShishirPatil/gorilla, BFCL's non-live Python categories, AST evaluation; prompt and reading of calls are ours",
        rows=rows,
        ask=ask,
        score=score,
        ideal=ideal,
        group=lambda example: str(example.row["category"]),
        aggregate="macro",
        metrics=(
            Metric("official", part="official"),
            Metric("names_right", part="names_right"),
            Metric(
                "readable", part="readable", warn_below=0.5, warning="of the responses hold function calls; read some others"
            ),
        ),
        summary="1000 requests for one or several function calls, 4 categories; calls compared as syntax trees, nothing is run",
    ),
)
