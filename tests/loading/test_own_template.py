"""A run that saved its chat template alone: its prompts are rendered by it, on its base's vocabulary."""

import json
from pathlib import Path

import pytest

from harness import differences, discovery, fingerprint
from harness.backends.transformers import TransformersOptions, load
from harness.checkpoint_selection import Selection
from harness.loading.decided_settings import decide_template
from harness.own_template import JINJA, LEGACY, find_own_template
from harness.training import tokenization
from harness.types import Checkpoint, Request, SkilldeltaError
from tests.loading.folders import save_lora
from tests.support import tiny

OWN = "{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}{% if add_generation_prompt %}[me]{% endif %}"
CONFIG = "tokenizer_config.json"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama(tmp_path_factory.mktemp("own-template") / "base", template=True)


@pytest.fixture
def lora(base: Path, tmp_path: Path) -> Path:
    folder = save_lora(base, tmp_path / "run" / "checkpoint-5")
    (folder / "trainer_state.json").write_text('{"global_step": 5}')
    return folder


def only(folder: Path, selection: Selection = Selection()) -> Checkpoint:
    (checkpoint,) = discovery.find_checkpoints([str(folder)], selection)
    return checkpoint


def write_config(folder: Path, template: object) -> None:
    (folder / CONFIG).write_text(json.dumps({"chat_template": template}))


WAYS = {
    "a Jinja file": lambda folder: (folder / JINJA).write_text(OWN),
    "settings without a vocabulary": lambda folder: write_config(folder, OWN),
    "named templates": lambda folder: write_config(folder, [{"name": "default", "template": OWN}]),
    "an older file": lambda folder: (folder / LEGACY).write_text(json.dumps({"chat_template": OWN})),
    "in the run's folder": lambda folder: (folder.parent / JINJA).write_text(OWN),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_an_adapter_that_saved_its_template_alone_is_asked_by_it(lora: Path, way: str) -> None:
    without = fingerprint.hash_checkpoint(only(lora.parent))
    WAYS[way](lora)
    checkpoint = only(lora.parent)
    model = load(checkpoint, TransformersOptions(device="cpu"))
    assert model.template.render(Request("Hello")) == "[user] Hello [me]"
    assert model.tokenizer.hf_tokenizer("Hello").input_ids, "the vocabulary is the base's"
    assert decide_template(checkpoint, TransformersOptions()) == {"template": "own"}
    parts = {name for name, *_ in differences.changed_parts(without, fingerprint.hash_checkpoint(checkpoint))}
    assert "tokenizer_used" in parts, "the template is part of the identity"


@pytest.mark.slow
def test_without_one_the_bases_template_renders(lora: Path) -> None:
    checkpoint = only(lora)
    assert find_own_template(checkpoint) is None
    assert load(checkpoint, TransformersOptions(device="cpu")).template.render(Request("Hello")).endswith("<|assistant|>")


@pytest.mark.slow
def test_adapters_with_other_templates_on_one_base_share_no_tokenizer(base: Path, tmp_path: Path) -> None:
    rendered = []
    for name in ("[a]", "[b]"):
        folder = save_lora(base, tmp_path / name)
        (folder / JINJA).write_text(name + OWN)
        rendered.append(load(only(folder), TransformersOptions(device="cpu")).template.render(Request("Hello")))
    assert rendered == ["[a][user] Hello [me]", "[b][user] Hello [me]"]


def test_a_tokenizer_that_is_named_keeps_its_template(base: Path, lora: Path) -> None:
    (lora / JINJA).write_text(OWN)
    assert find_own_template(only(lora, Selection(tokenizer=str(base)))) is None


def test_training_renders_by_it_too(lora: Path) -> None:
    (lora / JINJA).write_text(OWN)
    tokenizer = tokenization.load_tokenizer(str(lora))
    chat = [{"role": "user", "content": "Hello"}]
    assert tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) == "[user] Hello [me]"


@pytest.mark.parametrize("template", [5, [1], {"default": 5}, [{"name": "default"}], "x" * 2_000_000])
def test_a_damaged_template_is_an_error_that_names_the_folder(lora: Path, template: object) -> None:
    write_config(lora, template)
    with pytest.raises(SkilldeltaError, match=r"The chat template of .*checkpoint-5 cannot be read: chat_template in"):
        find_own_template(only(lora))


def test_a_template_that_git_lfs_did_not_fetch_is_an_error(lora: Path) -> None:
    (lora / JINJA).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab12\nsize 4321\n")
    with pytest.raises(SkilldeltaError, match=r"chat_template.jinja is a pointer of Git LFS: `git lfs pull`"):
        find_own_template(only(lora))
