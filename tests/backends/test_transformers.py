"""The transformers backend against transformers itself: log-probabilities, texts, windows, draws, adapters."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import peft
import pytest
import safetensors.torch
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import discovery
from harness.backends.transformers import TransformersModel, TransformersOptions, load
from harness.engine import shared_prefix_attention
from harness.engine.engine import BatchLimits
from harness.types import Checkpoint, Message, Request, Response, SkilldeltaError
from tests.support import tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def model(folder: Path) -> TransformersModel:
    return load(Checkpoint("tiny", str(folder), "transformers"), TransformersOptions())


def ask(model: TransformersModel, requests: Sequence[Request]) -> list[Response]:
    answers = dict(model.answer(requests))
    assert sorted(answers) == list(range(len(requests)))
    return [answers[i] for i in range(len(requests))]


def reference(model: TransformersModel, context: Sequence[int], continuation: Sequence[int]) -> float:
    """The log-probability of one continuation, one plain forward pass, in float64."""
    ids = torch.tensor([[*context, *continuation]])
    with torch.no_grad():
        logprobs = model.model(ids).logits.double().log_softmax(-1)
    return sum(logprobs[0, len(context) + i - 1, t].item() for i, t in enumerate(continuation))


CHOICES = (" A", " B", " The answer is 7.", " naïve")


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text("abc ?.\nQA", min_size=1, max_size=60), min_size=1, max_size=6), st.integers(1, 40))
def test_choices_get_the_log_probability_of_a_plain_forward_pass(
    model: TransformersModel, prompts: list[str], budget: int
) -> None:
    model.engine.budget.tokens = budget
    requests = [Request(p, choices=CHOICES) for p in prompts]
    for prompt, response in zip(prompts, ask(model, requests), strict=True):
        for choice, found in zip(CHOICES, response.logprobs, strict=True):
            bare = prompt.rstrip()
            if bare:
                pair = model.tokenizer.encode_pair(prompt, choice)
                assert found == pytest.approx(reference(model, pair.context, pair.continuation), abs=1e-4)


@pytest.mark.slow
def test_texts_are_those_of_transformers_generate(model: TransformersModel) -> None:
    prompts = ["What is 3+4?", "A", "Question: How many apples", "def f(x):\n"]
    for prompt, response in zip(prompts, ask(model, [Request(p, max_tokens=20) for p in prompts]), strict=True):
        ids = torch.tensor([model.tokenizer.encode(prompt)])
        out = model.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False)[
            0, ids.shape[1] :
        ]
        assert response.text == model.tokenizer.hf_tokenizer.decode(out, skip_special_tokens=True)
        ended = model.tokenizer.hf_tokenizer.eos_token_id in out.tolist()
        assert response.finish == ("stop" if ended else "length")


@pytest.mark.slow
def test_answers_do_not_depend_on_the_batch(model: TransformersModel) -> None:
    requests = [
        Request("What is " + "very " * n + "big?", max_tokens=12, temperature=t, draw=n % 2) for n in range(6) for t in (0, 1)
    ]
    together = ask(model, requests)
    model.engine.limits = BatchLimits(rows=1, slots=1)
    assert [r.text for r in ask(model, requests)] == [r.text for r in together]


@pytest.mark.slow
def test_draws_differ_and_repeat(model: TransformersModel) -> None:
    one = [Request("What is", max_tokens=12, temperature=1.0, draw=d) for d in range(4)]
    texts = [r.text for r in ask(model, one)]
    assert len(set(texts)) > 1
    assert [r.text for r in ask(model, list(reversed(one)))] == texts[::-1]
    other = [r.text for r in ask(model, [replace(r, seed=1) for r in one])]
    assert other != texts


@pytest.mark.slow
@pytest.mark.parametrize("top_p", [1e-6, 0.0])
def test_a_tiny_nucleus_is_greedy(top_p: float, model: TransformersModel) -> None:
    greedy, narrow = ask(model, [Request("A", max_tokens=8), Request("A", max_tokens=8, temperature=1.5, top_p=top_p)])
    assert narrow.text == greedy.text


@pytest.mark.slow
def test_a_stop_string_ends_the_text_before_it_even_across_tokens(model: TransformersModel) -> None:
    (free,) = ask(model, [Request("Question:", max_tokens=30)])
    for start in range(2, len(free.text) - 3, 5):
        stop = free.text[start : start + 3]
        (stopped,) = ask(model, [Request("Question:", max_tokens=30, stop=(stop,))])
        assert stopped.text == free.text[: free.text.find(stop)]
        assert stopped.finish == "stop"
        assert stopped.tokens_out <= free.tokens_out


@pytest.mark.slow
def test_an_over_long_prompt_is_not_run_unless_it_may_be_truncated(model: TransformersModel) -> None:
    long = "apples " * 400
    whole, weighed = ask(model, [Request(long, max_tokens=5), Request(long, choices=(" A",))])
    assert (whole.finish, weighed.finish) == ("overlong", "overlong")
    assert whole.tokens_in > model.tokenizer.window
    cut, cut_weighed = ask(
        model, [Request(long, max_tokens=5, truncate=True, raw=True), Request(long, choices=(" A",), truncate=True, raw=True)]
    )
    assert cut.truncated == whole.tokens_in - (model.tokenizer.window - 5)
    assert cut_weighed.truncated > 0
    pair = model.tokenizer.encode_pair(long, " A")
    kept = pair.context[-model.tokenizer.window :]
    assert cut_weighed.logprobs[0] == pytest.approx(reference(model, kept, pair.continuation), abs=1e-4)


@pytest.mark.slow
def test_rolling_windows_predict_every_token_once(model: TransformersModel) -> None:
    text = "There were 12 apples. " * 120
    ids = model.tokenizer.encode(text)
    assert len(ids) > 2 * model.tokenizer.window
    windows = list(model.tokenizer.rolling_windows(ids))
    assert [t for w in windows for t in w.continuation] == ids
    assert all(len(w.context) + len(w.continuation) <= model.tokenizer.window + 1 for w in windows)
    (response,) = ask(model, [Request("", choices=(text,), rolling=True, raw=True)])
    assert response.logprobs[0] == pytest.approx(sum(reference(model, w.context, w.continuation) for w in windows), abs=1e-2)


def test_each_choice_may_have_its_own_context(model: TransformersModel) -> None:
    (both,) = ask(model, [Request("", contexts=("The fox", "The dog"), choices=(" jumps",) * 2, raw=True)])
    apart = ask(model, [Request(c, choices=(" jumps",), raw=True) for c in ("The fox", "The dog")])
    assert both.logprobs == pytest.approx([r.logprobs[0] for r in apart], abs=1e-5)


@pytest.mark.slow
def test_templates(tmp_path: Path) -> None:
    folder = tiny.llama(tmp_path / "chat", template=True)
    checkpoint = Checkpoint("chat", str(folder), "transformers")
    request = Request("What is 3+4?", prefix="Answer:")
    own = load(checkpoint, TransformersOptions())
    assert own.template.render(request) == "<s><|user|>What is 3+4?<|end|><|assistant|>Answer:"
    first = own.tokenizer.hf_tokenizer.bos_token_id
    assert own.tokenizer.encode(own.template.render(request)).count(first) == 1
    assert own.template.render(replace(request, raw=True)) == "What is 3+4?Answer:"
    tulu = load(checkpoint, TransformersOptions(chat_template="tulu"))
    assert tulu.template.render(request) == "<|user|>\nWhat is 3+4?\n<|assistant|>\nAnswer:"
    none = load(checkpoint, TransformersOptions(chat_template="none"))
    assert none.template.render(request) == "What is 3+4?\nAnswer:"
    talk = (Message("system", "Be brief."), Message("user", "Hi"))
    assert tulu.template.render(Request(talk)) == "<|system|>\nBe brief.\n<|user|>\nHi\n<|assistant|>\n"
    assert len({own.settings["template"], tulu.settings["template"], none.settings["template"]}) == 3
    with pytest.raises(SkilldeltaError, match="chat template"):
        load(checkpoint, TransformersOptions(chat_template="chatml"))


@pytest.mark.slow
def test_an_adapter_answers_as_its_merged_model_does(folder: Path, model: TransformersModel, tmp_path: Path) -> None:
    torch.manual_seed(1)
    base = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    adapted = peft.get_peft_model(base, peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    adapted.save_pretrained(str(tmp_path / "lora"))
    config = (tmp_path / "lora" / "adapter_config.json").read_text()
    assert str(folder) in config
    (found,) = discovery.find_checkpoints([str(tmp_path / "lora")])
    lora = load(found, TransformersOptions())
    requests = [Request("What is 3+4?", choices=CHOICES), Request("What is 3+4?", max_tokens=10)]
    weighed, said = ask(lora, requests)
    merged = TransformersModel(adapted.merge_and_unload(), lora.tokenizer.hf_tokenizer, TransformersOptions())
    again, same = ask(merged, requests)
    assert weighed.logprobs == pytest.approx(again.logprobs, abs=1e-3)
    assert said.text == same.text
    assert weighed.logprobs != pytest.approx(ask(model, requests)[0].logprobs, abs=1e-3)


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    folder = tiny.llama(tmp_path / "bare")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(SkilldeltaError, match="bare cannot be loaded"):
        load(Checkpoint("bare", str(folder), "transformers"), TransformersOptions())


def test_a_reward_model_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    config = transformers.AutoConfig.from_pretrained(folder, num_labels=1)
    transformers.LlamaForSequenceClassification(config).save_pretrained(tmp_path / "rm")
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "rm")
    with pytest.raises(SkilldeltaError, match="rm cannot be loaded: it is a LlamaForSequenceClassification: it grades"):
        load(Checkpoint("rm", str(tmp_path / "rm"), "transformers"), TransformersOptions())


def test_weights_that_are_missing_are_not_made_up(folder: Path, tmp_path: Path) -> None:
    place = tiny.llama(tmp_path / "headless", tie_word_embeddings=False)
    weights = safetensors.torch.load_file(place / "model.safetensors")
    del weights["lm_head.weight"]
    safetensors.torch.save_file(weights, place / "model.safetensors", {"format": "pt"})
    with pytest.raises(SkilldeltaError, match=r"lacks 1 of the model's weights \(lm_head.weight\)"):
        load(Checkpoint("headless", str(place), "transformers"), TransformersOptions())


class Malice:
    """What runs when it is unpickled without care."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.mark.slow
