"""What every backend file promises: settings that are found by the annotation of `load`, and a Model."""

import dataclasses

import pytest

from harness import config, registry
from harness.backends.recorded import RecordedModel
from harness.backends.scripted import ScriptedModel, ScriptedOptions, load
from harness.backends.transformers import TransformersModel
from harness.evaluation.model_reports import SupportsNote
from harness.evaluation.scoring import SupportsAlign
from harness.types import Checkpoint, Model

BACKENDS = registry.modules("backends")


@pytest.mark.parametrize("name", BACKENDS)
def test_the_options_of_a_backend_are_a_frozen_dataclass_with_defaults(name: str) -> None:
    options = config.options_type(registry.module("backends", name).load)
    assert dataclasses.is_dataclass(options)
    assert options() == config.build_config(options, {})
    field = dataclasses.fields(options)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(options(), field, None)


def test_no_two_backends_name_their_options_alike() -> None:
    kinds = [config.options_type(registry.module("backends", name).load).__name__ for name in BACKENDS]
    assert len(set(kinds)) == len(BACKENDS) >= 5


def test_a_backend_has_only_the_optional_parts_that_it_needs() -> None:
    scripted = load(Checkpoint("x", "", "recorded"), ScriptedOptions(text="yes"))
    assert isinstance(scripted, Model)
    assert not isinstance(scripted, SupportsAlign | SupportsNote)
    recorded = RecordedModel(())
    assert isinstance(recorded, Model)
    assert isinstance(recorded, SupportsAlign)
    assert isinstance(recorded, SupportsNote)
    assert hasattr(TransformersModel, "note")
    assert not hasattr(ScriptedModel, "note")
