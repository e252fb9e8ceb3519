"""Damaged weights: headers of safetensors files that lie, and numbers that are none."""

from __future__ import annotations

import json
import os
from typing import Any

import torch

from tests.hostile.edits import ESCAPES, Edit, at, change_header, change_tensor_entries
from tests.loading.folders import change_tensors
from tests.support.damage import change

RUN = "run/checkpoint-5"
WEIGHTS = f"{RUN}/model.safetensors"
DEEP = b"[" * 100_000


def end_of_first_tensor(text: str) -> Edit:
    """Another end of the first tensor's bytes, as JSON text."""

    def edit(header: dict[str, Any]) -> bytes:
        name = next(name for name in header if name != "__metadata__")
        header[name]["data_offsets"][1] = "END"
        return json.dumps(header).replace('"END"', text).encode()

    return change_header(WEIGHTS, edit)


def fill(value: float) -> Edit:
    return at(RUN, lambda folder: change_tensors(folder, lambda ts: {k: torch.full_like(t, value) for k, t in ts.items()}))


HEADERS: dict[str, Edit] = {
    "header: 10^18 bytes": at(WEIGHTS, change(lambda _: (10**18).to_bytes(8, "little") + b"{}")),
    "header: 2^64-1 bytes": at(WEIGHTS, change(lambda _: b"\xff" * 8 + b"{}")),
    **{
        f"header: an end of {name}": end_of_first_tensor(text)
        for name, text in {
            "Infinity": "Infinity",
            "1e400": "1e400",
            "NaN": "NaN",
            "-5": "-5",
            "10,000 digits": "9" * 10_000,
        }.items()
    },
    "header: deep": change_header(WEIGHTS, lambda _: b'{"a":' + DEEP + b"]" * 100_000 + b"}"),
    "header: a list": change_header(WEIGHTS, lambda _: b"[1]"),
    "header: Latin-1": change_header(WEIGHTS, lambda _: b'{"\xff":1}'),
    "header: UTF-16": change_header(WEIGHTS, lambda _: '{"a":1}'.encode("utf-16")),
    "header: shapes beyond the bytes": change_tensor_entries(WEIGHTS, shape=[10**9]),
    "header: 2^62 elements": change_tensor_entries(WEIGHTS, shape=[1 << 31, 1 << 31]),
    "header: 60,000 dimensions": change_tensor_entries(WEIGHTS, shape=[1] * 60_000),
    "header: a type of half a byte": change_tensor_entries(WEIGHTS, dtype="F4"),
    "header: a million empty tensors": change_header(
        WEIGHTS, lambda h: h | {f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(10**6)}
    ),
    "header: metadata of escapes": change_header(WEIGHTS, lambda h: h | {"__metadata__": {"format": ESCAPES, ESCAPES: "x"}}),
    "header: metadata of tf": change_header(WEIGHTS, lambda h: h | {"__metadata__": {"format": "tf"}}),
    "header: names of escapes": change_header(WEIGHTS, lambda h: {ESCAPES + k: v for k, v in h.items() if k[0] != "_"}),
    "weights: a terabyte of nothing": at(WEIGHTS, lambda file: os.truncate(file, 1 << 40)),
    "weights: NaN": fill(float("nan")),
    "weights: 3e38": fill(3e38),
    "weights: whole numbers": at(RUN, lambda f: change_tensors(f, lambda ts: {k: t.to(torch.int64) for k, t in ts.items()})),
}
