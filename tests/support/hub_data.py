"""The benchmarks' rows in the columns, configs and splits that their data sets on the Hub have."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness import data
from tasks import bbh, mmlu, toxigen, truthfulqa, truthfulqa_generation
from tests.support.hub_server import readme


def parquet(rows: Iterable[Any], typed_like: Iterable[Any] | None = None) -> bytes:
    """The rows as a parquet file, with the types of columns that other rows show too (an empty list has none)."""
    import pyarrow
    from pyarrow import parquet as format_

    stream = io.BytesIO()
    schema = None if typed_like is None else pyarrow.Table.from_pylist([dict(row) for row in typed_like]).schema
    format_.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows], schema=schema), stream)
    return stream.getvalue()


def read_file(folder: Path, name: str) -> list[dict[str, Any]]:
    return data.read(data.locate(name, folder))


def repositories(folder: Path) -> dict[str, dict[str, bytes]]:
    """Every data set that a task reads from the Hub by default."""
    mbpp = read_file(folder, "mbpp/mbpp.jsonl")
    mbpp_splits = {"prompt": (0, 10), "test": (10, 510), "validation": (510, 600), "train": (600, 974)}
    xstest = data.read_text(data.locate("xstest/xstest_prompts.csv", folder)).encode()
    ifeval = "".join(json.dumps(row) + "\n" for row in read_file(folder, "ifeval/input_data.jsonl")).encode()
    references = {
        "alpaca_eval.json": "alpaca_eval/reference_outputs/text_davinci_003.json",
        "alpaca_eval_gpt4_baseline.json": "alpaca_eval/reference_outputs/gpt4_1106_preview.json",
    }
    subtasks = {name: parquet(bbh.read_subtask(folder, name)) for name in bbh.SUBTASKS}
    groups = [f"hate_{group}_1k" for group in toxigen.GROUPS]
    toxic = {g: parquet(read_file(folder, f"toxigen/prompts/{g}.txt")) for g in groups}
    truth = [
        {"question": row["question"]} | {k: truthfulqa.split_targets(row[k]) for k in ("mc1_targets", "mc2_targets")}
        for row in read_file(folder, "truthfulqa/v0/mc_task.json")
    ]
    written = [
        {"question": row["question"], "best_answer": row["best"], "correct_answers": row["correct"]}
        for row in truthfulqa_generation.rows(folder)
    ]
    questions = {split: parquet(mmlu.read_split(folder, split)) for split in ("test", "dev")}
    return {
        "openai/gsm8k": one_split("main", "test", parquet(read_file(folder, "gsm8k/test.jsonl"))),
        "openai/openai_humaneval": one_split(
            "openai_humaneval", "test", parquet(read_file(folder, "humaneval/HumanEval.jsonl"))
        ),
        "evalplus/humanevalplus": one_split(
            "default", "test", parquet(read_file(folder, "humanevalplus/HumanEvalPlus-OriginFmt.jsonl"))
        ),
        "evalplus/mbppplus": one_split("default", "test", parquet(read_file(folder, "mbppplus/MbppPlus-OriginFmt.jsonl"))),
        "google-research-datasets/mbpp": files_of(
            {"full": {split: parquet(mbpp[start:end], mbpp) for split, (start, end) in mbpp_splits.items()}}
        ),
        "cais/mmlu": files_of({"all": questions}),
        "SaylorTwift/bbh": files_of({name: {"test": content} for name, content in subtasks.items()}),
        "truthfulqa/truthful_qa": files_of(
            {name: {"validation": parquet(rows)} for name, rows in (("multiple_choice", truth), ("generation", written))}
        ),
        "toxigen/toxigen-data": files_of({"prompts": toxic}),
        "Paul/XSTest": {"README.md": readme({"default": {"train": "xstest_prompts.csv"}}), "xstest_prompts.csv": xstest},
        "google/IFEval": {"README.md": b"---\nlicense: apache-2.0\n---\n", "ifeval_input_data.jsonl": ifeval},
        "tatsu-lab/alpaca_eval": {"README.md": b""}
        | {name: data.read_text(data.locate(path, folder)).encode() for name, path in references.items()},
    }


def one_split(config: str, split: str, content: bytes) -> dict[str, bytes]:
    return files_of({config: {split: content}})


def files_of(configs: dict[str, dict[str, bytes]]) -> dict[str, bytes]:
    """CONFIG/SPLIT-00000-of-00001.parquet, with the card that names them."""
    paths = {c: {split: f"{c}/{split}-00000-of-00001.parquet" for split in splits} for c, splits in configs.items()}
    files = {paths[c][split]: content for c, splits in configs.items() for split, content in splits.items()}
    return {"README.md": readme(paths), **files}
