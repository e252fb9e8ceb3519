"""Models as they are published: adapters as a start, templates without a system role, tokens that end turns, mistyped names."""

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.processors import TemplateProcessing

from harness.discovery import find_checkpoints
from harness.prompts.templates import DAY, TULU, ChatTemplate
from harness.prompts.tokenization import WindowedTokenizer
from harness.trainers import dpo, ppo, reward, sft
from harness.training import model_loading, policy_models
from harness.training.chat_rendering import ChatRenderer
from harness.training.messages import UnusableRowError, declare_tools
from harness.training.tokenization import Encoder, answer_ends, load_tokenizer
from harness.types import Message, Request, SkilldeltaError
from tests.support import tiny as tiny_models
from tests.support.training_toy import TEMPLATE, chat, preference, text

Rows = Callable[[str, Iterable[Any]], str]
IDS = torch.tensor([[2, 30, 40, 3, 50, 60]])
STRICT = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + TEMPLATE
DATED = "{{ strftime_now('%Y-%m-%d') }} " + TEMPLATE
SILENT = TEMPLATE.replace("in messages %}", "in messages if m['role'] != 'system' %}")


@pytest.fixture(scope="module")
def adapter(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The run folder of an SFT by LoRA."""
    folder = tmp_path_factory.mktemp("stages")
    (folder / "chats.jsonl").write_text("".join(json.dumps(chat(i)) + "\n" for i in range(16)))
    data = (str(folder / "chats.jsonl"),)
    sft.train(sft.SFTConfig(model=tiny, data=data, out=str(folder / "sft"), lora=4, lr=0.02, batch=8, warmup=0.0))
    return str(folder / "sft")


@pytest.fixture
def pairs(write: Rows) -> str:
    return write("pairs.jsonl", map(preference, range(16)))


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


@pytest.mark.slow
@pytest.mark.parametrize("lora", [0, 4])
def test_dpo_starts_from_an_adapter_and_everybody_loads_the_result(lora: int, adapter: str, pairs: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    start = logits(policy_models.load_model(policy_models.CAUSAL, adapter))
    settings = dpo.DPOConfig(
        model=adapter,
        data=(pairs,),
        out=str(tmp_path / "dpo"),
        lora=lora,
        lr=5e-3,
        batch=8,
        epochs=1.0,
        warmup=0.0,
        log_steps=1,
    )
    found = dpo.train(settings)
    log = json.loads((Path(found.path) / "trainer_state.json").read_text())["log_history"]
    assert log[0]["loss"] == pytest.approx(0.6931, abs=1e-4)  # log 2: the reference is the merged adapter
    ours = logits(policy_models.load_model(policy_models.CAUSAL, found.path))
    theirs = logits(AutoModelForCausalLM.from_pretrained(found.path))
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert (ours - start).abs().max() > 1e-3
    (checkpoint,) = [c for c in find_checkpoints([str(tmp_path / "dpo")]) if c.step == found.step]
    assert not checkpoint.problem


@pytest.mark.slow
def test_an_adapter_that_starts_from_an_adapter_names_a_whole_model(adapter: str, pairs: str, tmp_path: Path) -> None:
    settings = dpo.DPOConfig(model=adapter, data=(pairs,), out=str(tmp_path / "dpo"), lora=2, batch=8, max_steps=1)
    base = Path(json.loads((Path(dpo.train(settings).path) / "adapter_config.json").read_text())["base_model_name_or_path"])
    assert base.is_absolute()
    assert (base / "config.json").is_file()
    assert torch.allclose(
        logits(policy_models.load_model(policy_models.CAUSAL, str(base))),
        logits(policy_models.load_model(policy_models.CAUSAL, adapter)),
        atol=1e-5,
    )


@pytest.mark.slow
@pytest.mark.parametrize("lora", [0, 4])
def test_a_reward_model_and_ppo_start_from_an_adapter(lora: int, adapter: str, pairs: str, write: Rows, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    shared: dict[str, Any] = {"model": adapter, "lora": lora, "lr": 2e-3, "warmup": 0.0, "max_new": 6}
    paid = reward.train(reward.RewardConfig(data=(pairs,), out=str(tmp_path / "rm"), batch=8, samples=4, **shared))
    more: dict[str, Any] = {"num_labels": 1} if lora else {}
    theirs = AutoModelForSequenceClassification.from_pretrained(paid.path, **more).eval()
    ours = policy_models.load_classifier(paid.path, ("overall",), 0)
    rows = torch.tensor([[2, 30, 40, 3, 50, 1]])
    with torch.no_grad():
        assert torch.allclose(theirs(input_ids=rows).logits, ours(input_ids=rows).logits, atol=1e-5)
    prompts = write("prompts.jsonl", ({"prompt": [{"role": "user", "content": text(i)}]} for i in range(8)))
    settings = ppo.PPOConfig(
        data=(prompts,),
        out=str(tmp_path / "ppo"),
        reward=paid.path,
        batch=8,
        minibatch=8,
        max_steps=2,
        missing_end=-1.0,
        **shared,
    )
    assert ppo.train(settings).step == 2


def test_every_weight_is_trained_after_an_adapter_was_merged(adapter: str) -> None:
    model = policy_models.load_model(policy_models.CAUSAL, adapter)
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("template", [STRICT, SILENT], ids=["raises", "drops it"])
def test_a_template_without_a_system_role_gets_the_system_prompt_in_the_user_turn(template: str, tiny: str) -> None:
    words = load_tokenizer(tiny)
    words.chat_template = template
    turns = (Message("system", "Be brief."), Message("user", "one ?"))
    assert "<|user|>Be brief.\n\none ?" in ChatRenderer(words).render(turns, opening=True)


def test_what_a_template_leaves_out_is_counted_and_not_learnt(tiny: str) -> None:
    encoder = Encoder(load_tokenizer(tiny), 64)
    tools = declare_tools([{"type": "function", "function": {"name": "clock"}}])
    with pytest.raises(UnusableRowError, match="leaves out the tools"):
        encoder.renderer.render((*tools, Message("user", "one ?")), opening=True)
    assert encoder.encode_answers([((*tools, Message("user", "one ?")), "two")]) == [None]
    assert encoder.losses == {"the chat template leaves out the tools": 1}


@pytest.mark.parametrize("added", ["$A", "<s> $A", "$A <|end|>", "<s> $A <|end|>"])
@pytest.mark.parametrize("template", [TULU, "{{ bos_token }}" + TULU], ids=["Tulu", "Tulu with a beginning"])
@pytest.mark.parametrize("prompt", ["What is 3+4?", (Message("user", "A"), Message("assistant", "B"), Message("user", "C"))])
def test_a_model_is_trained_on_the_ids_that_it_will_be_asked(prompt: Any, template: str, added: str) -> None:
    """Llama's tokenizers put <s> before every text; a model trained without it would be asked with it."""
    words = tiny_models.tokenizer()
    words.chat_template = template
    words._tokenizer.post_processor = TemplateProcessing(single=added, special_tokens=[("<s>", 2), ("<|end|>", 1)])
    asked = WindowedTokenizer(words, 256).encode(
        ChatTemplate("own", words).render(Request(prompt, raw=isinstance(prompt, str)))
    )
    (learnt,) = Encoder(words, 256).encode_prompts([prompt])
    assert list(learnt) == asked
    (row,) = Encoder(words, 256).encode_answers([(prompt, " D")])
    assert row
    assert list(row.ids[: row.start]) == asked
    begins = "<s>" in added or ("bos" in template and not isinstance(prompt, str))
    assert (row.ids.count(2), row.ids[0] == 2, row.ids[-1]) == (int(begins), begins, 1)


def test_a_turn_may_end_with_another_token_than_the_text(tiny: str, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "chat")
    (tmp_path / "chat/generation_config.json").write_text(json.dumps({"eos_token_id": [1, 2]}))
    words = load_tokenizer(str(tmp_path / "chat"))
    words.chat_template = TEMPLATE.replace("{{ eos_token }}", "{{ '<|user|>' }}")  # token 2 closes an answer
    ends = answer_ends(words, str(tmp_path / "chat"))
    assert ends == {1, 2}
    (tokens,) = Encoder(words, 64, ends=ends).encode_answers([((Message("user", "one ?"),), "two")])
    assert tokens
    assert tokens.ids[-1] == 2


def test_an_adapter_ends_its_turns_as_its_base_does(tiny: str, tmp_path: Path) -> None:
    base, lora = tmp_path / "chat", tmp_path / "lora"
    shutil.copytree(tiny, base)
    (base / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 2]}))
    shutil.copytree(tiny, lora, ignore=lambda *_: ["config.json", "generation_config.json", "model.safetensors"])
    (lora / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base), "peft_type": "LORA"}))
    assert answer_ends(load_tokenizer(str(lora)), str(lora)) == {1, 2}


