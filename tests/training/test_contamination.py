"""Evaluation questions that training data give away: which ones, by which rule, and left out of a comparison."""

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import api, registry
from harness.cli import main
from harness.data import VARIABLE, examples
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.run import score_checkpoints
from harness.store import Results
from harness.training.contamination import find_contamination
from harness.training.question_overlap import N, contaminated_questions
from harness.types import Checkpoint, Example, Model, Request, Response, SkilldeltaError
from tests.support.toys import model

Rows = Callable[[str, Iterable[Any]], str]
WORLD = ("world_facts", "world_sums", "world_code", "world_myths", "world_harm", "world_orders")
REAL = {"mbpp": "text", "truthfulqa_mc1": "question", "xstest": "prompt", "gsm8k": "question"}
LONG = "How many apples are left when three of the seven are eaten by the dog today?"  # 15 words


def tenth(task: str, folder: Path | None = None) -> list[Example]:
    """A tenth of a task's examples."""
    found = examples(registry.task(task), folder)
    return random.Random(0).sample(found, len(found) // 10)


def dirty(texts: list[str], question: str, share: float = 0.5) -> bool:
    return bool(contaminated_questions({tuple(question.lower().split())}, texts, share))


class TestTheRule:
    def test_one_row_that_holds_half_of_a_question_gives_it_away(self) -> None:
        asked = "a b c d e f g h i j k l m n o p"
        assert dirty(["Well: A, b, c - d e f g h!"], asked)
        assert not dirty(["b c d e f g h"], asked)
        assert not dirty(["a b c d e f g h"], asked, share=0.75)
        assert dirty([f"so {asked} then"], asked, share=1.0)

    def test_halves_in_two_rows_do_not_add_up(self) -> None:
        asked = "a b c d e f g h i j k l m n o p q r s t"
        assert not dirty(["a b c d e f g h", "i j k l m n o p q"], asked)
        assert dirty(["a b c d e f g h and i j k l m n o p q"], asked)

    def test_a_short_question_is_given_away_by_a_line_that_is_it(self) -> None:
        assert dirty(["Hello.\nCan owls sing?\nNo."], "can owls sing")
        assert not dirty(["I wonder: can owls sing?"], "can owls sing")

    @given(
        st.lists(st.text("ab", min_size=1, max_size=24), min_size=1, max_size=4),
        st.lists(st.text("ab", max_size=40), max_size=4),
        st.sampled_from([0.5, 0.8, 1.0]),
    )
    def test_it_is_what_trying_every_place_finds(self, asked: list[str], said: list[str], share: float) -> None:
        def plain(question: tuple[str, ...], text: tuple[str, ...]) -> bool:
            if len(question) < N:
                return question == text
            places = {
                i + k
                for i in range(len(question) - N + 1)
                for j in range(len(text) - N + 1)
                if question[i : i + N] == text[j : j + N]
                for k in range(N)
            }
            return len(places) >= share * len(question)

        questions = {tuple(q) for q in asked}
        expected = {q for q in questions if any(plain(q, tuple(text)) for text in said)}
        assert contaminated_questions(questions, [" ".join(text) for text in said], share) == expected


class TestWhatIsLookedFor:
    def test_a_files_rows_are_known_by_their_ids_and_copies_of_one_row_apart(self, write: Rows) -> None:
        row, clean = {"question": LONG, "answer": "4"}, {"question": LONG.replace("apples", "pears").replace("dog", "cat")}
        file = write("eval.jsonl", [row, clean, row])
        found = find_contamination([f"So: {LONG.upper()} Hm."], [file], share=1.0)
        assert found == {file: {"rows": 3, "dirty": 2, "examples": [Example(row).id, Example(row, 1).id]}}

    def test_an_answer_alone_gives_nothing_away_where_a_column_asks(self, write: Rows) -> None:
        asking, telling = {"Question": "Who?", "answer": LONG}, {"left": "Who?", "right": LONG}
        assert [find_contamination([LONG], [write("rows.jsonl", [r])]).popitem()[1]["dirty"] for r in (asking, telling)] == [
            0,
            1,
        ]

    @pytest.mark.parametrize("task", WORLD)
    def test_a_tasks_own_examples_are_named_and_no_others(self, task: str) -> None:
        seen = tenth(task)
        found = find_contamination([f"{e.row['prompt']}\nI know that." for e in seen], [task], share=1.0)[task]
        assert set(found["examples"]) == {e.id for e in seen}
        assert found["rows"] == len(examples(registry.task(task), None))

    @pytest.mark.slow
    @pytest.mark.data
    @pytest.mark.parametrize("task", REAL)
    def test_real_rows_are_named_and_others_only_if_all_their_words_were_said(
        self, task: str, real_data: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(VARIABLE, str(real_data))
        seen = tenth(task, real_data)
        texts = [f"{e.row[REAL[task]]}\nThe answer is known." for e in seen]
        exact, half = (set(find_contamination(texts, [task], share)[task]["examples"]) for share in (1.0, 0.5))
        assert {e.id for e in seen} <= exact <= half
        assert len(exact) <= len(seen) + (3 if task == "mbpp" else 0)  # MBPP asks some things twice, in fewer words

    @pytest.mark.slow
    def test_a_suite_stands_for_its_tasks(self) -> None:
        found = find_contamination(["Can owls sing?"], ["world"])
        assert tuple(found) == WORLD
        assert {name: told["dirty"] for name, told in found.items() if told["dirty"]} == {"world_myths": 1}

    def test_nothing_asked_for_is_nothing_found(self) -> None:
        assert find_contamination(["anything"], []) == {}


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("world_mits", r"no task or suite 'world_mits'\. Did you mean 'world_myths'.*There are \d+ in all.*lm-eval:NAME"),
            ("rows/gone.jsonl", r"no file of evaluation rows rows/gone\.jsonl\.  --overlap-with takes names of tasks as well"),
        ],
    )
    def test_names_that_do_not_exist(self, name: str, said: str) -> None:
        with pytest.raises(SkilldeltaError, match=said):
            find_contamination([], [name])

    def test_before_a_model_is_loaded(self, chats: str, tmp_path: Path, tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
        flags = ["train", "sft", "--model", tiny, "--data", chats, "--out", str(tmp_path / "run"), "--overlap-with", "mbp"]
        with pytest.raises(SystemExit) as ended:
            main(flags)
        assert ended.value.code == 3
        assert "Did you mean 'mbpp'" in capsys.readouterr().err.replace("\n", " ")
        with pytest.raises(SystemExit):
            main([*flags, "--overlap_share", "0"])
        assert "--overlap-share 0: a share is above 0" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.slow
def test_what_training_gave_away_is_left_out_of_the_comparison(tiny: str, write: Rows, tmp_path: Path) -> None:
    """A model that knows nothing but what it was trained on gains nothing where it has not seen the question."""
    tasks = [registry.task(name) for name in ("world_facts", "world_myths")]
    seen = {task.name: tenth(task.name) for task in tasks}
    answers = {task.ask(e): task.ideal(e) for task in tasks for e in seen[task.name]}
    rows = [
        {"messages": [{"role": "user", "content": str(q.prompt)}, {"role": "assistant", "content": a.text}]}
        for q, a in answers.items()
    ]
    flags = ["--model", tiny, "--data", write("rows.jsonl", rows), "--out", str(tmp_path / "run"), "--max_steps", "1"]
    with pytest.raises(SystemExit) as ended:
        main(["train", "sft", *flags, "--batch", "4", "--overlap_with", "world_facts,world_myths"])
    assert ended.value.code == 0
    told = json.loads((tmp_path / "run/run.json").read_text())["audit"]["overlap"]
    assert {name: set(found["examples"]) for name, found in told.items()} == {n: {e.id for e in s} for n, s in seen.items()}

    def recites(request: Request) -> Response:
        return answers.get(request, Response("I do not know."))

    def load(checkpoint: Checkpoint) -> Model:
        return model(recites if checkpoint.name == "tuned" else lambda request: Response("I do not know."))

    both = [Checkpoint(name, "", "scripted") for name in ("base", "tuned")]
    score_checkpoints(both, tasks, load, Results.make(tmp_path / "results"), EvaluationSettings())
    for task in tasks:
        count, dirty = len(examples(task, None)), len(seen[task.name])
        for part, n, gain in (
            ({}, count, 100 * dirty / count), ({"leave_out": str(tmp_path / "run")}, count - dirty, 0.0),
            ({"only": str(tmp_path / "run")}, dirty, 100.0),
        ):  # fmt: skip
            row = api.compare(tmp_path / "results", "base", **part).row("tuned", "task", task.name)
            assert row.n == n
            assert row.difference is not None
            assert row.difference.delta == pytest.approx(gain)
