"""A library in Rust that panics: an error of what it was given, never the end of the run."""

import json
from collections.abc import Iterator

import pytest
from tokenizers import Tokenizer

from harness.evaluation.lazy_model import LazyModel
from harness.rust_panics import LibraryPanicError, panics_as_errors
from harness.types import Checkpoint, Model
from tests.support.tiny import tokenizer

PANICS = {
    "normalizer": {"type": "Precompiled", "precompiled_charsmap": "AQ=="},
    "pre_tokenizer": {
        "type": "Split", "pattern": {"Regex": "(a|aa)+$"}, "behavior": "Isolated", "invert": False,
    },
    "post_processor": {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "[NOPE]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def sound() -> dict[str, object]:
    content: dict[str, object] = json.loads(tokenizer().backend_tokenizer.to_str())
    return content


@pytest.mark.parametrize("part", PANICS)
def test_a_tokenizer_that_panics_is_an_error_of_the_checkpoint(part: str, sound: dict[str, object]) -> None:
    damaged = json.dumps(sound | {part: PANICS[part]})
    with pytest.raises(LibraryPanicError, match=r"tokenizer\.json as a rule"), panics_as_errors():
        Tokenizer.from_str(damaged).encode("a" * 60 + "!")


def panic() -> None:
    model = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
    whole = {"version": "1.0", "added_tokens": [], "normalizer": PANICS["normalizer"], "model": model}
    Tokenizer.from_str(json.dumps(whole)).encode("b")


def test_a_panic_fails_one_model_alone_and_is_kept_for_its_other_cells() -> None:
    def load(checkpoint: Checkpoint) -> Model:
        panic()
        raise AssertionError("it panics")

    model = LazyModel(Checkpoint("a", "a", "transformers"), load)
    for _ in range(2):
        with pytest.raises(LibraryPanicError):
            model.get()


def test_a_panic_in_a_generator_is_one_too_and_what_came_before_it_is_kept() -> None:
    def answers() -> Iterator[int]:
        with panics_as_errors():
            yield 1
            panic()

    stream = answers()
    assert next(stream) == 1
    with pytest.raises(LibraryPanicError):
        next(stream)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, ValueError])
def test_what_is_no_panic_stays_what_it_is(error: type[BaseException]) -> None:
    with pytest.raises(error), panics_as_errors():
        raise error
