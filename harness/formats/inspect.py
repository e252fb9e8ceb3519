"""inspect_ai: its logs, .eval (a zip archive) and .json.

The score is that of the log's headline scorer (or of its first), converted as inspect's own accuracy converts it: C, P, I and N
are 1, 0.5, 0 and 0.  Other scorers are further metrics.  A sample that failed, or whose value is no number, has no score.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.interchange import untrusted_files
from harness.interchange.archive import Archive
from harness.interchange.imported_log import UNKNOWN, ExampleRows, ImportedLog, RefusedLog, describe_inputs, describe_task
from harness.interchange.untrusted_files import UntrustedFile, finite_number, require_field, require_object
from harness.json_values import storable
from harness.types import Finish, Json, Metric, Response, Sample, Score, SkilldeltaError, digest

GRADES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
HARMLESS = ("max_connections", "max_retries", "timeout", "attempt_timeout", "cache", "batch", "adaptive_connections")
IDENTITY = ("model_path", "tokenizer", "tokenizer_path", "base_url", "api_key", "device")
ATTACHMENT = "attachment://"


def holds_scores(file: UntrustedFile) -> bool:
    return file.suffix == ".eval" or {"eval", "plan", "status"} <= set(file.first)


def read_scores(files: Sequence[UntrustedFile]) -> Iterator[ImportedLog | RefusedLog]:
    """The one task of a log."""
    path = files[0].path
    if files[0].suffix != ".eval":
        content = require_object(untrusted_files.load_json(path), str(path))
        yield make_task_log(content, list(content.get("samples") or ()), str(path))
        return
    with Archive(path) as archive:
        names = ["header.json", *sorted(archive.names("samples/"))]
        contents = (untrusted_files.parse_json(archive.read(name), f"{path}: {name}") for name in names)
        header = require_object(next(contents), str(path))
        yield make_task_log(header, contents, str(path))


def make_task_log(header: Json, contents: Iterable[Any], where: str) -> ImportedLog | RefusedLog:
    """The log with this header and these samples."""
    settings = require_field(header, "eval", dict, where)
    name = str(require_field(settings, "task", str, where))
    model, provider = parse_model(settings, where)
    rows = ExampleRows()
    samples = [parse_sample(require_object(content, f"{where}, a sample"), rows, where) for content in contents]
    if not samples:
        return RefusedLog(model, f"inspect:{name}", f"{where} holds no samples: run inspect without --no-log-samples.", True)
    refuse_infinities(samples, where)
    scorers = list(dict.fromkeys([*list_scorers(header), *(scorer for sample in samples for scorer in sample.values)]))
    headline = find_headline(header, scorers, samples)
    if not headline:
        names = ", ".join(scorers) or "none"
        why = f"{where} has no scorer whose values are scores of 0 to 1; it has: {names}."
        return RefusedLog(model, f"inspect:{name}", why)
    final_samples = sorted((s.with_score(headline) for s in samples), key=lambda s: (sort_key(rows.by_id[s.example]), s.draw))
    metrics = [Metric(scorer, scorer) for scorer in scorers if scorer != headline and may_give_scores(scorer, samples)]
    version, summary = settings.get("task_version", UNKNOWN), f"inspect's {name}; scorer {headline}"
    task = describe_task(f"inspect:{name}", version, f"inspect_ai, {name}", summary, metrics)
    task = replace(task, pass_at=find_pass_at(header, headline))
    inputs = describe_inputs(final_samples, {s.example: s.request for s in final_samples}, describe_settings(header))
    backend, source = describe_provider(settings, provider), {"task": name, "filter": headline, "metric": headline}
    note = "; ".join(filter(None, (describe_end(header), describe_reducers(header, headline, final_samples))))
    return ImportedLog(model, task, inputs, backend, final_samples, rows.by_id, note, source)


def parse_model(settings: Json, where: str) -> tuple[str, str]:
    """(model, provider)."""
    text = str(require_field(settings, "model", str, where))
    provider, _, name = text.partition("/")
    path = (settings.get("model_args") or {}).get("model_path")
    return str(path or name or text), provider


class LoggedSample:
    """A sample with its response, and the value of every scorer; of a scorer with several values, NAME.KEY is each."""

    def __init__(self, example: str, draw: int, prompt: str, response: Response, scores: Mapping[str, Json]) -> None:
        self.example, self.draw, self.prompt, self.response = example, draw, prompt, response
        self.answers = {name: str(score.get("answer") or "") for name, score in scores.items()}
        self.values: dict[str, Any] = {}
        for name, score in scores.items():
            value = score.get("value")
            self.values |= {f"{name}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}

    def with_score(self, headline: str) -> Sample:
        """The sample, final_samples by one scorer; the others' numbers are parts of its score."""
        value = convert_value(self.values.get(headline))
        why = self.response.error or ("no score in the log" if headline not in self.values else "its value is no number")
        numbers = {name: convert_value(v) for name, v in self.values.items() if name != headline}
        parts = {name: number for name, number in numbers.items() if number is not None}
        answer = self.answers.get(headline.partition(".")[0], "")[-200:]
        score = Score(value, answer, parts, "" if value is not None else why)
        return Sample(self.example, self.prompt, self.response, score, self.draw)