def test_a_mistyped_model_is_told_from_its_neighbours(tiny: str, pairs: str, tmp_path: Path) -> None:
    settings = dpo.DPOConfig(model=f"{tiny}y", data=(pairs,), out=str(tmp_path / "run"))
    with pytest.raises(SkilldeltaError, match=r"There is no model folder .*tinyy.*Did you mean .*tiny"):
        dpo.train(settings)


def test_a_file_is_no_model_folder(tiny: str, pairs: str, tmp_path: Path) -> None:
    for file, words in ((f"{tiny}/model.safetensors", f", such as {tiny}"), (pairs, "")):
        with pytest.raises(SkilldeltaError, match=f"is a file: name the folder of a model{words}[.]"):
            dpo.train(dpo.DPOConfig(model=file, data=(pairs,), out=str(tmp_path / "run")))


def test_a_folder_one_level_too_high_names_the_models_in_it(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match=r"nor checkpoint-N folders\.$"):
        model_loading.model_folder(str(tmp_path))
    (tmp_path / "notes").mkdir()
    (tmp_path / "run" / "checkpoint-2").mkdir(parents=True)
    shutil.copytree(tiny, tmp_path / "mine")
    with pytest.raises(SkilldeltaError, match=r"Did you mean \S*/mine, \S*/run\?$"):
        model_loading.model_folder(str(tmp_path))


