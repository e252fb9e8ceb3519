"""Tasks that a judge scores: rows in the published formats, what is asked, and what a judge is shown."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import transformers

from harness import data, registry
from harness.evaluation.questions import Question
from harness.evaluation.scoring import score_response
from harness.grading.criteria import BETTER, INFORMATIVE, RATING, TRUTHFUL, compares_answers
from harness.grading.questions import Grade, JudgeQuestion
from harness.judges import truthfulqa as truthfulqa_judges
from harness.prompts.reading import Reader
from harness.types import Example, Json, Message, Request, Response, SkilldeltaError
from tasks import alpaca_eval, arena_hard, mt_bench, summarization, truthfulqa_generation
from tests.support import absent_data, tiny


class Listener:
    """Remembers what it is asked; everything holds by so much."""

    def __init__(self, value: float = 1.0) -> None:
        self.value, self.questions = value, list[JudgeQuestion]()

    def grade_all(self, questions: Sequence[JudgeQuestion]) -> list[Grade]:
        self.questions += questions
        return [Grade(self.value)] * len(questions)


def write(file: Path, rows: Sequence[Json]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def mt_bench_folder(tmp_path: Path) -> Path:
    """Two questions as FastChat has them; the second has reference answers."""
    questions = [(81, "writing", ["Write.", "Again."]), (101, "math", ["1+1?", "And 2+2?"])]
    write(
        tmp_path / "mt_bench/question.jsonl",
        [dict(zip(("question_id", "category", "turns"), q, strict=True)) for q in questions],
    )
    for kind, ids in (("model_answer", (81, 101)), ("reference_answer", (101,))):
        rows = [
            {"question_id": i, "choices": [{"index": 0, "turns": [f"{kind} {i} first", f"{kind} {i} second"]}]} for i in ids
        ]
        write(tmp_path / f"mt_bench/{kind}/gpt-4.jsonl", rows)
    return tmp_path


def test_mt_benchs_second_turn_follows_on_the_recorded_answer(mt_bench_folder: Path) -> None:
    first, second = (data.examples(registry.task(name), mt_bench_folder) for name in ("mt_bench", "mt_bench_second_turn"))
    assert [mt_bench.ask(e).prompt for e in first] == [(Message("user", "Write."),), (Message("user", "1+1?"),)]
    assert [mt_bench.ask(e).temperature for e in first] == [0.7, 0.0]
    assert mt_bench.ask(second[1]).prompt == (
        Message("user", "1+1?"), Message("assistant", "model_answer 101 first"), Message("user", "And 2+2?"),
    )  # fmt: skip
    judge = Listener(0.85)
    assert mt_bench.score_rating(judge, second[1], Response("4")).extracted == "8.5 of 10"  # type: ignore[arg-type]
    assert judge.questions == [
        JudgeQuestion(
            "USER: 1+1?\n\nASSISTANT: model_answer 101 first\n\nUSER: And 2+2?", "4", "reference_answer 101 second", RATING
        )
    ]
    assert second[0].row["reference"] == ""


def test_mt_benchs_second_turn_needs_the_recorded_answers() -> None:
    with pytest.raises(SkilldeltaError, match=r"model_answer/gpt-4\.jsonl.*--data"):
        mt_bench.rows(2, None)


def test_arena_hard_is_compared_with_the_baselines_answer(tmp_path: Path) -> None:
    questions = [{"question_id": i, "cluster": "Knots", "turns": [{"content": f"ask {i}"}]} for i in ("x", "y")]
    answers = [{"question_id": i, "choices": [{"turns": [{"content": f"say {i}", "token_len": 2}]}]} for i in ("y", "x")]
    write(tmp_path / "arena_hard/question.jsonl", questions)
    write(tmp_path / "arena_hard/model_answer/gpt-4-0314.jsonl", answers)
    first, second = data.examples(registry.task("arena_hard"), tmp_path)
    assert (first.row["instruction"], first.row["reference"], second.row["reference"]) == ("ask x", "say x", "say y")
    judge = Listener(0.75)
    score = alpaca_eval.score_preference(judge, first, Response("better"))  # type: ignore[arg-type]
    assert (score.value, score.parts["won"], score.parts["length"], score.parts["reference_length"]) == (0.75, 1.0, 6, 5)
    assert judge.questions == [JudgeQuestion("ask x", "better", "say x", BETTER)]
    write(tmp_path / "arena_hard/model_answer/gpt-4-0314.jsonl", answers[:1])
    with pytest.raises(SkilldeltaError, match="lacks answers to 1 questions, such as x"):
        arena_hard.rows(tmp_path)
    for row in ({"cluster": "Knots"}, {"cluster": "Knots", "uid": "x", "turns": []}, {"cluster": "Knots", "turns": [3]}):
        write(tmp_path / "arena_hard/question.jsonl", [row])
        with pytest.raises(
            SkilldeltaError, match=r"question\.jsonl has a row in neither layout of Arena-Hard; its columns: cl"
        ):
            arena_hard.rows(tmp_path)


def test_arena_hards_layout_of_the_hub_is_read_as_the_authors_first_one(tmp_path: Path) -> None:
    authors = arena_hard.rows(absent_data.write_files(tmp_path))
    repository = absent_data.arena_hard().repositories["lmarena-ai/arena-hard-auto"]
    for source in (arena_hard.QUESTIONS, arena_hard.BASELINE):
        (tmp_path / source.local).write_bytes(repository[source.file])
    assert arena_hard.rows(tmp_path) == authors
    assert authors[0]["reference"] == "A bowline."


def test_a_summary_is_judged_against_the_posts_own(tmp_path: Path) -> None:
    write(
        tmp_path / "tldr/test.jsonl", [{"prompt": "SUBREDDIT: r/a\n\nTITLE: t\n\nPOST: long\n\nTL;DR:", "completion": " short"}]
    )
    (example,) = data.examples(registry.task("summarization"), tmp_path)
    assert example.row == {"post": "SUBREDDIT: r/a\n\nTITLE: t\n\nPOST: long", "reference": "short"}
    score = summarization.score_summary(Listener(0.25), example, Response("a longer one"))  # type: ignore[arg-type]
    assert (score.value, score.extracted, score.parts["longer"], score.parts["length"]) == (0.25, "worse", 1.0, 12)


def test_silence_is_an_answer_wherever_a_judge_says_how_good_an_answer_is() -> None:
    """And no answer where a property is looked for: nothing that is said refuses, is toxic or is true."""
    tasks = [task for task in registry.tasks().values() if task.judged]
    judging_quality = {task.name for task in tasks if task.scores_silence}
    assert judging_quality == {
        *("alpaca_eval", "alpaca_eval_1", "arena_hard", "summarization", "mt_bench", "mt_bench_second_turn"),
    }
    question, read = (
        Question(Example(dict.fromkeys(("post", "reference", "instruction", "cluster"), "x") | {"index": 0}), Request("")),
        [],
    )
    for name in ("alpaca_eval", "arena_hard", "summarization"):
        judge = Listener(0.25)
        task = replace(registry.task(name), score=partial(registry.task(name).judged, judge))  # type: ignore[arg-type]
        texts = ("", "<think>Hm.</think>", "<think>Hm.")
        responses = [*map(Response, texts), Response("", "error")]
        read += [score_response(task, question, response, Reader()).score.value for response in responses]
        assert [(q.response, compares_answers(q.criterion, "")) for q in judge.questions] == [("", True)], "no failure"
    assert read == [0.25, None, None, None] * 3


@pytest.mark.data
def test_truthfulqa_has_817_questions_and_the_primers_form(real_data: Path) -> None:
    examples = data.examples(registry.task("truthfulqa_generation"), real_data)
    assert len(examples) == 817
    assert examples[0].row["correct"][0] == "Nothing happens"
    prompt = str(truthfulqa_generation.ask(examples[0]).prompt)
    assert prompt.endswith("\n\nQ: What happens to you if you eat watermelon seeds?")
    assert prompt.count("\nA: ") == 6


def test_half_a_verdict_on_an_answer_is_no_score_and_keeps_the_half() -> None:
    class Half(Listener):
        def grade_all(self, questions: Sequence[JudgeQuestion]) -> list[Grade]:
            return [Grade(1.0) if q.criterion == TRUTHFUL else Grade(None, why="no letter") for q in questions]

    example = Example({"question": "q", "best": "b", "correct": ["b"]})
    score = truthfulqa_generation.score_truth(Half(), example, Response("b"))  # type: ignore[arg-type]
    assert (score.value, score.parts, score.why) == (None, {"truthful": 1.0}, "no letter")


@pytest.mark.slow
def test_the_published_judges_go_on_with_yes_or_no(tmp_path: Path) -> None:
    truth, info = (tiny.llama(tmp_path / f"{name}-judge", seed) for seed, name in enumerate(("truth", "info")))
    judge = truthfulqa_judges.load(str(truth))
    grades = judge.grade_all([JudgeQuestion("Why?", "So.", "", INFORMATIVE), JudgeQuestion("Why?", "So.", "ref", TRUTHFUL)])
    for folder, ending, grade in ((info, "Helpful:", grades[0]), (truth, "True:", grades[1])):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder)
        sums = []
        for answer in (" yes", " no"):
            start = tokenizer(f"Q: Why?\nA: So.\n{ending}").input_ids
            ids = torch.tensor([start + tokenizer(answer).input_ids])
            with torch.no_grad():
                logprobs = model(ids).logits.log_softmax(-1)[0]
            sums.append(sum(float(logprobs[i - 1, ids[0, i]]) for i in range(len(start), ids.shape[1])))
        assert grade.value == pytest.approx(1 / (1 + 2.718281828459045 ** (sums[1] - sums[0])), abs=1e-4)
    with pytest.raises(SkilldeltaError, match="grade truthful and informative answers, not 'rating'"):
        judge.grade_all([JudgeQuestion("Why?", "So.", "", RATING)])
    with pytest.raises(SkilldeltaError, match="name two models"):
        truthfulqa_judges.load("one")
