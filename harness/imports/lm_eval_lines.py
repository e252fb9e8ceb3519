"""What lm-eval logs about each document: its lines, under each filter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.interchange.log import UNKNOWN
from harness.interchange.reading import brief, lines, part, plain
from harness.interchange.tables import Line, Reading, Table
from harness.recorded import formats
from harness.types import Json, Response, SkilldeltaError, digest

FIELDS = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics",
          "doc_hash", "prompt_hash", "target_hash"}  # fmt: skip


def table(name: str, path: Path, results: Json) -> Table:
    """The samples of one file; as many of them as the results file says, under every filter."""
    filters: dict[str, list[Line]] = {}
    seen: set[tuple[str, int]] = set()
    for count, row in lines(path):
        which, found = line(row, f"{path.name}, line {count}")
        if (which, found.place) in seen:
            raise SkilldeltaError(
                f"{path.name} has document {found.place} twice" + (f" under {which}" if "filter" in row else
                ", without saying under which filter: lm-eval 0.4.9 and later tell")
            )  # fmt: skip
        seen.add((which, found.place))
        filters.setdefault(which, []).append(found)
    expected = ((results.get("n-samples") or {}).get(name) or {}).get("effective")
    for which, found_lines in filters.items():
        if isinstance(expected, int) and len(found_lines) != expected:
            raise SkilldeltaError(f"{path.name} holds {len(found_lines)} of {expected} samples under {which}: is it whole?")
    if not filters:
        raise SkilldeltaError(f"{path.name} holds no samples.")
    return Table(name, tuple(reading(name, which, found, results) for which, found in filters.items()))


def reading(name: str, which: str, found: list[Line], results: Json) -> Reading:
    better = (results.get("higher_is_better") or {}).get(name) or {}
    settings = (results.get("configs") or {}).get(name) or {}
    listed = [m for m in settings.get("metric_list") or () if isinstance(m, dict)]
    return Reading(
        which,
        f",{which}",
        (results.get("results") or {}).get(name) or {},
        frozenset(m for m, higher in better.items() if higher is False),
        frozenset(str(m.get("metric")) for m in listed if m.get("aggregation") == "mean"),
        found,
    )


def line(row: Json, where: str) -> tuple[str, Line]:
    """(filter, what is kept)."""
    place = part(row, "doc_id", int, where)
    doc = row.get("doc")
    known = doc if isinstance(doc, dict) else {"doc_hash": row["doc_hash"]} if row.get("doc_hash") else {"doc": doc}
    names = row["metrics"] if isinstance(row.get("metrics"), list) else [k for k in row if k not in FIELDS]
    try:
        said = next(iter(formats.lm_eval_records({**row, "doc": known})), None)
        given = formats.arguments(row.get("arguments") or ())
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise SkilldeltaError(f"{where}, is not as lm-eval writes it ({error!r}): it has {brief(row.get('resps'))}.") from error
    settings = given[0][1] if given and len(given[0]) > 1 and isinstance(given[0][1], dict) else {}
    prompt = digest(plain(given)) if given else str(row.get("prompt_hash") or UNKNOWN)
    response = finite(said.response if said else Response(error="no response was logged", finish="error"))
    values = {str(m): row.get(m) for m in names}
    return str(row.get("filter", "none")), Line(place, plain(known), prompt, response, read_as(row), values, plain(settings))


def finite(response: Response) -> Response:
    """The response, without log-probabilities that are no numbers."""
    return response if all(np.isfinite(response.logprobs)) else replace(response, logprobs=(), greedy=())


def read_as(row: Json) -> str:
    """What the filter read in a text; "" where it found nothing."""
    found = row.get("filtered_resps")
    first = found[0] if isinstance(found, list) and found else found
    text = first if isinstance(first, str) else ""
    return "" if text == "[invalid]" else text.strip()[-200:]
