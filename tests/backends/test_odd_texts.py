"""Odd texts, over-long texts and strange settings, against lm-eval's own hf model: the same numbers and the same texts."""

from collections.abc import Sequence
from typing import Any

import pytest
import transformers
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model
from lm_eval.models.huggingface import HFLM
from tokenizers import processors

import harness.lm_eval_model  # noqa: F401  registers the model
from harness.backends.transformers import TransformersModel, TransformersOptions, load
from harness.prompts.tokenization import WindowedTokenizer
from harness.types import Checkpoint, Request, Response
from tests.support import tiny

WINDOW = 64
SHOT = "Question: How many apples are left? Answer: 7.\n\n"
PAIRS = [
    ("", " A"), ("", "A"), ("", "<s>A"), ("", "<|end|>A"), ("a  ", " b"), ("a\n\n", "b"), ("<s>a", " b"), ("<s>", " b"),
    ("a<|end|>", " b"), ("你好", "，🙂"), ("naïve caf", "é"), ("Q", "uestion"), ("a\u00a0", " b"), ("a\t", "b"),
    ("<s>   ", "b"),
    (SHOT * 4, " A"), (SHOT * 4, SHOT * 2), ("a", SHOT * 3), ("", SHOT * 4),
]  # fmt: skip
TEXTS = ["a", " a b", SHOT, SHOT * 6, "<s>" + SHOT * 3, "你好 🙂" * 30, "x" * WINDOW, "x" * (WINDOW + 1), "<s>"]
PROMPTS = ["a", " ", "a  ", "<s>a", "<|end|>", SHOT * 5, "你好", "x<|end|>y"]
STOPS = [[], ["e"], ["\n", " "], ["<|end|>"], ["é", "你"], ["a" * 40], ["The", "he"], ["�"]]


