"""The backend `auto`: which program answers what, that it says so, and that results of two programs are not taken for one's."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import api
from harness.backends import auto, transformers, vllm
from harness.engine.device_names import default_device
from harness.types import Checkpoint, Request, Response, SkilldeltaError
from tests.support import tiny

CHOICE = Request("The sky is", choices=(" blue", " green"))
TEXT = Request("The sky is", max_tokens=4)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return Checkpoint("m", str(tiny.llama(tmp_path / "m")), "transformers")


class Writer:
    """Stands for vLLM, which needs a GPU."""

    def __init__(self, options: Any) -> None:
        self.options = options

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        for at in reversed(range(len(requests))):
            yield at, Response(f"written {at}")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A machine with a GPU and vLLM, as far as this backend can tell; what vLLM was loaded with."""
    loads: list[Any] = []

    def load(_: Checkpoint, options: Any) -> Writer:
        loads.append(options)
        return Writer(options)

    monkeypatch.setattr(auto, "default_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(auto, "has_vllm", lambda: True)
    monkeypatch.setattr(auto, "vllm_version", lambda: "0.99")
    monkeypatch.setattr(vllm, "load", load)
    return loads


@pytest.mark.slow
def test_without_a_gpu_transformers_answers_everything_and_that_is_said(checkpoint: Checkpoint) -> None:
    if default_device().type == "cuda":
        pytest.skip("there is a GPU here")
    model = auto.load(checkpoint, auto.AutoOptions())
    alone = transformers.load(checkpoint, transformers.TransformersOptions())
    assert dict(model.answer([TEXT, CHOICE])) == dict(alone.answer([TEXT, CHOICE]))
    assert model.settings == alone.settings | {"texts": "transformers"}
    assert model.note == "transformers answers texts too: there is no CUDA device"


@pytest.mark.slow
def test_with_vllm_texts_go_there_and_choices_to_the_tree(checkpoint: Checkpoint, gpu: list[Any]) -> None:
    model = auto.load(checkpoint, auto.AutoOptions(device="cpu", dtype="float32", memory=0.4, max_length=64))
    assert model.settings["texts"] == "vllm 0.99"
    assert model.note == "vLLM answers texts, transformers choices"
    choices = dict(model.answer([CHOICE]))
    assert gpu == []  # no text was asked
    found = dict(model.answer([TEXT, CHOICE, TEXT]))
    assert found == {0: Response("written 0"), 1: choices[0], 2: Response("written 1")}
    dict(model.answer([TEXT]))
    assert [(o.dtype, o.memory, o.max_length) for o in gpu] == [("float32", 0.4, 64)]


@pytest.mark.slow
def test_an_adapter_that_vllm_does_not_take_is_answered_by_transformers(
    checkpoint: Checkpoint, gpu: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Checkpoint) -> int:
        raise SkilldeltaError("m is an adapter that vLLM does not take: use_dora.\nUse --backend transformers.")

    monkeypatch.setattr(auto, "adapter_rank", refuse)
    model = auto.load(checkpoint, auto.AutoOptions(device="cpu"))
    assert model.settings["texts"] == "transformers"
    assert model.note == "transformers answers texts too: m is an adapter that vLLM does not take: use_dora."
    assert dict(model.answer([TEXT]))[0].tokens_out > 0
    assert not gpu


@pytest.mark.slow
def test_answers_of_another_program_are_asked_again(checkpoint: Checkpoint, request: pytest.FixtureRequest) -> None:
    options = auto.AutoOptions(device="cpu")
    stored = transformers.load(checkpoint, options.for_choices).settings
    assert auto.settings_differences(checkpoint, options, stored, auto.requested_settings(options)) == []
    request.getfixturevalue("gpu")
    unlike = auto.settings_differences(checkpoint, options, stored, auto.requested_settings(options))
    assert unlike == [("backend.texts", "transformers", "vllm 0.99")]
    assert auto.settings_differences(checkpoint, options, stored | {"texts": "vllm 0.99"}, {"device": "cpu"}) == []


@pytest.mark.slow
def test_it_is_a_backend_like_any_other(checkpoint: Checkpoint) -> None:
    loader = api.Backend("auto", {"dtype": "float32", "memory": 0.5}).loader()
    assert loader.requested == {"dtype": "float32"}  # type: ignore[attr-defined]
    assert isinstance(loader(checkpoint), auto.AutoModel)
    with pytest.raises(SkilldeltaError, match="attention"):
        api.Backend("auto", {"attention": "eager"}).loader()
