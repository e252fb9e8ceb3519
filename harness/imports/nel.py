"""NeMo Evaluator: a bundle eval-*.json with the results.jsonl beside it.

Its rewards are the scores.  A problem whose solver failed has no score, though NeMo Evaluator writes 0 for it.  Its problems
are known by their place alone, so what is asked and expected is part of an example too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.interchange.log import UNKNOWN, Log, Refused, asked, task
from harness.interchange.reading import File, an_object, lines, number, part, plain, whole
from harness.types import Json, Response, Sample, Score, SkilldeltaError, digest

RESULTS = "results.jsonl"
IDENTITY = ("model", "model_url", "model_id", "api_key", "output_dir", "benchmark")


def known(file: File) -> bool:
    if file.kind == ".jsonl":
        return {"problem_idx", "reward"} <= set(file.first)
    return isinstance(file.first.get("benchmark"), dict) and "scores" in file.first["benchmark"]


def units(files: Sequence[File]) -> list[list[File]]:
    """The files of one folder."""
    folders: dict[Path, list[File]] = {}
    for file in files:
        folders.setdefault(file.path.parent, []).append(file)
    return list(folders.values())


def read(files: Sequence[File]) -> Iterator[Log | Refused]:
    """The one benchmark of a folder."""
    bundles = [f.path for f in files if f.kind == ".json"]
    records = next((f.path for f in files if f.kind == ".jsonl"), files[0].path.parent / RESULTS)
    if len(bundles) > 1:
        raise SkilldeltaError(f"{bundles[0].parent} holds {len(bundles)} bundles, and one {RESULTS}: whose samples are they?")
    bundle = an_object(whole(bundles[0]), str(bundles[0])) if bundles else {}
    benchmark, config = bundle.get("benchmark") or {}, bundle.get("config") or {}
    own = str(benchmark.get("name") or config.get("benchmark") or records.parent.name)
    model = str(config.get("model") or records.parent.parent.name)
    if not records.is_file():
        yield Refused(model, f"nel:{own}", f"there is no {records}: only means, which cannot be compared problem by problem.")
        return
    rows: dict[str, Json] = {}
    prompts: dict[str, str] = {}
    made = [sample(one, rows, prompts, f"{records}, line {n}") for n, one in lines(records)]
    if odd := [s.score.value for s in made if s.score.value is not None and not 0 <= s.score.value <= 1]:
        yield Refused(
            model, f"nel:{own}", f"its rewards are no scores of 0 to 1: {len(odd)} of {len(made)}, the first {odd[0]:g}."
        )
        return
    facts = task(f"nel:{own}", config.get("version", UNKNOWN), f"NeMo Evaluator, {own}", f"NeMo Evaluator's rewards on {own}")
    settings = {k: v for k, v in config.items() if k not in IDENTITY}
    answered = {"backend": "nel", "nemo_evaluator": bundle.get("sdk_version") or UNKNOWN}
    shown = prompts if len(prompts) == len(rows) else None
    yield Log(
        model, facts, asked(made, shown, settings), answered, made, rows, told(made),
        {"task": own, "filter": "none", "metric": "reward"},
    )  # fmt: skip


def sample(one: Json, rows: dict[str, Json], prompts: dict[str, str], where: str) -> Sample:
    """One record.  Repeats of a problem are draws of one example."""
    place, repeat = part(one, "problem_idx", int, where), one.get("repeat", 0)
    if not isinstance(repeat, int) or "reward" not in one:
        raise SkilldeltaError(
            f"{where}: a record needs a reward, and a whole number as repeat; it has: {', '.join(one)[:200]}."
        )
    details = one["scoring_details"] if isinstance(one.get("scoring_details"), dict) else {}
    metadata = one["metadata"] if isinstance(one.get("metadata"), dict) else {}
    row = plain({"problem_idx": place, "prompt": one.get("prompt"), "expected_answer": one.get("expected_answer")})
    example = digest(row)
    rows[example] = row
    if one.get("prompt"):
        prompts[example] = digest(row["prompt"])
    failed = str(details.get("error") or "the solver failed") if details.get("method") == "solve_failed" else ""
    value = None if failed else number(one["reward"])
    read_as = str(one.get("extracted_answer") or "")[-200:]
    why = "" if value is not None else failed or "its reward is no number"
    response = Response(
        str(one.get("model_response") or ""), "error" if failed else "stop", tokens_out=tokens(one), error=failed[:500]
    )
    group = str(metadata.get("category") or details.get("category") or "")
    return Sample(example, prompts.get(example, UNKNOWN), response, Score(value, read_as, {}, why), repeat, group)


def tokens(one: Json) -> int:
    found: Any = number(one.get("tokens"))
    return int(found or 0)


def told(made: Sequence[Sample]) -> str:
    failed = sum(s.response.finish == "error" for s in made)
    return f"{failed} problems whose solver failed have no score here, and 0 in NeMo Evaluator's mean" if failed else ""
