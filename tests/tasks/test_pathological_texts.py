"""Texts that a model writes when it goes astray: whatever they are, each scorer answers, in bounded processor time."""

import gc
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example as also
from hypothesis import given
from hypothesis import strategies as st

from harness import data, registry
from harness.prompts.reading import Reader
from harness.types import Example, Response
from tasks import bbh
from tasks.ifeval_rules import layout

LENGTH = 30_000
PIECES = (
    *(
        "1",
        "1,",
        "1,21",
        "1 000 ",
        "1.000,",
        "the answer is ",
        "The answer is (B ",
        "#",
        "####",
        "\\boxed{",
        "\\frac{1}{",
        "$1",
        "1/",
        "1e",
        "5 % ",
        "=",
        "-",
        ".",
    ),
    *(" ", "\n", "\t", "(A", "**", "*a", "***\n", "* a\n", "[", "<<", '{"a":', "`", "'", '"', "a", "A. ", "\U0001f600", "ab"),
    *("I can't ", "Sorry, but ", "Unfortunately, ", "P.S. ", "SECTION 1\n"),
    *("> ```\n", "<pre><code>", "```\n<pre></pre>\n", ">>> def f(x):\n", "1 234,50 € ", "Antwort: 1.234 ", "Ⓐ "),
    *("1+", "9,", "1.", "-1-", "½ Ⅷ", "١٢ ", "~", "~~~\n", "x = 1\n", "twenty-five hundred and ", "50% ", "Step 1: ", "1) 2 "),
    *("''", "(", "{", "\\(", "\\text{a} ", "\\", "_a_ ", "|a ", "- \n", "\r\n", "\x0c\n", "\0", "a\u2028", "e\u0301", "\u202e"),
    *(
        "Q: a\nA: ",
        "\nUser: a\nAssistant: ",
        "not (A), ",
        "Answer: A or B ",
        "aB",
        "AbC ",
        "a? ",
        "一二三 ",
        "\U0001f468\u200d",
    ),
    *("analysis", "<think>", "</think>", "<think>a</think>", "assistantfinal"),
)
TEXTS = {repr(piece): piece * (LENGTH // len(piece)) for piece in PIECES} | {
    "brackets within one another": "[(" * (LENGTH // 4) + ")]" * (LENGTH // 4),
    "boxes within one another": "\\boxed{" * (LENGTH // 8) + "1" + "}" * (LENGTH // 8),
    "a number of 100,000 digits": f"The answer is {'9' * 100_000}.",
    "a long word, then another": "ab" * (LENGTH // 2) + "c",
    "answers without a full stop": "The answer is not (A), so the answer is " * 2500,
}
LIMIT_S = 1.0
NLTK_LIMIT_S = 20.0  # nltk splits words sentence by sentence, 0.25 ms each: two rules of a row on 10,000 sentences took 5.3 s
NLTK_RULE = "change_case:capital_word_frequency"
ROWS = {"gsm8k": 1, "cot_rate": 1, "bbh": 40, "xstest": 1, "ifeval": 541}  # rows among which every kind of rule is found


def examples(task: str, folder: Path) -> list[Example]:
    """A row for each kind of rule of a task."""
    rows = [example for _, example in zip(range(ROWS[task]), data.examples(registry.task(task), folder), strict=False)]
    kinds = {str(name): row for row in reversed(rows) for name in row.row.get("instruction_id_list", [row.row.get("subtask")])}
    return list({id(row): row for row in kinds.values()}.values())


@pytest.fixture
def small_heap() -> Iterator[None]:
    """The objects of earlier tests are set aside: one collection of all of them takes longer than a scorer may."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.usefixtures("small_heap")
@pytest.mark.parametrize("task", ROWS)
def test_each_scorer_answers_in_bounded_processor_time(task: str, real_data: Path) -> None:
    rows = examples(task, real_data)
    score = registry.task(task).score
    for row in rows:
        score(row, Response("Warm words, in one sentence."))
    for name, text in TEXTS.items():
        for row in rows:
            limit = NLTK_LIMIT_S if NLTK_RULE in row.row.get("instruction_id_list", ()) else LIMIT_S
            begin = time.thread_time()
            value = score(row, Response(text)).value
            assert time.thread_time() - begin < limit, (name, row.row)
            assert value is None or 0 <= value <= 1


@pytest.mark.slow
@pytest.mark.usefixtures("small_heap")
def test_the_reading_step_answers_in_bounded_processor_time() -> None:
    for name, text in TEXTS.items():
        begin = time.thread_time()
        Reader().read(Response(text))
        assert time.thread_time() - begin < LIMIT_S, name


@pytest.mark.parametrize("text", ["1" * 5000, f"The answer is {'9' * 5000}.", f"\\boxed{{{'9' * 5000}}}"])
def test_a_number_longer_than_python_reads_is_a_wrong_answer_and_no_error(text: str) -> None:
    score = registry.task("gsm8k").score(Example({"answer": "So #### 7"}), Response(text))
    assert score.value == score.parts["study"] == 0


@given(st.lists(st.sampled_from(["The answer is ", "|he answer is ", "a", ".", "\n", "\r", " "])).map("".join))
@also("The answer is a\nthe answer is b.")
def test_the_studys_answer_is_what_its_expression_finds(text: str) -> None:
    official = re.search(r"[t|T]he answer is (.*?)\.", text)
    assert bbh.find_study_answer(text) == (official[1] if official else None)


@given(st.text("<> a\n", max_size=24))
@also("<<a>> <<>>")
@also("<< >>\n<<>>>")
def test_a_title_is_what_the_official_expression_finds(text: str) -> None:
    official = any(title.lstrip("<").rstrip(">").strip() for title in re.findall(r"<<[^\n]+>>", text))
    assert layout.title(text) == official
