"""Rows that are longer than the model's window: an error in words where positions end there, and said where they go on."""

import logging
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, OPTConfig, OPTForCausalLM, PreTrainedModel

from harness.trainers import sft
from harness.training import policy_models
from harness.training.answer_rewards import RewardScorer
from harness.types import SkilldeltaError
from tests.support import tiny as tiny_models

WINDOW = 160  # the memory of a step is measured on 128 tokens


def row(repetitions: int) -> dict[str, object]:
    turns = {"user": "Is it true?", "assistant": "The answer is 7. " * repetitions}
    return {"messages": [{"role": role, "content": content} for role, content in turns.items()]}


def make_gpt2(folder: Path) -> str:
    tokenizer = tiny_models.tokenizer(template=True)
    ends = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id}
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=WINDOW, n_embd=32, n_layer=1, n_head=2, **ends)
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def make_opt() -> PreTrainedModel:
    return OPTForCausalLM(
        OPTConfig(
            vocab_size=50, hidden_size=16, word_embed_proj_dim=16, ffn_dim=16, num_hidden_layers=1, num_attention_heads=2,
            max_position_embeddings=WINDOW,
        )
    )  # fmt: skip


def test_rows_beyond_a_table_of_positions_are_an_error_in_words(tmp_path: Path, write: object) -> None:
    model = make_gpt2(tmp_path / "gpt2")
    rows = write("chats.jsonl", [row(1), row(2), row(60), row(80)])  # type: ignore[operator]
    with pytest.raises(
        SkilldeltaError, match=r"gpt2 has positions for 160 tokens, .* rows of up to \d+ tokens: lower --max-length"
    ):
        sft.train(sft.SFTConfig(model=model, data=(rows,), out=str(tmp_path / "run"), max_length=2000))
    found = sft.train(
        sft.SFTConfig(model=model, data=(rows,), out=str(tmp_path / "run"), max_length=WINDOW, batch=4, epochs=1.0)
    )
    assert found.step == 1


@pytest.mark.parametrize("prompt", [WINDOW - 4, WINDOW - 5])
def test_the_answers_that_a_policy_will_sample_count(prompt: int) -> None:
    model = make_opt()
    rows = [[3] * prompt, [3] * 5]
    policy_models.check_sequences(model, rows, "opt", more=0)
    if prompt + 5 <= WINDOW:
        policy_models.check_sequences(model, rows, "opt", more=5)
        assert model(torch.tensor([[3] * WINDOW])).logits.shape[1] == WINDOW
    else:
        with pytest.raises(SkilldeltaError, match=r"answers of up to 161 tokens: lower --max-prompt or --max-new"):
            policy_models.check_sequences(model, rows, "opt", more=5)


def test_positions_that_go_on_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tiny_models.llama(tmp_path / "llama", window=WINDOW)
    model = policy_models.load_model(policy_models.CAUSAL, str(folder))
    with caplog.at_level(logging.WARNING, logger="skilldelta"):
        policy_models.check_sequences(model, [[3] * WINDOW], "llama")
        assert not caplog.records
        policy_models.check_sequences(model, [[3] * (WINDOW + 1)], "llama")
    assert "was made for 160 tokens" in caplog.text
    assert "--max-length to 160" in caplog.text


def test_a_reward_model_grades_no_answer_of_which_it_reads_the_beginning(tmp_path: Path) -> None:
    from transformers import GPT2ForSequenceClassification

    folder = Path(make_gpt2(tmp_path / "rm"))
    model = GPT2ForSequenceClassification.from_pretrained(folder, num_labels=1)
    model.config.pad_token_id = 0
    model.save_pretrained(folder)
    short, long = RewardScorer(str(folder)).score([("Is it true?", "yes"), ("Is it true?", "The answer is 7. " * 90)])
    assert short is not None
    assert long is None
