"""Drafts from the text so far: the same texts as single steps, in fewer of them, and never more tokens than slots."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.engine import self_test
from harness.engine.engine import BatchLimits, Engine
from harness.engine.generate import DecodingRules, DecodingRun, generate_over_tree
from harness.engine.kv_cache import DecodingBatch
from harness.engine.prompt_lookup import DRAFT_TOKENS, MATCHED_TOKENS, LookupRun, TextSoFar
from harness.engine.sequences import Generation, TokenPrompt
from harness.engine.token_folds import fold_tokens
from tests.engine.test_continuous_batching import ENDS, PATHS, ends_never, questions
from tests.engine.test_engine import CONFIGS, make

FAMILIES = {**PATHS, "gpt2": CONFIGS["gpt2"], "gemma2": CONFIGS["gemma2"]}
ENGINES: dict[str, Engine] = {}


def engine_of(name: str) -> Engine:
    if name not in ENGINES:
        ENGINES[name] = Engine(make(FAMILIES[name]), BatchLimits(8, 6))
    return ENGINES[name]


def decode(engine: Engine, prompts: Sequence[TokenPrompt], slots: int, run: type[DecodingRun] | None) -> dict[int, Generation]:
    plan = engine.plan_prompts(prompts).tree
    return dict(generate_over_tree(engine.model, plan, DecodingRules(slots, ENDS, run=run), engine.budget))


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=8, deadline=None)
@given(prompts=questions(), slots=st.integers(1, 9))
def test_texts_are_those_of_single_steps(name: str, prompts: list[TokenPrompt], slots: int) -> None:
    engine = engine_of(name)
    assert engine.shares_prefixes
    assert decode(engine, prompts, slots, LookupRun) == decode(engine, prompts, slots, None)


def repeating_model() -> Any:
    """A model whose next token is the last one plus one, of ten: it has nothing but embeddings and a head."""
    model = make(CONFIGS["llama"])
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "_proj" in name:
                weights.zero_()
        table_size = model.config.vocab_size, model.config.hidden_size
        table = torch.nn.functional.normalize(torch.randn(table_size, generator=torch.manual_seed(0)), dim=1)
        model.get_input_embeddings().weight.copy_(table)
        following = torch.tensor([10 + (token + 1) % 10 for token in range(model.config.vocab_size)])
        head = torch.zeros_like(table).index_copy(0, following[10:20], table[10:20])
        model.lm_head.weight = torch.nn.Parameter(head)
    return model


def count_fed(monkeypatch: pytest.MonkeyPatch, model: Any, prompts: list[TokenPrompt], slots: int) -> tuple[list[int], Any]:
    """How many tokens each step had, and the texts."""
    fed: list[int] = []
    step = DecodingBatch.step

    def counted_step(batch: DecodingBatch, *given: Any) -> torch.Tensor:
        logits = step(batch, *given)
        fed.append(len(logits))
        return logits

    monkeypatch.setattr(DecodingBatch, "step", counted_step)
    engine = Engine(model, BatchLimits(8, slots), "tree")
    return fed, dict(engine.generate(engine.plan_prompts(prompts), ENDS))


def test_an_answer_that_repeats_itself_takes_a_third_of_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = TokenPrompt([10, 15], 100, ends_never)
    fed, texts = count_fed(monkeypatch, repeating_model(), [prompt], 8)
    assert texts[0].ids == [10 + (6 + n) % 10 for n in range(100)]
    # Eleven steps until the last three tokens have stood in the text before, then three tokens in each.
    assert fed == [1] * 11 + [1 + DRAFT_TOKENS] * 29 + [1]


def test_a_step_has_no_more_tokens_than_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = [TokenPrompt([10, 10 + n], 40 + n, ends_never) for n in range(6)]
    fed, texts = count_fed(monkeypatch, repeating_model(), prompts, 7)
    assert max(fed) <= 7
    assert [len(texts[n].ids) for n in range(6)] == [40 + n for n in range(6)]
    alone, same = count_fed(monkeypatch, repeating_model(), prompts, 1)
    assert set(alone) == {1}
    assert same == texts


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.lists(st.integers(0, 3), max_size=20), st.integers(0, 5))
def test_drafts_follow_the_last_place_where_the_end_of_the_text_stands(ids: list[int], answer: list[int], most: int) -> None:
    text = TextSoFar(TokenPrompt(ids, 20, ends_never))
    text.take(answer[: len(answer) // 2])
    text.take(answer)
    whole, n = [*ids, *answer], MATCHED_TOKENS
    places = [i for i in range(len(whole) - n) if whole[i : i + n] == whole[len(whole) - n :]] if len(whole) > n else []
    assert text.find_drafts(most) == (whole[places[-1] + n :][:most] if places else [])


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(1, 3))
def test_folded_tokens_come_back_where_they_were(fed: list[int], each: int) -> None:
    fold = fold_tokens(fed, torch.device("cpu"))
    if fold is None:
        assert set(fed) == {1}
        return
    queries = torch.arange(sum(fed) * 2 * each * 3).view(sum(fed), 2, each, 3)
    folded = fold.queries(queries)
    assert folded.shape == (len(fed), 2, max(fed) * each, 3)
    assert torch.equal(fold.tokens(folded, each), queries)
    rows = torch.arange(len(fed)).repeat_interleave(torch.tensor(fed))
    folded_rows = fold.queries(rows[:, None, None, None].expand(-1, 2, each, 3))
    assert all(folded_rows[row].eq(row).all() for row in range(len(fed)))
    mask = torch.arange(sum(fed) * 4.0).view(sum(fed), 1, 1, 4)
    of_queries = fold.queries(mask[:, :, 0, :1, None].expand(-1, 2, each, 1))
    assert torch.equal(fold.mask(mask, each)[:, 0, :, 0], of_queries[:, 0, :, 0])


@pytest.mark.parametrize("kind", ["rows", "places"])
def test_a_model_that_reads_a_row_of_drafts_wrongly_is_refused(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """The self-test feeds several tokens of a row at once."""
    model = make(CONFIGS["llama"])
    assert not self_test.decoding_unsupported_reason(model)
    step = DecodingBatch.step

    def wrong_step(batch: DecodingBatch, tokens: Any, drafts: Any = ()) -> torch.Tensor:
        if kind == "rows":  # each draft the first one of its row
            drafts = [[draft[0]] * len(draft) if draft else [] for draft in drafts]
        logits = step(batch, tokens, drafts)
        if kind == "places":
            logits = logits.flip(0)
        return logits

    monkeypatch.setattr(DecodingBatch, "step", wrong_step)
    assert "when rows are decoded behind a shared prefix" in self_test.decoding_unsupported_reason(model)
