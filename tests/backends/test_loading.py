"""Models that cannot be loaded as they lie there: adapters without their base, tokenizers without a vocabulary, odd types."""

import shutil
from pathlib import Path

import peft
import pytest
import transformers

from harness import discovery
from harness.backends.transformers import TransformersOptions, load
from harness.cli.listing import listing_row
from harness.types import Checkpoint, SkilldeltaError
from tests.support import tiny


def save_adapter(base: Path, folder: Path) -> Path:
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype="float32")
    peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama(tmp_path_factory.mktemp("loading") / "base")


def test_an_adapter_without_its_base_names_the_base_and_the_way_out(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    folder = save_adapter(base, tmp_path / "lora")
    config = folder / "adapter_config.json"
    config.write_text(config.read_text().replace(str(base), "nobody/has-this-base"))
    (checkpoint,) = discovery.find_checkpoints([str(folder)])
    with pytest.raises(
        SkilldeltaError, match=r"lora cannot be loaded: an adapter of nobody/has-this-base: there is no such folder here"
    ) as error:
        load(checkpoint, TransformersOptions())
    assert "name the base's folder with --base DIR" in str(error.value)


@pytest.mark.slow
def test_settings_of_a_tokenizer_without_its_vocabulary_leave_the_bases(base: Path, tmp_path: Path) -> None:
    folder = save_adapter(base, tmp_path / "lora")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')
    (checkpoint,) = discovery.find_checkpoints([str(folder)])
    assert load(checkpoint, TransformersOptions()).tokenizer.hf_tokenizer("A text").input_ids


@pytest.mark.slow
def test_a_model_without_a_vocabulary_is_refused(base: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(base, tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')
    (checkpoint,) = discovery.find_checkpoints([str(folder)])
    assert "no tokenizer" in listing_row(checkpoint)["problem"]
    with pytest.raises(SkilldeltaError, match=r"The tokenizer of .*model has no vocabulary, so it reads every text as empty"):
        load(checkpoint, TransformersOptions())


def test_a_dtype_that_torch_does_not_have_is_refused_with_the_names_there_are(base: Path) -> None:
    with pytest.raises(SkilldeltaError, match=r"There is no dtype 'fp16'.*There are: bfloat16, float16, float32, float64"):
        load(Checkpoint("base", str(base), "transformers"), TransformersOptions(dtype="fp16"))
