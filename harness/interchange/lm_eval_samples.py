"""lm-eval's samples_TASK_*.jsonl: a line {doc_id, doc, arguments, resps, filtered_resps, filter} for each document and filter.

All filters of a document see the same `resps`, which the model gave; `filtered_resps` are lm-eval's reading of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from harness.interchange.imported_log import UNKNOWN
from harness.interchange.metric_tables import LoggedDocument, LoggedTask, MetricTable
from harness.interchange.recorded_answers import parse_answers
from harness.interchange.recorded_outputs import IDS, PROMPTS, RecordedOutput, first_text
from harness.interchange.untrusted_files import require_field, shorten
from harness.json_values import storable
from harness.types import Json, Response, SkilldeltaError, digest

FIELDS = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics",
          "doc_hash", "prompt_hash", "target_hash"}  # fmt: skip


def parse_outputs(row: Json) -> Iterator[RecordedOutput]:
    """One output with a log-probability for each choice, or one for each text that was generated."""
    doc = row["doc"] if isinstance(row["doc"], dict) else {"question": row["doc"]}
    example: dict[str, Any] = {"row": doc, "id": first_text(doc, IDS), "prompt": first_text(doc, PROMPTS)}
    likelihoods = [parse_likelihood(responses[0]) if responses else None for responses in row["resps"]]
    arguments = list_arguments(row.get("arguments") or ())
    if likelihoods and all(likelihoods):
        logprobs, greedy = zip(*(pair for pair in likelihoods if pair), strict=True)
        choices = tuple(str(values[1]) for values in arguments)
        yield RecordedOutput(Response(logprobs=logprobs, greedy=greedy), choices=choices, **example)
        return
    prompt = str(arguments[0][0]) if arguments and arguments[0] else ""
    for responses in row["resps"]:
        for text in responses:
            for response in parse_answers(text, {}, prompt):
                yield RecordedOutput(response, **example)


def list_arguments(requests: Any) -> list[list[Any]]:
    """The arguments of each request: lists, or objects {arg_0, arg_1}, by the version that wrote them."""
    values = requests.values() if isinstance(requests, Mapping) else requests
    return [list(one.values()) if isinstance(one, Mapping) else list(one) for one in values]


def parse_likelihood(response: Any) -> tuple[float, bool] | None:
    """A log-likelihood and whether greedy decoding agrees; older versions wrote both as text.  None for a generated text."""
    if isinstance(response, (list, tuple)) and len(response) == 2:
        return float(response[0]), str(response[1]) == "True"
    return None


def read_task(name: str, where: str, rows: Iterable[tuple[int, Json]], results: Json) -> LoggedTask:
    """The samples of one file, as (line, row), under every filter; as many as the results file says.

    `where`: the file, in messages.
    """
    by_filter: dict[str, list[LoggedDocument]] = {}
    counts: Counter[tuple[str | None, int]] = Counter()
    filters = list_filters(name, results)
    for number, row in rows:
        document = parse_document(row, f"{where}, line {number}")
        key = row.get("filter"), document.place
        filter_name = str(row.get("filter") or "".join(filters[counts[key] : counts[key] + 1]))
        counts[key] += 1
        if not filter_name or ("filter" in row and counts[key] > 1):
            under = f" under {filter_name}" if filter_name else f", and the results name no filter but {', '.join(filters)}"
            raise SkilldeltaError(f"{where} has document {document.place} {counts[key]} times{under}")
        by_filter.setdefault(filter_name, []).append(document)
    size = ((results.get("n-samples") or {}).get(name) or {}).get("effective")
    for filter_name, documents in by_filter.items():
        if isinstance(size, int) and len(documents) != size:
            raise SkilldeltaError(f"{where} holds {len(documents)} of {size} samples under {filter_name}: is it whole?")
    if not by_filter:
        raise SkilldeltaError(f"{where} is empty: was the run interrupted, or the file not downloaded?")
    tables = (make_metric_table(name, filter_name, documents, results) for filter_name, documents in by_filter.items())
    return LoggedTask(name, tuple(tables))


def list_filters(task: str, results: Json) -> list[str]:
    """The task's filters in their order: lm-eval before 0.4.9 logged a document once under each, without its name."""
    filters = [
        str(each.get("name")) for each in task_settings(task, results).get("filter_list") or () if isinstance(each, dict)
    ]
    return filters or ["none"]


def task_settings(task: str, results: Json) -> Json:
    """The log's configuration of a task."""
    settings = (results.get("configs") or {}).get(task) or {}
    return settings if isinstance(settings, dict) else {}


def make_metric_table(task: str, filter_name: str, documents: list[LoggedDocument], results: Json) -> MetricTable:
    """The documents under one filter.  What a metric is comes from the task's configuration, as far as that tells it."""
    metrics = [m for m in task_settings(task, results).get("metric_list") or () if isinstance(m, dict) and m.get("metric")]
    higher_is_better = {str(m["metric"]): m.get("higher_is_better") for m in metrics}
    higher_is_better |= (results.get("higher_is_better") or {}).get(task) or {}
    figures = (results.get("results") or {}).get(task) or {}
    lower = frozenset(metric for metric, higher in higher_is_better.items() if higher is False)
    aggregations = {str(m["metric"]): str(m["aggregation"]) for m in metrics if m.get("aggregation")}
    return MetricTable(filter_name, f",{filter_name}", figures, lower, aggregations, documents)


def parse_document(row: Json, where: str) -> LoggedDocument:
    """The document of a line."""
    place = require_field(row, "doc_id", int, where)
    doc = row.get("doc")
    content = doc if isinstance(doc, dict) else {"doc_hash": row["doc_hash"]} if row.get("doc_hash") else {"doc": doc}
    metrics = row["metrics"] if isinstance(row.get("metrics"), list) else [key for key in row if key not in FIELDS]
    try:
        output = next(parse_outputs({**row, "doc": content}), None)
        requests = list_arguments(row.get("arguments") or ())
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        content_text = shorten(row.get("resps"))
        raise SkilldeltaError(f"{where}, is not as lm-eval writes it ({error!r}): it has {content_text}.") from error
    settings = requests[0][1] if requests and len(requests[0]) > 1 and isinstance(requests[0][1], dict) else {}
    response = output.response if output else Response(error="no response was logged", finish="error")
    if not all(np.isfinite(response.logprobs)):
        response = replace(response, logprobs=(), greedy=())
    prompt = digest(storable(requests)) if requests else str(row.get("prompt_hash") or UNKNOWN)
    values = {str(metric): row.get(metric) for metric in metrics}
    answer = extracted_text(row.get("filtered_resps"))
    return LoggedDocument(place, storable(content), prompt, response, answer, values, storable(settings))


def extracted_text(value: Any) -> str:
    """The answer that the filter extracted from a text; "" where it extracted none."""
    first = value[0] if isinstance(value, list) and value else value
    return first.strip()[-200:] if isinstance(first, str) and first != "[invalid]" else ""
