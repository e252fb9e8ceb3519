"""Makes lm-eval logs: a real run of a tiny model, or files as it writes them from values that a test chooses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

DATE = "2026-01-02T03-04-05.000006"
CHOICES = ["one town", "two", "the third", "four"]


def rows(folder: Path, name: str, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in found))
    return {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(path)}}, "test_split": "test"}


def mean(*metrics: str) -> list[dict[str, Any]]:
    return [{"metric": m, "aggregation": "mean", "higher_is_better": True} for m in metrics]


def regex(name: str, pattern: str, which: int = 0) -> dict[str, Any]:
    return {
        "name": name,
        "filter": [{"function": "regex", "regex_pattern": pattern, "group_select": which}, {"function": "take_first"}],
    }


def tasks(folder: Path) -> Path:
    """Two filters; a group weighted by size; a group whose members count alike; a perplexity."""
    folder.mkdir()

    def task(name: str, **settings: Any) -> None:
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"task": name, "metadata": {"version": 3}, **settings}))

    asked = [{"question": f"Name a vowel like the {i}th letter.", "answer": "aeiou"[i % 5]} for i in range(12)]
    task(
        "vowels", **rows(folder, "vowels", asked), output_type="generate_until", doc_to_text="Q: {{question}}\nA:",
        doc_to_target="{{answer}}", generation_kwargs={"until": ["\n\n"], "do_sample": False, "max_gen_toks": 16},
        filter_list=[regex("strict-match", "([aeiou])\\W"), regex("flexible-extract", "([aeiou])", -1)],
        metric_list=[*mean("exact_match"), {"metric": "bleu"}],
    )  # fmt: skip
    for part, n in (("north", 7), ("south", 4)):
        found = [{"question": f"The capital of {part} {i}?", "choices": CHOICES, "label": i % 4} for i in range(n)]
        task(
            f"capitals_{part}", **rows(folder, part, found), output_type="multiple_choice", doc_to_target="label",
            doc_to_text="Question: {{question}}\nAnswer:", doc_to_choice="choices", fewshot_split="test", num_fewshot=1,
            metric_list=mean("acc", "acc_norm"),
        )  # fmt: skip
        task(f"myths_{part}", include=f"capitals_{part}.yaml", doc_to_text="{{question}} ", num_fewshot=0)
    for group, weighted in (("capitals", True), ("myths", False)):
        metrics = [{"metric": m, "aggregation": "mean", "weight_by_size": weighted} for m in ("acc", "acc_norm")]
        about = {"group": group, "task": [f"{group}_north", f"{group}_south"], "aggregate_metric_list": metrics}
        (folder / f"_{group}.yaml").write_text(yaml.safe_dump({**about, "metadata": {"version": 1}}))
    task(
        "text", **rows(folder, "text", [{"text": "A short line."}, {"text": "Another one."}]), doc_to_text="",
        output_type="loglikelihood_rolling", doc_to_target="{{text}}", metric_list=[{"metric": "word_perplexity"}],
    )  # fmt: skip
    return folder


def run(model: Path, include: Path, output: Path) -> Path:
    """lm-eval's own run of its hf backend, logged by its own tracker, as `lm_eval run --log_samples` does."""
    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    tracker = EvaluationTracker(output_path=str(output))
    found = simple_evaluate(
        "hf", model_args={"pretrained": str(model), "dtype": "float32"}, device="cpu", batch_size=4, bootstrap_iters=0,
        tasks=["vowels", "capitals", "myths", "text"], evaluation_tracker=tracker, log_samples=True,
        task_manager=TaskManager(include_path=str(include), include_defaults=False),
    )  # fmt: skip
    samples = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=samples)
    for name in found["configs"]:
        tracker.save_results_samples(task_name=name, samples=samples[name])
    return output


def line(place: int, values: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A line of samples_*.jsonl."""
    asked = {"gen_args_0": {"arg_0": f"Q: {place}?\nA:", "arg_1": {"until": ["\n"], "temperature": 0.0}}}
    return {
        "doc_id": place, "doc": {"question": f"{place}?"}, "target": "1", "arguments": asked, "resps": [["so 1"]],
        "filtered_resps": ["1"], "filter": "none", "metrics": list(values), "doc_hash": f"d{place}", "prompt_hash": f"p{place}",
        "target_hash": "t", **values, **more,
    }  # fmt: skip


def write(folder: Path, task: str, lines: Sequence[Mapping[str, Any]], metrics: Mapping[str, float], **more: Any) -> Path:
    """The files of a run with one task, whose results are `metrics`."""
    folder.mkdir(parents=True, exist_ok=True)
    count = len({one["doc_id"] for one in lines})
    results = {
        "results": {task: {"name": task, "alias": task, "sample_len": count, **metrics}}, "group_subtasks": {task: []},
        "configs": {task: {"task": task, "metric_list": mean(*dict.fromkeys(k.partition(",")[0] for k in metrics))}},
        "versions": {task: 1.0}, "n-shot": {task: 5}, "higher_is_better": {task: {}},
        "n-samples": {task: {"original": count, "effective": count}}, "model_name": f"org/{folder.name}",
        "config": {"model": "hf", "model_args": {"pretrained": f"org/{folder.name}"}, "model_dtype": "torch.bfloat16"},
        "lm_eval_version": "0.4.13", "transformers_version": "5", "chat_template_sha": None, "max_length": 2048,
        "system_instruction_sha": None, "fewshot_as_multiturn": False, **more,
    }  # fmt: skip
    (folder / f"results_{DATE}.json").write_text(json.dumps(results))
    (folder / f"samples_{task}_{DATE}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    return folder
