"""Checkpoints of one family: what is done once for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from harness.backends.transformers import TransformersOptions, load
from harness.engine import loglikelihood, prompt_prefill
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.run import score_checkpoints
from harness.prompts import tokenizer_cache
from harness.store import Results
from harness.types import Checkpoint, Request, Response, Score, Task
from tests.support import tiny


def weighing() -> Task:
    """Choices after a common beginning."""
    return Task(
        name="weighing",
        skill="reasoning",
        version=1,
        source="made for this test",
        rows=lambda folder: [{"n": i} for i in range(30)],
        ask=lambda e: Request(f"The quick brown fox: {e.row['n']}?", choices=(" A", " B")),
        score=lambda e, r: Score(float(r.logprobs[0] > r.logprobs[1])),
        ideal=lambda e: Response(logprobs=(0.0, -1.0)),
    )


def writing() -> Task:
    return Task(
        name="writing",
        skill="reasoning",
        version=1,
        source="made for this test",
        rows=lambda folder: [{"n": i} for i in range(30)],
        ask=lambda e: Request(f"The quick brown fox: {e.row['n']}?", max_tokens=4, stop=(".",)),
        score=lambda e, r: Score(float(bool(r.text))),
        ideal=lambda e: Response("x"),
    )


class Backend:
    """A tokenizer's backend that counts."""

    def __init__(self, inner: Any, counts: Counter[str]) -> None:
        self.inner, self.counts = inner, counts

    def encode(self, text: str, **how: Any) -> Any:
        self.counts["encode"] += 1
        return self.inner.encode(text, **how)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a tree is grown, a tokenizer loaded, a text encoded."""
    found: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **more: Any) -> Any:
            found[name] += 1
            return function(*given, **more)

        return call

    for module in (loglikelihood, prompt_prefill):
        monkeypatch.setattr(module, "build_tree", counted("grow", module.build_tree))
    monkeypatch.setattr(tokenizer_cache, "CachedTokenizer", counted("tokenizers", tokenizer_cache.CachedTokenizer))
    make = tokenizer_cache.WindowedTokenizer

    def tokens(*given: Any) -> Any:
        made = make(*given)
        made.incremental.backend = Backend(made.incremental.backend, found)
        return made

    monkeypatch.setattr(tokenizer_cache, "WindowedTokenizer", tokens)
    monkeypatch.setattr("harness.backends.transformers.LAST_TOKENIZER", tokenizer_cache.LastTokenizer())
    return found


def scored(folder: Path, places: list[Path], counts: Counter[str]) -> tuple[Counter[str], dict[str, bytes]]:
    checkpoints = [Checkpoint(p.name, str(p), "transformers") for p in places]
    counts.clear()
    results = Results.make(folder)
    outcomes = score_checkpoints(
        checkpoints, [weighing(), writing()], lambda c: load(c, TransformersOptions()), results, EvaluationSettings()
    )
    assert {o.state for o in outcomes} == {"done"}
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("samples.jsonl")}
    return Counter(counts), files


@pytest.mark.slow
def test_more_checkpoints_with_one_tokenizer_cost_neither_encoding_nor_trees(tmp_path: Path, counts: Counter[str]) -> None:
    places = [tiny.llama(tmp_path / name, seed) for seed, name in enumerate("abc")]
    alone, _ = scored(tmp_path / "alone", places[:1], counts)
    together, files = scored(tmp_path / "together", places, counts)
    assert alone["tokenizers"] == 1
    assert alone["encode"] > 30
    trials = 6  # each model is tried on small trees of its own: to weigh and to decode, for structure and for rounding
    assert together["tokenizers"] == 0  # the last family is still there
    assert together["encode"] == 0
    assert together["grow"] in (2 * trials, 3 * trials)  # the first model may still be in memory, with what its tests showed
    assert alone["grow"] == trials + 2
    for place in places:
        _, apart = scored(tmp_path / f"apart {place.name}", [place], counts)
        assert apart.items() <= files.items()


@pytest.mark.slow
def test_another_tokenizer_is_loaded(tmp_path: Path, counts: Counter[str]) -> None:
    places = [tiny.llama(tmp_path / "a"), tiny.llama(tmp_path / "b", texts=("other words " * 9,), vocabulary=300)]
    places.append(tiny.llama(tmp_path / "c", template=True))
    found, _ = scored(tmp_path / "results", places, counts)
    assert found["tokenizers"] == 3


def test_the_same_folder_content_is_the_same_tokenizer_and_a_hub_name_is_its_own(tmp_path: Path) -> None:
    one, two = tiny.llama(tmp_path / "a"), tiny.llama(tmp_path / "b", 1)
    assert tokenizer_cache.tokenizer_key(str(one)) == tokenizer_cache.tokenizer_key(str(two)) != ""
    assert tokenizer_cache.tokenizer_key(str(one), "more") != tokenizer_cache.tokenizer_key(str(one))
    other = tokenizers.Tokenizer.from_file(str(two / "tokenizer.json"))
    other.add_special_tokens(["<|more|>"])
    other.save(str(two / "tokenizer.json"))
    assert tokenizer_cache.tokenizer_key(str(one)) != tokenizer_cache.tokenizer_key(str(two))
    assert tokenizer_cache.tokenizer_key("nobody/nothing") == ""


def test_the_cache_of_plans_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tree:
        size = 10

    monkeypatch.setattr(tokenizer_cache, "MAX_CACHED_TOKENS", 25)
    kept = tokenizer_cache.CachedTokenizer(None)
    first = [kept.plan_once(n, Tree) for n in range(4)]
    again = [kept.plan_once(n, Tree) for n in range(4)]
    assert [a is b for a, b in zip(first, again, strict=True)] == [True, True, False, False]


@pytest.mark.slow
def test_other_requests_get_a_plan_of_their_own(tmp_path: Path, counts: Counter[str]) -> None:
    model = load(Checkpoint("a", str(tiny.llama(tmp_path / "a")), "transformers"), TransformersOptions())
    one, two = [Request("What?", choices=(" A",))], [Request("What?", choices=(" A", " B"))]
    assert len(dict(model.answer(one))[0].logprobs) == 1
    assert len(dict(model.answer(two))[0].logprobs) == 2
    first = dict(model.answer([Request("What?", max_tokens=3)]))[0]
    assert dict(model.answer([Request("What?", max_tokens=1)]))[0].tokens_out <= 1 <= first.tokens_out
