"""The noise floor: what changes when the same checkpoint is asked again, and what a comparison makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

import harness
import harness.api
from harness.backends.scripted import ScriptedModel
from harness.comparison.result import Difference
from harness.evaluation.outcome import SilentProgress
from harness.evaluation.questions import EvaluationSettings, Question
from harness.evaluation.repeatability import NoiseCheck, RepeatShare, compare_samples, measure_distances, repeat_cells
from harness.evaluation.run import score_checkpoints
from harness.statistics.noise import measure_noise
from harness.store import Results
from harness.types import Checkpoint, Example, Model, Request, Response, Sample, Score, SkilldeltaError
from tests.support import tiny, toys
from tests.support.results_folder import about, sample, store


def score_toy(folder: Path, n: int = 200) -> Results:
    results = Results.make(folder)
    score_checkpoints([toys.checkpoint("sft")], [toys.adding(n)], lambda _: toys.model(), results, EvaluationSettings())
    return results


def test_the_same_answers_are_no_noise(tmp_path: Path) -> None:
    results = score_toy(tmp_path)
    (found,) = repeat_cells([toys.checkpoint("sft")], [toys.adding(200)], lambda _: toys.model(), results, EvaluationSettings())
    assert (found.noise.n, found.noise.flips) == (50, 0)  # a tenth would be too few
    assert results.cell("sft", "adding").read().noise.n == 50


def test_answers_that_change_are_counted_and_what_was_stored_stays(tmp_path: Path) -> None:
    def forgets(request: Request) -> Response:
        right = toys.answer_sum(request)
        return right if int(right.text) % 5 else Response("no")

    results = score_toy(tmp_path)
    before = toys.tree(tmp_path)
    (found,) = repeat_cells(
        [toys.checkpoint("sft")],
        [toys.adding(200)],
        lambda _: toys.model(forgets),
        results,
        EvaluationSettings(),
        RepeatShare(1),
    )
    assert (found.noise.n, found.noise.flips, found.noise.shift, found.noise.answers) == (200, 40, -0.2, 40)
    assert toys.tree(tmp_path) == before


def test_even_a_whole_cell_is_asked_again_in_other_company(tmp_path: Path) -> None:
    """A model that sorts what it is given would otherwise do exactly what it did."""
    seen: list[frozenset[str]] = []

    class Watched(ScriptedModel):
        def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
            seen.append(frozenset(r.id for r in requests))
            yield from super().answer(requests)

    def loader(_: Checkpoint) -> Model:
        return Watched(toys.answer_sum, block=512)

    results = Results.make(tmp_path)
    score_checkpoints([toys.checkpoint("sft")], [toys.adding(30)], loader, results, EvaluationSettings())
    (first,) = seen
    (found,) = repeat_cells([toys.checkpoint("sft")], [toys.adding(30)], loader, results, EvaluationSettings(), RepeatShare(1))
    assert found.noise.n == 30
    assert frozenset().union(*seen[1:]) == first
    assert first not in seen[1:]


def test_an_answer_that_failed_once_is_counted_and_does_not_stop_the_rest() -> None:
    good = Sample("x", "y", Response(logprobs=(-1.0, -2.0)), Score(1.0))
    failed = Sample("x", "y", Response(finish="error", error="gone"), Score(None))
    noise = compare_samples([(good, failed), (good, good)])
    assert (noise.n, noise.flips, noise.answers, noise.drift) == (1, 0, 1, 0.0)


def test_what_was_never_scored_cannot_be_asked_again(tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match="sft has no samples of adding"):
        list(
            repeat_cells(
                [toys.checkpoint("sft")], [toys.adding()], lambda _: toys.model(), Results.make(tmp_path), EvaluationSettings()
            )
        )


def test_noise_that_makes_much_of_a_difference_widens_its_interval_and_can_undo_a_verdict(tmp_path: Path) -> None:
    old, new = [1.0] * 300 + [0.0] * 700, [1.0] * 320 + [0.0] * 680

    def delta(folder: str, flips: int) -> Difference:
        noise = {"noise": {"n": 1000, "flips": flips, "shift": 0.0}} if flips else {}
        for name, scores in (("sft", old), ("dpo", new)):
            store(tmp_path / folder, name, about("gsm8k", "gsm8k") | noise, [sample(i, s) for i, s in enumerate(scores)])
        comparison = harness.compare(tmp_path / folder, "sft")
        assert any("a second answer changes" in c for c in comparison.caveats) == bool(flips)
        found = comparison.row("dpo", "task", "gsm8k").difference
        assert found is not None
        return found

    quiet, little, much = delta("quiet", 0), delta("little", 2), delta("much", 400)
    assert (quiet.verdict, little.verdict, much.verdict) == ("better", "better", "unclear")
    assert quiet.noise is None
    assert (little.delta_low, little.delta_high) == (quiet.delta_low, quiet.delta_high)
    assert much.delta_low < 0 < quiet.delta_low
    assert much.noise == pytest.approx(40)


def test_what_moved_without_changing_a_score_is_told_too() -> None:
    def weighed(*logprobs: float) -> Sample:
        return Sample("x", "y", Response(logprobs=logprobs), Score(1.0))

    noise = compare_samples([(weighed(-1.0, -2.0), weighed(-1.5, -2.0)), (weighed(-1.0, -1.1), weighed(-1.2, -1.1))])
    assert (noise.n, noise.flips, noise.answers, noise.drift) == (2, 0, 1, 0.5)


def test_scoring_can_ask_a_share_again_at_once_with_the_model_that_is_loaded(tmp_path: Path) -> None:
    loaded: list[str] = []

    def loader(checkpoint: Checkpoint) -> Model:
        loaded.append(checkpoint.name)
        return toys.model()

    results, tasks = Results.make(tmp_path), [toys.adding(200), toys.adding(100, "more")]
    noise = NoiseCheck(0.02)
    checks = noise.attach(loader, tasks, results, EvaluationSettings(), SilentProgress())
    score_checkpoints(
        [toys.checkpoint("sft"), toys.checkpoint("dpo")], tasks, checks.load, results, EvaluationSettings(), checks
    )
    assert loaded == ["sft", "dpo"]
    assert [(f.checkpoint, f.task, f.noise.n) for f in noise.cells] == [
        ("sft", "adding", 4), ("sft", "more", 2), ("dpo", "adding", 4), ("dpo", "more", 2)
    ]  # fmt: skip
    comparison = harness.compare(tmp_path, "sft")
    assert "Of 12 items that were answered twice, 0 got another answer, and 0 another score." in comparison.caveats


def test_a_share_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match="a share is above 0 and at most 1"):
        NoiseCheck(2.0).attach(lambda _: toys.model(), [], Results.make(tmp_path), EvaluationSettings(), SilentProgress())


def test_rounding_is_no_flip_and_a_score_between_0_and_1_counts_by_the_square_of_its_change() -> None:
    """mc2 in bfloat16: half of the scores move, by a thousandth; counted as whole flips that would drown every difference."""
    before = np.full(100, 0.4)
    assert measure_noise(before, before + 1e-8).flips == 0
    moved = measure_noise(before, before + np.tile([0.0, 0.001], 50))
    assert (moved.n, moved.flips) == (100, 50)
    assert moved.rate == pytest.approx(0.5e-6)
    whole = measure_noise(np.zeros(100), np.tile([0.0, 1.0], 50))
    assert whole.rate == whole.flips / whole.n == 0.5


def test_small_moves_of_many_scores_leave_an_interval_as_it_is(tmp_path: Path) -> None:
    source = np.random.default_rng(0)
    old = source.random(200)
    new = np.clip(old + source.normal(0.05, 0.1, 200), 0, 1)

    def interval(folder: str, square: float) -> tuple[float, float]:
        noise = {"noise": {"n": 200, "flips": 100, "shift": 0.0, "square": square}} if square else {}
        for name, scores in (("sft", old), ("dpo", new)):
            store(tmp_path / folder, name, about("mc2", "facts") | noise, [sample(i, float(s)) for i, s in enumerate(scores)])
        found = harness.compare(tmp_path / folder, "sft").row("dpo", "task", "mc2").difference
        assert found is not None
        return found.delta_low, found.delta_high

    quiet = interval("quiet", 0.0)
    assert interval("little", 0.5e-6) == quiet
    assert interval("much", 0.02)[0] < quiet[0]


@pytest.mark.parametrize("choices", [(" 7", " 12 apples"), ()])
def test_a_model_with_plain_batches_says_how_far_they_and_its_engine_are_apart(
    tmp_path: Path, choices: tuple[str, ...]
) -> None:
    """In float32 both are rounding; a model whose engine is off would show it in nats."""
    model = harness.api.Backend(options={"device": "cpu"}).loader()(
        Checkpoint("m", str(tiny.llama(tmp_path / "m")), "transformers")
    )
    questions = [
        Question(Example({"n": n}), Request(f"Question {n}: how many apples?", choices=choices, max_tokens=8)) for n in range(6)
    ]
    samples = [Sample(str(n), "", r, Score(1.0)) for n, r in sorted(model.answer([q.request for q in questions]))]
    plain, ours = measure_distances(model, questions, samples)
    assert 0 <= plain < 1e-4
    assert 0 <= ours < 1e-4
    assert measure_distances(toys.model(), questions, samples) == (None, None)
