"""A line of samples.jsonl: a Sample as JSON.  Lines of format 1 have other keys for two of its parts; they are read as well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from harness.types import Finish, Json, Response, Sample, Score

FORMER: Mapping[str, str] = {"read_as": "extracted", "cut": "truncated"}  # keys of format 1, with their name now


def sample_to_json(sample: Sample) -> dict[str, Any]:
    """A sample as a line of samples.jsonl holds it; what is empty is left out."""
    response, score = sample.response, sample.score
    value: dict[str, Any] = {
        "example": sample.example,
        "draw": sample.draw,
        "request": sample.request,
        "response": list(response.logprobs) if response.logprobs else response.text,
        "finish": response.finish,
        "tokens_in": response.tokens_in,
        "tokens_out": response.tokens_out,
        "score": score.value,
        "extracted": score.extracted,
    }
    sparse = {
        "greedy": list(response.greedy),
        "truncated": response.truncated,
        "error": response.error,
        "reasoning": response.reasoning,
        "in_block": response.in_block,
        "reading": dict(sample.reading),
        "parts": dict(score.parts),
        "why": score.why,
        "group": sample.group,
        "cluster": sample.cluster,
    }
    return value | {k: v for k, v in sparse.items() if v}


def sample_from_json(line: Json) -> Sample:
    """The sample in a line, also in one of format 1; ValueError, KeyError or TypeError where it is none."""
    value = {FORMER.get(key, key): part for key, part in line.items()}
    content = value["response"]
    response = Response(
        text=content if isinstance(content, str) else "",
        finish=cast(Finish, value["finish"]),
        logprobs=() if isinstance(content, str) else tuple(content),
        greedy=tuple(value.get("greedy", ())),
        tokens_in=value["tokens_in"],
        tokens_out=value["tokens_out"],
        truncated=value.get("truncated", 0),
        error=value.get("error", ""),
        reasoning=value.get("reasoning", ""),
        in_block=value.get("in_block", False),
    )
    score = Score(value["score"], value["extracted"], value.get("parts", {}), value.get("why", ""))
    group, cluster, reading = value.get("group", ""), value.get("cluster", ""), value.get("reading", {})
    return Sample(value["example"], value["request"], response, score, value["draw"], group, cluster, reading)
