"""The benchmark for a GPU: it says so where there is none, and its figures are those of what was measured."""

import sys
import time

import pytest
import torch

from harness.types import Response
from tests.bench import gpu


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu"])
    gpu.main()
    assert capsys.readouterr().out.startswith("There is no GPU here: nothing was measured.")


def test_a_step_is_the_difference_of_two_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def decode(prompts: list[list[int]], length: int) -> None:
        now[0] += 5.0 + 0.25 * length
        assert [len(ids) for ids in prompts] == [3, 3]

    bench = gpu.Bench("cpu", 0.0, (2, 3, (4, 8)))
    assert bench.time_step(decode, 60) == pytest.approx(0.25)
    assert bench.is_over


def test_cells_show_what_was_measured_and_what_was_not() -> None:
    measured = gpu.Measured({"gsm8k": 2.0, gpu.STEP: 0.0061}, batches={"gsm8k": 32}, way="no time left")
    assert (measured.show("gsm8k"), measured.show(gpu.STEP), measured.show("mmlu")) == ("2.0 s (32)", "6.1 ms", "no time left")
    some, others = {0: Response(logprobs=(-1.0, -2.0))}, {0: Response(logprobs=(-1.0, -4.0))}
    assert gpu.describe_difference(some, others) == "1.4 nats"
    assert gpu.describe_difference({0: Response("a"), 1: Response("b")}, {0: Response("a"), 1: Response("c")}) == "1 of 2 texts"
    assert gpu.describe_difference(some, {}) == "-"