def parse_sample(content: Json, rows: ExampleRows, where: str) -> LoggedSample:
    """One sample of a log; adds its row.  Epochs of one sample are draws of one example."""
    identity, epoch = require_field(content, "id", (str, int), where), require_field(content, "epoch", int, where)
    attachments = content.get("attachments") or {}
    question = {"id": identity, "input": join_text(content.get("input"), attachments)}
    row = storable(question | {"choices": content.get("choices"), "target": content.get("target")})
    example = digest(row)
    rows.by_id.setdefault(example, row)
    messages = [message for message in content.get("messages") or () if isinstance(message, dict)]
    end = next((i for i, message in enumerate(messages) if message.get("role") == "assistant"), len(messages))
    prompt_messages = [[str(message.get("role")), join_text(message.get("content"), attachments)] for message in messages[:end]]
    prompt = digest(prompt_messages) if prompt_messages else UNKNOWN
    scores = {str(name): score for name, score in (content.get("scores") or {}).items() if isinstance(score, dict)}
    return LoggedSample(example, epoch - 1, prompt, parse_response(content, attachments), scores)


def parse_response(content: Json, attachments: Json) -> Response:
    """The model's last output, or the error of a sample that failed."""
    output = content.get("output") or {}
    choice: Json = next(iter(output.get("choices") or ()), {})
    usage = output.get("usage") or {}
    error = (content.get("error") or {}).get("message", "") if isinstance(content.get("error"), dict) else ""
    at_limit = choice.get("stop_reason") in ("max_tokens", "model_length")
    finish: Finish = "error" if error else "length" if at_limit else "stop"
    text = join_text(output.get("completion") or (choice.get("message") or {}).get("content"), attachments)
    tokens = [int(finite_number(usage.get(name)) or 0) for name in ("input_tokens", "output_tokens")]
    return Response(text, finish, tokens_in=tokens[0], tokens_out=tokens[1], error=str(error)[:500])


def join_text(content: Any, attachments: Json) -> str:
    """A text, or the texts of messages and of their parts.  inspect keeps long ones apart, by their hash, in `attachments`."""
    if isinstance(content, str):
        return str(attachments.get(content.removeprefix(ATTACHMENT), content)) if content.startswith(ATTACHMENT) else content
    if isinstance(content, list):
        parts = (part.get("text") or part.get("content") if isinstance(part, dict) else part for part in content)
        return "\n".join(join_text(part, attachments) for part in parts)
    return "" if content is None else str(content)


def convert_value(value: Any) -> float | None:
    """A scorer's value as inspect's accuracy takes it; None where it is no number (which inspect counts as 0)."""
    grade = GRADES.get(value, GRADES.get(value.lower() if len(value) > 1 else "")) if isinstance(value, str) else None
    return finite_number(value) if grade is None else grade


def may_give_scores(scorer: str, samples: Sequence[LoggedSample]) -> bool:
    """Whether nothing that a scorer gave is other than a number in 0..1; one that failed everywhere gave nothing."""
    values = [value for sample in samples if (value := sample.values.get(scorer)) not in (None, "NaN") and value == value]
    numbers = [number for value in values if (number := convert_value(value)) is not None]
    return (bool(numbers) or not values) and all(0 <= number <= 1 for number in numbers)