def test_pickled_weights_with_code_are_refused_and_their_code_is_not_run(tmp_path: Path) -> None:
    place = tiny.llama(tmp_path / "evil")
    weights = safetensors.torch.load_file(place / "model.safetensors")
    (place / "model.safetensors").unlink()
    for bad, expected in ((False, None), (True, "would run code")):
        torch.save(weights | ({"x": Malice(tmp_path / "ran")} if bad else {}), place / "pytorch_model.bin")
        if expected:
            with pytest.raises(SkilldeltaError, match=expected):
                load(Checkpoint("evil", str(place), "transformers"), TransformersOptions())
        else:  # pickled tensors alone are welcome
            load(Checkpoint("good", str(place), "transformers"), TransformersOptions())
    assert not (tmp_path / "ran").exists()
    torch.load(place / "pytorch_model.bin", weights_only=False)
    assert (tmp_path / "ran").exists()  # it would have run


def test_a_pickled_adapter_with_code_is_refused(folder: Path, tmp_path: Path) -> None:
    base = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(str(tmp_path / "lora"))
    (tmp_path / "lora" / "adapter_model.safetensors").unlink()
    torch.save({"x": Malice(tmp_path / "ran")}, tmp_path / "lora" / "adapter_model.bin")
    with pytest.raises(SkilldeltaError, match="would run code"):
        load(Checkpoint("lora", str(tmp_path / "lora"), "peft", base=str(folder)), TransformersOptions())
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_a_model_that_cannot_be_decoded_behind_a_prefix_says_so(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: Any, **__: Any) -> Any:
        raise NotImplementedError("no such attention")

    other = TransformersModel(model.model, model.tokenizer.hf_tokenizer, TransformersOptions())
    with monkeypatch.context() as broken:
        broken.setattr(shared_prefix_attention, "attend", wrong)
        assert other.settings["engine"] == "tree, decoding plain"
    assert other.note == "no prefix is shared in decoding: NotImplementedError: no such attention"
    asked = [Request("What is 3+4?", max_tokens=6), Request("What is 3+4?", choices=CHOICES)]
    assert [r.text for r in ask(other, asked)] == [r.text for r in ask(model, asked)]
    assert (model.settings["engine"], model.note) == ("tree", "")


@pytest.mark.parametrize(
    ("device", "engine", "path", "slots"),
    [("cuda", "auto", "continuous", 256), ("cuda", "tree", "tree", 256), ("cpu", "auto", "auto", 64),
     ("cpu", "continuous", "continuous", 64)],
)  # fmt: skip
def test_texts_are_decoded_in_pages_where_that_is_asked_and_by_default_on_a_gpu(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch, device: str, engine: Any, path: str, slots: int
) -> None:
    made: list[tuple[Any, ...]] = []
    monkeypatch.setattr("harness.backends.transformers.Engine", lambda *arguments: made.append(arguments))
    options = TransformersOptions(engine=engine)
    there = SimpleNamespace(model=SimpleNamespace(device=torch.device(device)), options=options, tokenizer=model.tokenizer)
    TransformersModel.make_engine(there)  # type: ignore[arg-type]
    assert [(limits.slots, chosen) for _, limits, chosen, _ in made] == [(slots, path)]
