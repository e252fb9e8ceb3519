"""One choice of the device for scoring, training, judges and best-of-n."""

import pytest
import torch

from harness.engine.device import argmax_rows, default_device, to_float64


@pytest.mark.parametrize("accelerator", ["cuda", "mps"])
def test_an_accelerator_is_the_default_and_a_name_wins(monkeypatch: pytest.MonkeyPatch, accelerator: str) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device(accelerator))
    assert default_device() == default_device("") == torch.device(accelerator)
    assert default_device("cpu") == torch.device("cpu")
    assert default_device("cuda:1") == torch.device("cuda:1")


def test_without_an_accelerator_the_processor_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)  # built for one that this machine lacks
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    assert default_device() == torch.device("cpu")


def test_float64_keeps_the_numbers_and_the_device() -> None:
    values = torch.tensor([0.1, 3.0])
    assert torch.equal(to_float64(values), values.double())
    assert to_float64(values).device == values.device


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_the_first_of_the_largest_values_is_found_as_torch_finds_it(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)
    values = torch.randint(-40, 40, (300, 97), generator=generator).to(dtype)  # many ties
    values[7, 50] = values[8, 0] = values[8, 96] = torch.nan
    values[9] = -torch.inf
    places = argmax_rows(values)
    assert torch.equal(places, values.argmax(1))
    assert places[7:10].tolist() == [50, 0, 0]
    assert torch.equal(argmax_rows(values[:, ::3]), values[:, ::3].argmax(1))  # not contiguous