def refuse_infinities(samples: Sequence[LoggedSample], where: str) -> None:
    """Raises SkilldeltaError where a scorer gave an infinite value."""
    for sample in samples:
        if bad := [scorer for scorer, value in sample.values.items() if isinstance(value, float) and math.isinf(value)]:
            raise SkilldeltaError(f"{where}: the scorer {bad[0]} gave a sample an infinite value, which is no score.")


def list_scorers(header: Json) -> list[str]:
    """The scorers that the log's own configuration and results name, in their order."""
    results, settings = header.get("results") or {}, header.get("eval") or {}
    entries = [*(settings.get("scorers") or ()), *(results.get("scores") or ())]
    return list(dict.fromkeys(str(entry["name"]) for entry in entries if isinstance(entry, dict) and entry.get("name")))


def find_headline(header: Json, scorers: Sequence[str], samples: Sequence[LoggedSample]) -> str:
    """The log's headline scorer, if it may give scores; else the first that does; "" where none does."""
    results = header.get("results") or {}
    headline = (results.get("headline") or {}).get("score", "")
    # A scorer with several values is NAME.KEY in samples: its own name has none.
    several = {name.partition(".")[0] for sample in samples for name in sample.values if "." in name}
    single = [scorer for scorer in scorers if scorer not in several]
    return next((s for s in sorted(single, key=lambda scorer: scorer != headline) if may_give_scores(s, samples)), "")


def list_reducers(header: Json, headline: str) -> list[str]:
    """How inspect made one value of a sample's epochs, by its names for it; [] where the log does not say."""
    scores = (header.get("results") or {}).get("scores") or ()
    return [str(s["reducer"]) for s in scores if isinstance(s, dict) and s.get("name") == headline and s.get("reducer")]


def find_pass_at(header: Json, headline: str) -> int:
    """k, where the log's epochs are reduced to pass@k; else 0."""
    reducers = list_reducers(header, headline)
    return next((int(r[8:]) for r in reducers if r.startswith("pass_at_") and r[8:].isdigit()), 0)


def describe_reducers(header: Json, headline: str, samples: Sequence[Sample]) -> str:
    """Says that the score is no figure of inspect's, where that is the best epoch, the median, the most frequent value ..."""
    reducers = list_reducers(header, headline)
    has_epochs = any(sample.draw for sample in samples)
    if not has_epochs or not reducers or "mean" in reducers or find_pass_at(header, headline):
        return ""
    return f"inspect reduces epochs by {', '.join(reducers)}: its figure is another, the score here is the mean over epochs"


def describe_settings(header: Json) -> dict[str, Any]:
    """Generation settings, the task's arguments, and the solvers with theirs."""
    plan, settings = header.get("plan") or {}, header.get("eval") or {}
    config = {name: value for name, value in (plan.get("config") or {}).items() if name not in HARMLESS}
    steps = [step for step in plan.get("steps") or () if isinstance(step, dict)]
    solvers = [{"solver": step.get("solver"), "params": step.get("params")} for step in steps]
    return config | {"solvers": solvers, "arguments": settings.get("task_args") or {}}


def describe_provider(settings: Json, provider: str) -> dict[str, Any]:
    arguments = {name: value for name, value in (settings.get("model_args") or {}).items() if name not in IDENTITY}
    generation = {name: v for name, v in (settings.get("model_generate_config") or {}).items() if name not in HARMLESS}
    version = (settings.get("packages") or {}).get("inspect_ai", UNKNOWN)
    facts = {"args": storable(arguments), "generate": storable(generation)}
    return {"backend": f"inspect:{provider}", "inspect_ai": version, **facts}


def describe_end(header: Json) -> str:
    """How the run ended; "" where it succeeded."""
    if (status := header.get("status")) == "success":
        return ""
    if not isinstance(status, str):
        raise SkilldeltaError("The log has no status: it is no log of inspect's.")
    return f"inspect's run ended with {status}: the samples that it has are counted"


def sort_key(row: Json) -> tuple[bool, int, str]:
    """Samples in the order of their ids, numbers as numbers."""
    identity = row["id"]
    return (isinstance(identity, str), identity if isinstance(identity, int) else 0, str(identity))
