"""Data sets that the folder of test data lacks: invented rows, in the authors' files and with the columns that the Hub has."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import data
from tests.support.hub_data import files_of, one_split, parquet
from tests.support.hub_server import readme

ROWS = Path(__file__).parents[1] / "rows"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class AbsentDataSet:
    """`files`: the authors', by their path below a data folder; `repositories`: the same rows, by data set and file."""

    tasks: tuple[str, ...]
    files: Mapping[str, bytes]
    repositories: Mapping[str, Mapping[str, bytes]]


def invented_rows(file: str, task: str) -> list[dict[str, Any]]:
    return [line["row"] for line in data.read(ROWS / file) if line["task"] == task]


def csv_bytes(rows: Sequence[Row]) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


def json_lines(rows: Sequence[Row]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def strong_reject() -> AbsentDataSet:
    rows = invented_rows("refusal_panel.jsonl", "strong_reject")
    file = [{"category": row["category"], "source": "custom", "forbidden_prompt": row["prompt"]} for row in rows]
    return AbsentDataSet(
        ("strong_reject", "strong_reject_judged"),
        {"strongreject/strongreject_dataset.csv": csv_bytes(file)},
        {"walledai/StrongREJECT": one_split("default", "train", parquet(rows))},
    )


def harmbench() -> AbsentDataSet:
    rows = invented_rows("refusal_panel.jsonl", "harmbench")
    kinds = [("contextual" if row["context"] else "standard", row) for row in rows]
    behaviors = [
        {"Behavior": row["prompt"], "FunctionalCategory": kind, "SemanticCategory": row["category"], "Tags": ""}
        | {"ContextString": row["context"], "BehaviorID": f"behavior_{i}"}
        for i, (kind, row) in enumerate(kinds)
    ]
    lyrics = {**behaviors[0], "FunctionalCategory": "copyright", "ContextString": ""}
    hub = {kind: [row for each, row in kinds if each == kind] for kind in ("standard", "contextual")}
    without_context = [{"prompt": row["prompt"], "category": row["category"]} for row in hub["standard"]]
    configs = {"standard": {"train": parquet(without_context)}, "contextual": {"train": parquet(hub["contextual"])}}
    file = csv_bytes([*reversed(behaviors), lyrics])
    return AbsentDataSet(
        ("harmbench", "harmbench_judged"),
        {"harmbench/harmbench_behaviors_text_all.csv": file},
        {"walledai/HarmBench": files_of(configs)},
    )


def do_not_answer() -> AbsentDataSet:
    rows = [{"id": i} | row for i, row in enumerate(invented_rows("refusal_panel.jsonl", "do_not_answer"))]
    answered = [row | {"GPT4_response": "I cannot help.", "GPT4_harmful": 0, "GPT4_action": 0} for row in rows]
    return AbsentDataSet(
        ("do_not_answer", "do_not_answer_judged"),
        {"do_not_answer/do_not_answer_en.csv": csv_bytes(rows)},
        {"LibrAI/do-not-answer": one_split("default", "train", parquet(answered))},
    )


def bfcl() -> AbsentDataSet:
    """The authors' files hold an object a line, and are called .json; their ids differ between the versions."""
    files, repository = dict[str, bytes](), {"README.md": b""}
    for category in ("simple", "multiple", "parallel", "parallel_multiple"):
        of_category = [row for row in invented_rows("bfcl.jsonl", "bfcl") if row["category"] == category]
        again = [{**row, "messages": [{"role": "user", "content": "Please."}, *row["messages"]]} for row in of_category]
        local_name = "simple_python" if category == "simple" else category
        for names, folder, name in ((files, "bfcl/", f"BFCL_v4_{local_name}"), (repository, "", f"BFCL_v3_{category}")):
            questions, answers = bfcl_lines([*of_category, *again], name)
            names[f"{folder}{name}.json"] = questions
            names[f"{folder}possible_answer/{name}.json"] = answers
    return AbsentDataSet(("bfcl",), files, {"gorilla-llm/Berkeley-Function-Calling-Leaderboard": repository})


def bfcl_lines(rows: Sequence[Row], name: str) -> tuple[bytes, bytes]:
    ids = [f"{name}_{place}" for place in range(len(rows))]
    pairs = list(zip(ids, rows, strict=True))
    questions = [{"id": i, "question": [row["messages"]], "function": row["functions"]} for i, row in pairs]
    return json_lines(questions), json_lines([{"id": i, "ground_truth": row["answers"]} for i, row in pairs])


def math_500() -> AbsentDataSet:
    content = json_lines(invented_rows("math.jsonl", "math"))
    card = readme({"default": {"test": "test.jsonl"}})
    return AbsentDataSet(
        ("math",), {"math/test.jsonl": content}, {"HuggingFaceH4/MATH-500": {"README.md": card, "test.jsonl": content}}
    )


def mmlu_pro() -> AbsentDataSet:
    rows = invented_rows("mmlu_pro.jsonl", "mmlu_pro")
    padded = [row | {"options": row["options"] + ["N/A"] * (10 - len(row["options"]))} for row in rows]
    steps = "A: Let's think step by step. It is so. The answer is ({})."
    worked = [row | {"question_id": 70 + i, "cot_content": steps.format(row["answer"])} for i, row in enumerate(rows)]
    files = {"mmlu_pro/test.jsonl": json_lines(rows), "mmlu_pro/validation.jsonl": json_lines(worked)}
    splits = {"test": parquet(padded), "validation": parquet(worked)}
    return AbsentDataSet(("mmlu_pro", "mmlu_pro_choices"), files, {"TIGER-Lab/MMLU-Pro": files_of({"default": splits})})


def ifbench() -> AbsentDataSet:
    """On the Hub every row names every argument, and numbers are floats."""
    rows = [{**row, "key": str(place)} for place, row in enumerate(invented_rows("ifbench.jsonl", "ifbench"))]
    names = sorted({name for row in rows for kwargs in row["kwargs"] for name in kwargs})
    filled = [
        {**row, "kwargs": [{name: as_float(kwargs.get(name)) for name in names} for kwargs in row["kwargs"]]} for row in rows
    ]
    return AbsentDataSet(
        ("ifbench",),
        {"ifbench/data/IFBench_test.jsonl": json_lines(filled)},
        {"allenai/IFBench_test": one_split("default", "train", parquet(filled))},
    )


def as_float(value: Any) -> Any:
    return float(value) if isinstance(value, int) else value


def mgsm() -> AbsentDataSet:
    """The authors' exemplars are Python code; the Hub has them as a split."""
    languages = ("bn", "de", "en", "es", "fr", "ja", "ru", "sw", "te", "th", "zh")
    files, configs, shots = dict[str, bytes](), dict[str, dict[str, bytes]](), dict[str, dict[str, dict[str, str]]]()
    for language in languages:
        (row,) = invented_rows("mgsm.jsonl", f"mgsm_{language}")
        problems = [(f"{row['question']} ({i})", row["answer"] + i) for i in range(2)]
        files[f"mgsm/mgsm_{language}.tsv"] = "".join(f"{q}\t{a:,}\n" for q, a in problems).encode()
        shots[language] = {"1": {"q": f"Question ({language}): 1 + 2 = ?", "a": f"Answer ({language}): The answer is 3."}}
        test = [{"question": q, "answer": None, "answer_number": a, "equation_solution": None} for q, a in problems]
        shot = {"question": shots[language]["1"]["q"], "answer": shots[language]["1"]["a"]}
        train = [shot | {"answer_number": 3, "equation_solution": "1 + 2 = 3."}]
        configs[language] = {split: parquet(rows, [*train, *test]) for split, rows in (("test", test), ("train", train))}
    files["mgsm/exemplars.py"] = f"import os\n\nNUMBERS = [3]\nMGSM_EXEMPLARS = {shots!r}\n".encode()
    tasks = ("mgsm", *(f"mgsm_{language}" for language in languages))
    return AbsentDataSet(tasks, files, {"juletxara/mgsm": files_of(configs)})


def arena_hard() -> AbsentDataSet:
    """The Hub has the layout of version 2, and the authors' files another one."""
    questions, answers = list[Row](), list[Row]()
    hub_questions, hub_answers = list[Row](), list[Row]()
    for row in invented_rows("arena_hard.jsonl", "arena_hard"):
        key, text, reference = f"q{row['index']}", row["instruction"], row["reference"]
        questions.append({"question_id": key, "cluster": row["cluster"], "turns": [{"content": text}]})
        answers.append({"question_id": key, "choices": [{"turns": [{"content": reference, "token_len": 3}]}]})
        hub_questions.append({"uid": key, "category": "arena-hard-v0.1", "cluster": row["cluster"], "prompt": text})
        messages = [{"role": "user", "content": text}, {"role": "assistant", "content": {"answer": reference}}]
        hub_answers.append({"uid": key, "model": "gpt-4-0314", "messages": messages})
    names = ("question.jsonl", "model_answer/gpt-4-0314.jsonl")
    files = dict(zip((f"arena_hard/{name}" for name in names), map(json_lines, (questions, answers)), strict=True))
    hub_names = (f"data/arena-hard-v0.1/{name}" for name in names)
    repository = dict(zip(hub_names, map(json_lines, (hub_questions, hub_answers)), strict=True))
    return AbsentDataSet(("arena_hard",), files, {"lmarena-ai/arena-hard-auto": {"README.md": b""} | repository})


def mt_bench() -> AbsentDataSet:
    """First turns; the second needs recorded answers, which the Hub does not have."""
    rows = invented_rows("mt_bench.jsonl", "mt_bench")
    turns = [[*row["turns"], "And again?"] for row in rows]
    numbers = [81 + place for place in range(len(rows))]
    questions = [
        {"question_id": n, "category": row["category"], "turns": t} for n, row, t in zip(numbers, rows, turns, strict=True)
    ]
    pairs = [[row["reference"], "Again."] if row["reference"] else [] for row in rows]
    references = [{"question_id": n, "choices": [{"turns": pair}]} for n, pair in zip(numbers, pairs, strict=True) if pair]
    references = references or [{"question_id": 0, "choices": [{"turns": ["No question's.", ""]}]}]
    hub = [
        {"prompt_id": q["question_id"], "category": q["category"], "prompt": q["turns"], "reference": pair}
        for q, pair in zip(questions, pairs, strict=True)
    ]
    like = [*hub, {**hub[0], "reference": ["a text"]}]
    files = {"question.jsonl": json_lines(questions), "reference_answer/gpt-4.jsonl": json_lines(references)}
    return AbsentDataSet(
        ("mt_bench",),
        {f"mt_bench/{name}": content for name, content in files.items()},
        {"HuggingFaceH4/mt_bench_prompts": one_split("default", "train", parquet(hub, like))},
    )


def summarization() -> AbsentDataSet:
    rows = invented_rows("summarization.jsonl", "summarization")
    pairs = [{"prompt": f"{row['post']}\n\nTL;DR:", "completion": f" {row['reference']}"} for row in rows]
    files = {"tldr/test.jsonl": json_lines(pairs)}
    return AbsentDataSet(("summarization",), files, {"trl-lib/tldr": one_split("default", "test", parquet(pairs))})


def data_sets() -> list[AbsentDataSet]:
    return [strong_reject(), harmbench(), do_not_answer(), bfcl(), ifbench(), math_500(), mmlu_pro(), mgsm(), *judged_data()]


def judged_data() -> list[AbsentDataSet]:
    return [arena_hard(), mt_bench(), summarization()]


def write_files(folder: Path) -> Path:
    """The authors' files of every data set, below a folder."""
    for data_set in data_sets():
        for path, content in data_set.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
    return folder


def absent_repositories() -> dict[str, Mapping[str, bytes]]:
    return {name: files for data_set in data_sets() for name, files in data_set.repositories.items()}


def absent_tasks() -> set[str]:
    return {task for data_set in data_sets() for task in data_set.tasks}
