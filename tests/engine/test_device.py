"""One choice of the device for scoring, training, judges and best-of-n."""

import pytest
import torch

from harness.engine.device import argmax_rows, to_float64
from harness.engine.device_names import default_device
from harness.types import SkilldeltaError


@pytest.mark.parametrize("accelerator", ["cuda", "mps"])
def test_an_accelerator_is_the_default_and_a_name_wins(monkeypatch: pytest.MonkeyPatch, accelerator: str) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device(accelerator))
    assert default_device() == default_device("") == torch.device(accelerator)
    assert default_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    assert default_device(f"{accelerator}:1") == torch.device(f"{accelerator}:1")
    with pytest.raises(SkilldeltaError, match=f"no device '{accelerator}:2' here; there is: cpu, {accelerator}:0"):
        default_device(f"{accelerator}:2")


def test_without_an_accelerator_the_processor_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)  # built for one that this machine lacks
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    assert default_device() == torch.device("cpu")


@pytest.mark.parametrize("name", ["nope", "9" * 5000, "cpu:" + "9" * 5000, "cuda:-1", "\x1b[31m", "a\0b", "\ud800", "meta"])
def test_a_name_that_is_no_device_is_refused_in_words(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """torch's own errors of it ended a training as an error of this program."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    with pytest.raises(SkilldeltaError, match=r"is no device: write cpu|no device 'meta' here; there is: cpu\.") as error:
        default_device(name)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 200


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