def test_tokens_without_an_embedding_are_an_error_in_words(tiny: str) -> None:
    model = policy_models.load_model(policy_models.CAUSAL, tiny)
    with pytest.raises(SkilldeltaError, match=r"token 90000, and .* has embeddings for"):
        policy_models.check_vocabulary(model, [(1, 90_000)], tiny)


@pytest.mark.slow
def test_a_reward_model_is_no_policy(adapter: str, pairs: str, tmp_path: Path) -> None:
    paid = reward.train(
        reward.RewardConfig(model=adapter, data=(pairs,), out=str(tmp_path / "rm"), batch=8, samples=0, max_steps=1)
    )
    with pytest.raises(SkilldeltaError, match="is a reward model"):
        model_loading.load_model(model_loading.CAUSAL, paid.path)


def test_a_template_that_reads_the_date_renders_the_day_of_scoring(tiny: str) -> None:
    tokenizer = load_tokenizer(tiny)
    plain = ChatRenderer(tokenizer).render((Message("user", "2 + 2?"),), True)
    tokenizer.chat_template = DATED
    assert ChatRenderer(tokenizer).render((Message("user", "2 + 2?"),), True) == f"{DAY} {plain}"
    assert ChatTemplate("own", tokenizer).render(Request("2 + 2?")) == f"{DAY} {plain}"
