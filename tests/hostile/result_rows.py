"""Damaged results folders by their samples: scores, draws, texts, lines that are none, and what lies where they should."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from tests.hostile.edits import (
    ESCAPES,
    Edit,
    append,
    at,
    change_first_bytes,
    change_lines,
    every_line,
    first_line,
    put,
)
from tests.support.damage import FILES, change

SAMPLES = "cand/sums/samples.jsonl"
DEEP = b"[" * 100_000 + b"]" * 100_000
Values = Mapping[str, Mapping[str, Any]]  # what is odd -> fields and their values
IN_FIRST: Values = {  # in the first sample alone
    **{f"score {value}": {"score": value} for value in (math.nan, math.inf, 1e308, -1, "1", True, [1], 10**400)},
    **{f"draw {value}": {"draw": value} for value in ("x", -1, 10**30)},
    **{f"example {value}": {"example": value} for value in (5, None, [1])},
    **{f"parts {value}": {"parts": value} for value in ([1], {"a": math.nan})},
    **{f"group {value}": {"group": value} for value in (5, [1])},
    "cluster an object": {"cluster": {"a": 1}},
    **{f"tokens {name}": {"tokens_out": value} for name, value in {"x": "x", "NaN": math.nan, "10^400": 10**400}.items()},
    **{f"response {value}": {"response": value} for value in (None, {"a": 1}, ["a"])},
    "why a list": {"why": [1]},
    "finish of escapes": {"finish": "\x1b[31m"},
    "response of 30 MB": {"response": "x" * 30_000_000},
}
IN_ALL: Values = {
    "draw 10^12": {"draw": 10**12},
    "scores of 1e9": {"score": 1e9},
    "scores of -1e9": {"score": -1e9},
    "scores of 1e-320": {"score": 1e-320},
    "no scores": {"score": None},
    "groups of escapes": {"group": ESCAPES},
    "one cluster": {"cluster": "x"},
    "clusters of half a pair": {"cluster": "\ud800"},
    "formulas": {"response": "=cmd|' /C calc'!A0", "why": "=1+1", "extracted": "@x"},
    "markup": {
        "response": "</script><script>alert(1)</script>",
        "why": "|a|b|\n\\end{tabular}",
        "group": "<img src=x onerror=1>",
    },
    "1,000 log-probabilities": {"response": [-1.0] * 1000},
    "log-probabilities of 1e308": {"response": [1e308, 1e308]},
    "odd readings": {"reading": {"\ud800": 5, ESCAPES: 10**15}},
    "readings below 0": {"reading": {"a": -5}},
    "parts of escapes": {"parts": {ESCAPES: 1.0, "digits": None}},
    "2,000 parts": {"parts": {f"p{i}": 1.0 for i in range(2000)}},
    "parts of 1e9": {"parts": {"digits": 1e9}},
    "10^12 tokens": {"tokens_in": 10**12, "tokens_out": 10**12},
    "100,000 choices": {"greedy": [True] * 10**5},
    "examples that are a path": {"example": "../../etc/passwd"},
    "examples without a name": {"example": ""},
}
LINES: dict[str, Edit] = {
    "deep": change_first_bytes(SAMPLES, lambda _: DEEP),
    "deep in a field": change_first_bytes(SAMPLES, lambda line: line[:-1] + b',"x":' + DEEP + b"}"),
    "a list": change_first_bytes(SAMPLES, lambda _: b"[1]"),
    "a number": change_first_bytes(SAMPLES, lambda _: b"3"),
    "bad UTF-8": change_first_bytes(SAMPLES, lambda line: line.replace(b"response", b"\xff\xfe")),
    "other line ends": at(SAMPLES, change(lambda content: content.replace(b"\n", b"\r\n"))),
    "a byte order mark": change_first_bytes(SAMPLES, lambda line: b"\xef\xbb\xbf" + line),
    "a key twice": change_first_bytes(SAMPLES, lambda line: line[:-1] + b',"score":1,"score":0}'),
    "NUL": change_first_bytes(SAMPLES, lambda _: b"\0"),
    "empty lines": change_first_bytes(SAMPLES, lambda line: line + b"\n\n\n"),
    "every sample twice": at(SAMPLES, FILES["twice"]),
    "a torn end": append(SAMPLES, b'{"example":'),
    "a gigabyte of NULs": at(SAMPLES, lambda file: extend(file, 1 << 30)),
    "8 gigabytes of nothing": at(SAMPLES, lambda file: extend(file, 1 << 33)),
    "4,096 NULs": append(SAMPLES, b"\0" * 4096),
    "-Infinity in a field nobody reads": change_first_bytes(SAMPLES, lambda line: line[:-1] + b',"x":-Infinity}'),
    "ten lists": put(SAMPLES, "[1]\n" * 10),
    "no samples": put(SAMPLES, ""),
    "one sample": change_lines(SAMPLES, lambda rows: rows[:1]),
    "20,000 draws": change_lines(SAMPLES, lambda rows: [rows[0] | {"draw": i} for i in range(20_000)]),
    "100,000 samples": change_lines(SAMPLES, lambda rows: [rows[i % len(rows)] | {"example": f"e{i}"} for i in range(100_000)]),
    "a group each of 10,000 letters": change_lines(
        SAMPLES, lambda rows: [row | {"group": "g" * 10**4 + str(i)} for i, row in enumerate(rows)]
    ),
    "an endless device": at(SAMPLES, FILES["link to an endless device"]),
    "the table of users": at(SAMPLES, FILES["link out"]),
    "a link to itself": at(SAMPLES, FILES["link to itself"]),
    "a pipe": at(SAMPLES, FILES["pipe"]),
    "a folder": at(SAMPLES, FILES["folder"]),
}


def extend(file: Any, size: int) -> None:
    with file.open("ab") as stream:
        stream.truncate(size)


ROWS: dict[str, Edit] = {
    **{f"samples: {name}": first_line(SAMPLES, **values) for name, values in IN_FIRST.items()},
    **{f"samples: all with {name}": every_line(SAMPLES, **values) for name, values in IN_ALL.items()},
    **{f"samples: {name}": edit for name, edit in LINES.items()},
}
EXAMPLES: dict[str, Edit] = {
    f"examples: {name}": edit
    for name, edit in {
        "deep": put("_examples/sums.jsonl", DEEP),
        "bad UTF-8": put("_examples/sums.jsonl", b"\xff\n"),
        "a pipe": at("_examples/sums.jsonl", FILES["pipe"]),
        "a folder": at("_examples/sums.jsonl", FILES["folder"]),
        "words": put("_examples/sums.jsonl", "no\n"),
        "other values": put("_examples/sums.jsonl", "[]\n5\nnull\n"),
        "odd rows": put("_examples/sums.jsonl", '{"example": 5, "row": []}\n{"id": "x"}\n'),
        "a deep row": put("_examples/sums.jsonl", json.dumps({"example": "x"})[:-1].encode() + b', "row": ' + DEEP + b"}\n"),
    }.items()
}
