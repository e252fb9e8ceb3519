"""Random trees of requests under random budgets, slots and shortages of memory, against the model called one text at a time."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from harness.backends.transformers import TransformersModel, TransformersOptions, load
from harness.engine import kv_cache
from harness.engine.engine import BatchLimits, Engine
from harness.types import Checkpoint, Request, Response
from tests.support import tiny

WINDOW = 48
NEAR = 1e-5  # of two logits or cumulative probabilities nearer than this, rounding decides
PIECES = [
    "Question: ",
    "What is ",
    "3+4",
    "?",
    "\n",
    "  ",
    "naïve ",
    "你好",
    "🙂",
    "<s>",
    "<|end|>",
    "apples",
    "a",
    "\u00a0",
    "é",
]
STOPS = [" ", "\n", "e", "an", "é", "好", "🙂", "\n\n", "  ", "?", "Th", "�"]


class Short:
    """A model whose memory runs out in some of its passes, before the pass or after it has written to the cache; not in those
    of a single token, of which there is no less."""

    def __init__(self, model: Any, passes: set[int]) -> None:
        self.model, self.passes, self.count = model, passes, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def __call__(self, **inputs: Any) -> Any:
        self.count += 1
        short = self.count in self.passes and inputs["input_ids"].numel() > 1
        if short and self.count % 2:
            raise torch.OutOfMemoryError("before")
        out = self.model(**inputs)
        if short:
            raise torch.OutOfMemoryError("after")
        return out


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TransformersModel:
    return load(
        Checkpoint("t", str(tiny.llama(tmp_path_factory.mktemp("m") / "t", window=WINDOW)), "transformers"),
        TransformersOptions(),
    )


def logits(model: TransformersModel, ids: Sequence[int]) -> torch.Tensor:
    with torch.no_grad():
        return model.model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0].double()  # type: ignore[no-any-return]


def weighed(model: TransformersModel, context: Sequence[int], continuation: Sequence[int]) -> tuple[float, bool]:
    """As lm-eval does it: cut on the left to one token more than the window, the last one never fed."""
    ids = [*context, *continuation][-(WINDOW + 1) :]
    found = logits(model, ids[:-1])[-len(continuation) :].log_softmax(-1)
    wanted = torch.tensor(list(continuation))
    return found.gather(1, wanted[:, None]).sum().item(), bool((found.argmax(1) == wanted).all())


def continued(model: TransformersModel, request: Request) -> tuple[str, str]:
    """Text and finish, token by token, the whole text computed again for each; stop strings are looked for in all of it."""
    tokenizer = model.tokenizer.hf_tokenizer
    first = tokenizer.encode(str(request.prompt)) or [tokenizer.bos_token_id]
    ids = first[-(WINDOW - request.max_tokens) :]
    noise = random.Random(model.encoder.to_token_prompt(request, ids).seed)
    said: list[int] = []
    while len(said) < request.max_tokens:
        token = chosen(logits(model, [*ids, *said])[-1], request, noise)
        if token == tokenizer.eos_token_id:
            return tokenizer.decode(said, skip_special_tokens=True), "stop"
        said.append(token)
        text = tokenizer.decode(said, skip_special_tokens=True)
        places = [text.find(s) for s in request.stop if s in text]
        if places:
            return text[: min(places)], "stop"
    return tokenizer.decode(said, skip_special_tokens=True), "length"


def chosen(logits: torch.Tensor, request: Request, noise: random.Random) -> int:
    if not request.temperature:
        best = logits.topk(2)
        assume(best.values[0] - best.values[1] > NEAR)
        return int(best.indices[0])
    number = noise.random()
    probs = (logits / request.temperature).softmax(0)
    order = list(range(len(probs)))
    if request.top_p < 1:
        order.sort(key=lambda i: -probs[i])
        mass = 0.0
        kept = []
        for i in order:
            if mass >= request.top_p:
                break
            assume(abs(mass - request.top_p) > NEAR)
            kept.append(i)
            mass += float(probs[i])
        order = kept
    total = float(sum(probs[i] for i in order))
    mass = 0.0
    for i in order:
        mass += float(probs[i]) / total
        assume(abs(mass - number) > NEAR or i == order[-1])
        if mass > number:
            return i
    return order[-1]


texts = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)


@st.composite
def trees(draw: st.DrawFn) -> list[str]:
    """Prompts that begin alike; some twice, some the beginning of another, some empty."""
    stem = draw(texts)
    found = [stem[: draw(st.integers(0, len(stem)))] + draw(texts) for _ in range(draw(st.integers(1, 5)))]
    return [*found, *draw(st.lists(st.sampled_from([*found, stem, ""]), max_size=3))]


@st.composite
def continuing(draw: st.DrawFn) -> list[Request]:
    heat = st.sampled_from([(0.0, 1.0), (0.0, 1.0), (1.0, 1.0), (0.7, 0.8)])
    found = []
    for prompt in draw(trees()):
        temperature, top_p = draw(heat)
        stop = tuple(draw(st.lists(st.sampled_from(STOPS), max_size=2)))
        asked = Request(
            prompt, raw=True, truncate=True, stop=stop, max_tokens=draw(st.integers(1, 9)), draw=draw(st.integers(0, 2))
        )
        found.append(replace(asked, temperature=temperature, top_p=top_p))
    return found


@st.composite
def conditions(draw: st.DrawFn) -> tuple[BatchLimits, set[int], int]:
    """Rows, slots and tokens a pass; the passes in which memory runs out, so few that there is something left to halve; and
    the slots of a block."""
    block = draw(st.integers(1, 8))
    if draw(st.booleans()):
        return BatchLimits(draw(st.integers(1, 8)), draw(st.integers(1, 8)), draw(st.integers(1, 64))), set(), block
    return BatchLimits(8, 8, 64), draw(st.sets(st.integers(1, 12), max_size=3)), block


def ask(
    model: TransformersModel, requests: Sequence[Request], limits: BatchLimits, short: set[int], block: int = 8
) -> list[Response]:
    """The answers of the same model under other conditions; the trial of what it can take is not repeated."""
    engine = Engine(Short(model.model, short), limits, "tree")
    asked = TransformersModel(model.model, model.tokenizer.hf_tokenizer, TransformersOptions(chat_template="none"))
    asked.engine = engine
    with mock.patch.object(kv_cache, "rows_per_block", return_value=block):
        answers = dict(asked.answer(requests))
    assert sorted(answers) == list(range(len(requests)))
    return [answers[i] for i in range(len(requests))]


quickly = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much])


@pytest.mark.slow
@quickly
@given(requests=continuing(), how=conditions())
def test_texts_are_those_of_the_model_called_token_by_token(
    model: TransformersModel, requests: list[Request], how: tuple[BatchLimits, set[int], int]
) -> None:
    known = [continued(model, r) for r in requests]
    assert [(r.text, r.finish) for r in ask(model, requests, *how)] == known


@pytest.mark.slow
@quickly
@given(prompts=trees(), choices=st.lists(texts.filter(bool), min_size=1, max_size=4), how=conditions())
def test_choices_have_the_log_likelihood_of_the_model_called_on_each_alone(
    model: TransformersModel, prompts: list[str], choices: list[str], how: tuple[BatchLimits, set[int], int]
) -> None:
    found = ask(model, [Request(p, choices=tuple(choices), raw=True, truncate=True) for p in prompts], *how)
    for prompt, response in zip(prompts, found, strict=True):
        pairs = [model.tokenizer.encode_pair(prompt, c) for c in choices if prompt or c != model.tokenizer.start_text]
        if len(pairs) < len(choices):  # the token that begins texts, after nothing, is no continuation
            assert response.finish == "error"
            continue
        known = [weighed(model, p.context, p.continuation) for p in pairs]
        assert response.logprobs == pytest.approx([k for k, _ in known], abs=1e-4)
        assert response.greedy == tuple(g for _, g in known)


@pytest.mark.slow
@quickly
@given(text=st.lists(st.sampled_from(PIECES), max_size=60).map("".join), how=conditions())
def test_a_whole_text_has_the_log_likelihood_of_its_windows(
    model: TransformersModel, text: str, how: tuple[BatchLimits, set[int], int]
) -> None:
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    (found,) = ask(model, [Request("", choices=(text,), rolling=True, raw=True)], *how)
    ids = model.tokenizer.encode(text)
    windows = get_rolling_token_windows(ids, model.tokenizer.start_id, WINDOW, 1)
    known = [weighed(model, *make_disjoint_window(w)) for w in windows]
    assert found.logprobs == pytest.approx([sum(k for k, _ in known)], abs=1e-3)
    assert found.greedy == (all(g for _, g in known),)


@pytest.mark.slow
@settings(quickly, max_examples=10)
@given(requests=continuing(), data=st.data())
def test_an_answer_depends_neither_on_order_nor_on_other_requests(
    model: TransformersModel, requests: list[Request], data: st.DataObject
) -> None:
    for request in requests:
        continued(model, request)  # leaves out what rounding decides
    together = ask(model, requests, BatchLimits(4, 4, 16), set())
    some = data.draw(st.permutations(range(len(requests))))[: data.draw(st.integers(1, len(requests)))]
    assert [r.text for r in ask(model, [requests[i] for i in some], BatchLimits(2, 3, 7), set())] == [
        together[i].text for i in some
    ]
    draws = [replace(requests[0], temperature=1.0, draw=d) for d in range(4)]
    found = ask(model, draws, BatchLimits(4, 4, 16), set())
    for one, response in zip(draws, found, strict=True):
        continued(model, one)
        assert ask(model, [one], BatchLimits(1, 1, 64), set())[0].text == response.text


@pytest.mark.slow
@quickly
@given(prompt=texts, start=st.integers(0, 30), length=st.integers(1, 5), limits=conditions())
def test_a_stop_string_ends_the_text_wherever_it_lies(
    model: TransformersModel, prompt: str, start: int, length: int, limits: tuple[BatchLimits, set[int], int]
) -> None:
    free = Request(prompt, raw=True, truncate=True, max_tokens=16)
    text, _ = continued(model, free)
    stop = text[start : start + length]
    assume(stop)
    asked = replace(free, stop=(stop,))
    (found,) = ask(model, [asked], *limits)
    assert (found.text, found.finish) == continued(model, asked)
    assert stop not in found.text
