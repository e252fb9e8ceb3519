"""A line of samples.jsonl: a Sample as JSON.  Lines of format 1 have other keys for two of its parts; they are read as well.

Every line is checked where it enters: results folders are handed on, and may be damaged or made up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, cast

from harness.types import Finish, Json, Response, Sample, Score, SkilldeltaError
from harness.visible_text import printable

FORMER: Mapping[str, str] = {"read_as": "extracted", "cut": "truncated"}  # keys of format 1, with their name now
MAX_COUNT = 10**12  # of tokens, of draws
LENGTHS = frozenset({"reasoning", "answer"})  # of each reading; the other counts are there where they are not 0
MAX_PART = 1e9  # beyond any metric's: sums and squares stay finite
ROUNDING = 1e-9  # by which a score, as a mean, may be outside of 0..1
NUMBERS: frozenset[type] = frozenset({int, float})
TEXT, COUNT, EVERY = frozenset({str}), frozenset({int}), frozenset[type]()
REQUIRED: Mapping[str, frozenset[type]] = {
    **dict.fromkeys(("example", "request", "finish", "extracted"), TEXT),
    **dict.fromkeys(("draw", "tokens_in", "tokens_out"), COUNT),
    "response": frozenset({str, list}),
    "score": NUMBERS | {type(None)},
}
SPARSE: Mapping[str, frozenset[type]] = {
    **dict.fromkeys(("error", "reasoning", "why", "group", "cluster"), TEXT),
    "truncated": COUNT,
    "in_block": frozenset({bool}),
    "greedy": frozenset({list}),
    "parts": frozenset({dict}),
}  # `reading` and what is not known are left to check_line() or passed over


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


def imported_to_json(sample: Sample) -> dict[str, Any]:
    """The line of a sample that another program's log made.  SkilldeltaError where it is none that could be read again."""
    line = sample_to_json(sample)
    if not is_plain(line):
        try:
            check_line(line)
        except ValueError as error:
            raise SkilldeltaError(f"a sample of the log cannot be stored: {printable(str(error))[:300]}.") from error
    return line


def is_plain(value: Json) -> bool:
    """Whether each part of a line has exactly the type that is written: a twentieth of the time of check_line()."""
    if not value.keys() >= REQUIRED.keys():
        return False
    for name, part in value.items():
        kinds = REQUIRED.get(name) or SPARSE.get(name, EVERY)
        if kinds is not EVERY and type(part) not in kinds:
            return False
    if not -ROUNDING <= (value["score"] or 0) <= 1 + ROUNDING:
        return False
    numbers = [0 if part is None else part for part in value.get("parts", {}).values()]
    if type(value["response"]) is list:
        numbers += value["response"]
    if not is_reading(value.get("reading")):
        return False
    counts = value["draw"], value["tokens_in"], value["tokens_out"], value.get("truncated", 0)
    return all(type(n) in NUMBERS and -MAX_PART <= n <= MAX_PART for n in numbers) and all(0 <= n <= MAX_COUNT for n in counts)


def are_plain(lines: Sequence[Any]) -> bool:
    """Whether is_plain() holds for what a table reads of lines, also of format 1.  By column: for millions of lines."""
    if not set(map(type, lines)) <= {dict}:
        return False
    for name, kinds in (*REQUIRED.items(), *SPARSE.items()):
        present = [line[name] for line in lines if name in line]
        if not set(map(type, present)) <= kinds or (name in REQUIRED and name != "extracted" and len(present) < len(lines)):
            return False
    mappings = [line["reading"] for line in lines if "reading" in line]
    if not all(map(is_reading, mappings)):
        return False
    mappings = [line["parts"] for line in lines if "parts" in line]
    scores = [line["score"] for line in lines if line["score"] is not None]
    numbers = [n for mapping in mappings for n in mapping.values() if n is not None]
    counts = [n for line in lines for n in (line["draw"], line["tokens_out"])]
    if not set(map(type, scores)) | set(map(type, numbers)) <= NUMBERS:
        return False
    has_scores = min(scores, default=0) >= -ROUNDING and max(scores, default=0) <= 1 + ROUNDING
    has_parts = min(numbers, default=0) >= -MAX_PART and max(numbers, default=0) <= MAX_PART
    return has_scores and has_parts and min(counts, default=0) >= 0 and max(counts, default=0) <= MAX_COUNT