@pytest.fixture(scope="module", params=["no token before a text", "one token before a text"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tiny.llama(tmp_path_factory.mktemp("model"), window=WINDOW)
    if request.param.startswith("one"):
        made = transformers.AutoTokenizer.from_pretrained(folder)
        made.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", made.bos_token_id)]
        )
        made.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def hf(place: str) -> Any:
    """In batches of one: in a batch, the first text decides for all whether a token is put before them."""
    return get_model("hf")(place, device="cpu", dtype="float32", batch_size=1)


@pytest.fixture(scope="module")
def registered(place: str) -> Any:
    return get_model("skilldelta")(place, device="cpu", dtype="float32", batch_size=2)


@pytest.fixture(scope="module")
def backend(place: str) -> TransformersModel:
    return load(Checkpoint("tiny", place, "transformers"), TransformersOptions(chat_template="none"))


def instances(kind: Any, arguments: Sequence[tuple[Any, ...]]) -> list[Instance]:
    return [Instance(request_type=kind, doc={}, arguments=a, idx=i, metadata=("t", i, 1)) for i, a in enumerate(arguments)]


def ask(backend: TransformersModel, requests: Sequence[Request]) -> list[Response]:
    answers = dict(backend.answer(requests))
    assert sorted(answers) == list(range(len(requests)))
    return [answers[i] for i in range(len(requests))]


@pytest.mark.slow
def test_pairs(hf: Any, registered: Any, backend: TransformersModel) -> None:
    known, found = (m.loglikelihood(instances("loglikelihood", PAIRS), disable_tqdm=True) for m in (hf, registered))
    own = ask(backend, [Request(c, choices=(t,), raw=True, truncate=True) for c, t in PAIRS])
    for pair, one, two, three in zip(PAIRS, known, found, own, strict=True):
        assert (two[0], three.logprobs[0]) == pytest.approx((one[0], one[0]), abs=1e-4), pair
        assert (two[1], three.greedy[0]) == (one[1], one[1]), pair


@pytest.mark.slow
def test_whole_texts(hf: Any, registered: Any, backend: TransformersModel) -> None:
    asked = instances("loglikelihood_rolling", [(t,) for t in TEXTS])
    known, found = (m.loglikelihood_rolling(asked, disable_tqdm=True) for m in (hf, registered))
    own = ask(backend, [Request("", choices=(t,), rolling=True, raw=True) for t in TEXTS])
    assert found == pytest.approx(known, abs=1e-3)
    assert [r.logprobs[0] for r in own] == pytest.approx(known, abs=1e-3)


def test_ordinary_settings_have_no_penalties(registered: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"temperature": 0.6, "top_p": 0.9, "do_sample": True, "repetition_penalty": 1.0}.items():
        monkeypatch.setattr(registered.model.generation_config, name, value)
    assert not registered.has_penalties


@pytest.mark.slow
def test_generated_texts(hf: Any, registered: Any, backend: TransformersModel) -> None:
    end = backend.tokenizer.hf_tokenizer.eos_token
    for stops in STOPS:
        asked = instances("generate_until", [(p, {"until": list(stops), "max_gen_toks": 10}) for p in PROMPTS])
        known, found = (m.generate_until(asked, disable_tqdm=True) for m in (hf, registered))
        own = ask(backend, [Request(p, stop=(*stops, end), max_tokens=10, raw=True, truncate=True) for p in PROMPTS])
        assert found == known, stops
        assert [r.text for r in own] == known, stops


def test_what_hf_cannot_take_is_not_passed_off_as_a_number(hf: Any, registered: Any, backend: TransformersModel) -> None:
    beyond, nothing = ("a", SHOT * 6), ("a", "")
    for pair in (beyond, nothing):
        with pytest.raises(AssertionError):
            hf.loglikelihood(instances("loglikelihood", [pair]), disable_tqdm=True)
        with pytest.raises(ValueError, match="no place in a window of 64"):
            registered.loglikelihood(instances("loglikelihood", [pair]), disable_tqdm=True)
    long, empty, fine = ask(
        backend, [Request(c, choices=(t,), raw=True, truncate=True) for c, t in (beyond, nothing, ("a", " b"))]
    )
    assert (long.finish, long.logprobs) == ("overlong", ())
    assert (empty.finish, empty.logprobs) == ("error", ())
    assert "adds no token" in empty.error
    assert fine.logprobs


def test_nothing_to_go_on_from_is_the_token_that_begins_texts(backend: TransformersModel) -> None:
    """hf cannot take an empty prompt, or one of blanks to weigh after, where its tokenizer puts nothing before them."""
    first = backend.tokenizer.hf_tokenizer.bos_token
    for blanks in ("", " ", " \n"):
        bare, begun = ask(backend, [Request(p + blanks, choices=("b",), raw=True) for p in ("", first)])
        assert bare.logprobs == pytest.approx(begun.logprobs, abs=1e-4)
    bare, begun = ask(backend, [Request(p, max_tokens=5, raw=True) for p in ("", first)])
    assert bare.text == begun.text


def test_an_empty_text_as_a_whole_is_certain(backend: TransformersModel) -> None:
    (said,) = ask(backend, [Request("", choices=("",), rolling=True, raw=True)])
    assert said.logprobs == (0.0,) or len(backend.tokenizer.encode("")) == 1


def test_letters_that_merge_into_the_last_token_of_the_context_are_encoded_apart(place: str) -> None:
    """lm-eval stops at such a pair."""
    tokens = WindowedTokenizer(transformers.AutoTokenizer.from_pretrained(place), WINDOW)
    merged = next(t for t in sorted(tokens.hf_tokenizer.vocab) if t.isascii() and t.isalpha() and len(t) == 2)
    context, rest = merged
    pair = tokens.encode_pair(context, rest)
    assert list(pair.context) == tokens.encode(context)
    assert list(pair.continuation) == tokens.hf_tokenizer.encode(rest, add_special_tokens=False)


@pytest.mark.parametrize("changes", [{"repetition_penalty": 1.5}, {"suppress_tokens": [5, 6, 7]}, {"min_new_tokens": 8}])
def test_the_models_own_generation_settings_are_hfs_to_follow(
    registered: Any, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    asked = instances("generate_until", [(SHOT, {"until": [], "max_gen_toks": 10})])
    for name, value in changes.items():
        monkeypatch.setattr(registered.model.generation_config, name, value)
    assert registered.has_penalties
    found = registered.generate_until(asked, disable_tqdm=True)
    assert found == HFLM.generate_until(registered, asked, disable_tqdm=True)
    monkeypatch.setattr(HFLM, "generate_until", lambda self, requests, disable_tqdm=False: ["as hf"])
    assert registered.generate_until(asked) == ["as hf"]
