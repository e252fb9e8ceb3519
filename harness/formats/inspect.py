"""inspect_ai: its logs, .eval (a zip archive) and .json.

The score is that of the log's headline scorer (or of its first), read as inspect's own accuracy reads it: C, P, I and N are 1,
0.5, 0 and 0.  Other scorers are metrics beside it.  A sample that failed, or whose value is no number, has no score.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.interchange.archive import Archive
from harness.interchange.imported_log import UNKNOWN, ExampleRows, ImportedLog, RefusedLog, describe_inputs, describe_task
from harness.interchange.untrusted_files import (
    UntrustedFile,
    finite_number,
    load_json,
    parse_json,
    require_field,
    require_object,
    storable,
)
from harness.types import Finish, Json, Metric, Response, Sample, Score, SkilldeltaError, digest

WORDS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
HARMLESS = ("max_connections", "max_retries", "timeout", "attempt_timeout", "cache", "batch", "adaptive_connections")
IDENTITY = ("model_path", "tokenizer", "tokenizer_path", "base_url", "api_key", "device")
ATTACHED = "attachment://"


def holds_scores(file: UntrustedFile) -> bool:
    return file.suffix == ".eval" or ({"eval", "plan", "status"} <= set(file.first))


def read_scores(files: Sequence[UntrustedFile]) -> Iterator[ImportedLog | RefusedLog]:
    """The one task of a log."""
    path = files[0].path
    if files[0].suffix != ".eval":
        whole_log = require_object(load_json(path), str(path))
        yield log(whole_log, list(whole_log.get("samples") or ()), str(path))
        return
    with Archive(path) as archive:
        header = require_object(parse_json(archive.read("header.json"), f"{path}: header.json"), str(path))
        names = sorted(archive.names("samples/"))
        yield log(header, (parse_json(archive.read(n), f"{path}: {n}") for n in names), str(path))


def log(header: Json, samples: Any, where: str) -> ImportedLog | RefusedLog:
    about = require_field(header, "eval", dict, where)
    own = str(require_field(about, "task", str, where))
    model, provider = named(about, where)
    rows = ExampleRows()
    found = [kept(require_object(value, f"{where}, a sample"), rows, where) for value in samples]
    if not found:
        return RefusedLog(model, f"inspect:{own}", f"{where} holds no samples: run inspect without --no-log-samples.")
    scorers = list(dict.fromkeys(name for one in found for name in one.values))
    headline = first_of(header, scorers, found)
    if not headline:
        there = ", ".join(scorers) or "none"
        return RefusedLog(model, f"inspect:{own}", f"{where} has no scorer whose values are scores of 0 to 1; it has: {there}.")
    made = sorted((one.sample(headline) for one in found), key=lambda s: (order(rows.by_id[s.example]), s.draw))
    facts = describe_task(
        f"inspect:{own}", about.get("task_version", UNKNOWN), f"inspect_ai, {own}", f"inspect's {own}; scorer {headline}",
        [Metric(name, name) for name in scorers if name != headline and scores(name, found)],
    )  # fmt: skip
    k = passing(header, headline)
    return ImportedLog(
        model, replace(facts, pass_at=k or 0), describe_inputs(made, {s.example: s.request for s in made}, settings(header)),
        answered(about, provider), made, rows.by_id, told(header), {"task": own, "filter": headline, "metric": headline},
    )  # fmt: skip


def named(about: Json, where: str) -> tuple[str, str]:
    """(model, provider)."""
    text = str(require_field(about, "model", str, where))
    provider, _, rest = text.partition("/")
    path = (about.get("model_args") or {}).get("model_path")
    return str(path or rest or text), provider


class Kept:
    """What is kept of a sample: every scorer's value, and what was said."""

    def __init__(self, example: str, draw: int, prompt: str, response: Response, given: Mapping[str, Json]) -> None:
        self.example, self.draw, self.prompt, self.response = example, draw, prompt, response
        self.read_as = {name: str(one.get("answer") or "") for name, one in given.items()}
        self.values: dict[str, Any] = {}
        for name, one in given.items():
            value = one.get("value")
            self.values |= {f"{name}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}

    def sample(self, headline: str) -> Sample:
        value = as_score(self.values.get(headline))
        why = self.response.error or ("no score in the log" if headline not in self.values else "its value is no number")
        beside = {name: as_score(v) for name, v in self.values.items() if name != headline}
        parts = {name: v for name, v in beside.items() if v is not None}
        read_as = self.read_as.get(headline.partition(".")[0], "")[-200:]
        score = Score(value, read_as, parts, "" if value is not None else why)
        return Sample(self.example, self.prompt, self.response, score, self.draw)


def kept(value: Json, rows: ExampleRows, where: str) -> Kept:
    """One sample of a log.  Draws of one sample are one example."""
    identity, epoch = require_field(value, "id", (str, int), where), require_field(value, "epoch", int, where)
    attached = value.get("attachments") or {}
    row = {
        "id": identity,
        "input": said(value.get("input"), attached),
        "choices": value.get("choices"),
        "target": value.get("target"),
    }
    example = digest(storable(row))
    rows.by_id.setdefault(example, storable(row))
    messages = [m for m in value.get("messages") or () if isinstance(m, dict)]
    shown = messages[: next((i for i, m in enumerate(messages) if m.get("role") == "assistant"), len(messages))]
    prompt = digest([[str(m.get("role")), said(m.get("content"), attached)] for m in shown]) if shown else UNKNOWN
    given = {str(n): one for n, one in (value.get("scores") or {}).items() if isinstance(one, dict)}
    return Kept(example, epoch - 1, prompt, answer(value, attached), given)


def answer(value: Json, attached: Json) -> Response:
    """What the model said last, or that the sample failed."""
    output = value.get("output") or {}
    choice: Json = next(iter(output.get("choices") or ()), {})
    usage = output.get("usage") or {}
    error = (value.get("error") or {}).get("message", "") if isinstance(value.get("error"), dict) else ""
    cut = choice.get("stop_reason") in ("max_tokens", "model_length")
    finish: Finish = "error" if error else "length" if cut else "stop"
    text = said(output.get("completion") or (choice.get("message") or {}).get("content"), attached)
    tokens = [int(finite_number(usage.get(name)) or 0) for name in ("input_tokens", "output_tokens")]
    return Response(text, finish, tokens_in=tokens[0], tokens_out=tokens[1], error=str(error)[:500])


def said(content: Any, attached: Json) -> str:
    """Text, or the text of messages and of their parts; long ones are kept beside, by their hash."""
    if isinstance(content, str):
        return str(attached.get(content.removeprefix(ATTACHED), content)) if content.startswith(ATTACHED) else content
    if isinstance(content, list):
        return "\n".join(said(p.get("text") or p.get("content") if isinstance(p, dict) else p, attached) for p in content)
    return "" if content is None else str(content)


def as_score(value: Any) -> float | None:
    """A scorer's value as inspect's accuracy takes it; None for what is no number (which inspect counts as 0)."""
    if isinstance(value, str) and (found := WORDS.get(value, WORDS.get(value.lower() if len(value) > 1 else ""))) is not None:
        return found
    return finite_number(value)


def scores(name: str, found: Sequence[Kept]) -> bool:
    """Whether a scorer's values are scores of 0 to 1 (as far as there are any)."""
    values = [as_score(one.values.get(name)) for one in found]
    there = [v for v in values if v is not None]
    return bool(there) and all(0 <= v <= 1 for v in there)


def first_of(header: Json, scorers: Sequence[str], found: Sequence[Kept]) -> str:
    """The log's headline scorer, if its values are scores; else the first whose values are."""
    results = header.get("results") or {}
    wanted = (results.get("headline") or {}).get("score", "")
    return next((n for n in sorted(scorers, key=lambda n: n != wanted) if scores(n, found)), "")


def passing(header: Json, headline: str) -> int:
    """k, where the log's epochs are reduced to pass@k."""
    for one in (header.get("results") or {}).get("scores") or ():
        reducer = str(one.get("reducer") or "")
        if one.get("name") == headline and reducer.startswith("pass_at_") and reducer[8:].isdigit():
            return int(reducer[8:])
    return 0


def settings(header: Json) -> dict[str, Any]:
    """Generation settings, the task's arguments, and the solvers with theirs."""
    plan, about = header.get("plan") or {}, header.get("eval") or {}
    config = {k: v for k, v in (plan.get("config") or {}).items() if k not in HARMLESS}
    steps = [{"solver": s.get("solver"), "params": s.get("params")} for s in plan.get("steps") or () if isinstance(s, dict)]
    return config | {"solvers": steps, "arguments": about.get("task_args") or {}}


def answered(about: Json, provider: str) -> dict[str, Any]:
    arguments = {k: v for k, v in (about.get("model_args") or {}).items() if k not in IDENTITY}
    version = (about.get("packages") or {}).get("inspect_ai", UNKNOWN)
    generated = {k: v for k, v in (about.get("model_generate_config") or {}).items() if k not in HARMLESS}
    return {
        "backend": f"inspect:{provider}",
        "inspect_ai": version,
        "args": storable(arguments),
        "generate": storable(generated),
    }


def told(header: Json) -> str:
    """How the run ended, where it did not end well."""
    if (state := header.get("status")) == "success":
        return ""
    if not isinstance(state, str):
        raise SkilldeltaError("The log has no status: it is no log of inspect's.")
    return f"inspect's run ended with {state}: what is there is counted"


def order(row: Json) -> tuple[bool, int, str]:
    """Samples in the order of their ids, numbers as numbers."""
    identity = row["id"]
    return (isinstance(identity, str), identity if isinstance(identity, int) else 0, str(identity))