def is_reading(value: object) -> bool:
    """Whether a value is what was seen of a text's reasoning: nothing, or counts, both lengths among them."""
    if not value:
        return value is None or value == {}
    if not isinstance(value, dict) or not value.keys() >= LENGTHS:
        return False
    return all(type(count) is int and 0 <= count <= MAX_COUNT for count in value.values())


@cache
def line_type() -> Any:
    """What a line holds, as a validator.  Texts may hold halves of surrogate pairs, which pydantic's own `str` refuses."""
    import pydantic

    text: Any = pydantic.InstanceOf[str]
    strict: Any = pydantic.Strict()
    count: Any = Annotated[int, strict, pydantic.Field(ge=0, le=MAX_COUNT)]
    number: Any = Annotated[float, pydantic.BeforeValidator(require_number), pydantic.Field(ge=-MAX_PART, le=MAX_PART)]
    score: Any = Annotated[number, pydantic.AfterValidator(require_score)]
    logprob: Any = Annotated[float, pydantic.BeforeValidator(require_number), pydantic.AllowInfNan(False)]
    always = {"example": text, "request": text, "draw": count, "response": text | list[logprob], "finish": text}
    always |= {"tokens_in": count, "tokens_out": count, "score": score | None, "extracted": text}
    sparse = {"greedy": list[bool] | None, "truncated": count, "in_block": bool}
    sparse |= {"reading": Annotated[dict[text, int] | None, pydantic.AfterValidator(require_reading)]}
    sparse |= {
        "parts": dict[text, number | None] | None,
        **dict.fromkeys(("error", "reasoning", "why", "group", "cluster"), text),
    }
    return pydantic.create_model(  # type: ignore[call-overload]
        "SampleLine",
        **{name: (kind, ...) for name, kind in always.items()},
        **{name: (kind, None) for name, kind in sparse.items()},
    )


def require_number(value: object) -> object:
    """A number or a truth value; ValueError for a text that reads like one."""
    if not isinstance(value, int | float):
        raise ValueError("no number")
    return value


def require_score(value: float) -> float:
    if not -ROUNDING <= value <= 1 + ROUNDING:
        raise ValueError("no number from 0 to 1")
    return value


def require_reading(value: object) -> object:
    if not is_reading(value):
        raise ValueError(f"not counts of characters, with {' and '.join(sorted(LENGTHS))} among them")
    return value


def check_line(value: dict[str, Any]) -> dict[str, Any]:
    """A line's parts, each of its type.  ValueError names the first that is not."""
    import pydantic

    try:
        model = line_type().model_validate(value)
    except pydantic.ValidationError as error:
        fault = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}, not {fault['input']!r:.60}") from error
    fields: dict[str, Any] = model.model_dump(exclude_unset=True)
    return fields


def sample_from_json(line: Json) -> Sample:
    """The sample in a line, also in one of format 1; ValueError where it is none."""
    if not isinstance(line, dict):
        raise ValueError(f"{type(line).__name__} where an object was expected")
    value = {FORMER.get(key, key): part for key, part in line.items()}
    if not is_plain(value):
        value = check_line(value)
    content = value["response"]
    response = Response(
        text=content if isinstance(content, str) else "",
        finish=cast(Finish, value["finish"]),
        logprobs=() if isinstance(content, str) else tuple(content),
        greedy=tuple(value.get("greedy") or ()),
        tokens_in=value["tokens_in"],
        tokens_out=value["tokens_out"],
        truncated=value.get("truncated", 0),
        error=value.get("error", ""),
        reasoning=value.get("reasoning", ""),
        in_block=value.get("in_block", False),
    )
    score = Score(value["score"], value["extracted"], value.get("parts") or {}, value.get("why", ""))
    group, cluster, reading = value.get("group", ""), value.get("cluster", ""), value.get("reading") or {}
    return Sample(value["example"], value["request"], response, score, value["draw"], group, cluster, reading)
