"""BBH's answers: an option, a word, a number or a list, however a response wraps it; and the stricter rules of others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.types import Example, Response
from tasks import bbh, mmlu_pro
from tasks.answer_reading import stated_choice

QUESTION = "Which one is red?\nOptions:\n(A) the old boat\n(B) the new kite\n(C) the tall mast"
WRAPPED = (
    "So the answer is {}.",
    "The answer is: {}",
    "So the final answer is **{}**.",
    "**Answer:** {}",
    "Answer: {}",
    "### Answer\n\n{}",
    "Therefore, the correct answer is option {}.",
    "$\\boxed{{{}}}$",
    "The answer is $\\boxed{{\\text{{{}}}}}$.",
    "<answer>{}</answer>",
    '{{"answer": "{}"}}',
    "**{}**",
    "The answer is “{}”.",
    "Kites are red.\n\nThe correct answer to this question is {}.",
    "The correct option is {}.",
    "**Best choice:** {}",
    "Answer → {}",
    "✅ **{}**",
    "Ans. {}",
    "The answer is most likely {}.",
    "{{'answer': '{}'}}",
    "正确答案是{}。",
    "Die richtige Antwort ist {}.",
    "La respuesta correcta es {}.",
    "La bonne réponse est {}.",
    "정답은 {}",
)
AFTER = (
    "",
    "\n\nI hope that helps!",
    "\nQ: Which one is blue?\nA: Let's think step by step. So the answer is (C).",
    "\n\n**Question:** Which one is blue?\nThe answer is (C).",
    "<|im_end|>\n<|im_start|>user\nAnd the answer is (C)?",
    "\nUser: and what if the answer is (C)?",
)
FORMS = (
    *("{}", "{} the new kite", "{}, because kites are red", "{} - the new kite", "{}; not the boat", "{} – the new kite"),
    *("{} and not (C)", "{}, not (C)", "{} rather than (C)", "{} since (C) is tall", "{} while (C) is tall", "{} (see above)"),
)
SIGNS = ("({})", "{}", "**{}**", "[{}]", "（{}）", "`{}`", "option {}")


def score(target: str, text: str, question: str = QUESTION) -> float | None:
    return bbh.score(Example({"subtask": "snarks", "input": question, "target": target}), Response(text)).value


@given(st.sampled_from("AB"), st.sampled_from(FORMS), st.sampled_from(WRAPPED), st.sampled_from(AFTER))
def test_an_option_is_read_however_it_is_wrapped_and_whatever_follows(letter: str, form: str, wrap: str, after: str) -> None:
    text = "First I look at the boat.\n" + wrap.format(form.format(f"({letter})")) + after
    assert score(f"({letter})", text) == 1.0, text
    assert score("(C)", text) == 0.0, text


@given(st.sampled_from("AB"), st.sampled_from(SIGNS), st.sampled_from(WRAPPED), st.sampled_from(AFTER))
def test_a_letter_is_read_in_all_signs_around_it(letter: str, signs: str, wrap: str, after: str) -> None:
    text = (
        "First I look at the boat.\n" + wrap.format(signs.format(letter)).replace("******", "**").replace("****", "**") + after
    )
    assert score(f"({letter})", text) == 1.0, text
    assert score("(C)", text) == 0.0, text


CONCLUSIONS = (
    *(
        "{}",
        "{}.",
        "({})",
        "# {}",
        "**{})**",
        "Thus, {} is correct.",
        "So {} is the answer.",
        "Hence, **{}** is the best choice.",
    ),
    *("Option {} is the right answer.", "Therefore, ({}) the one of cloth is the correct answer.", "I'd go with {}."),
    *("I would choose option {}.", "Ａnswer：{}"),
)


@given(st.sampled_from("AB"), st.sampled_from(CONCLUSIONS))
def test_a_last_line_may_conclude_without_a_mark(letter: str, conclusion: str) -> None:
    text = "The boat is old, and (C) is tall.\n\n" + conclusion.format(letter)
    assert score(f"({letter})", text) == 1.0, text
    assert mmlu_pro.read_letter(text, {"A": "x", "B": "y", "C": "z"}) == letter


@given(st.sampled_from(["Yes", "no", "True", "invalid", "plausible"]), st.sampled_from(WRAPPED), st.booleans())
def test_a_word_is_read_in_any_case_and_before_a_remark(word: str, wrap: str, remark: bool) -> None:
    text = "I look at both.\n" + wrap.format(word.upper() + (", as both agree" if remark else ""))
    assert score(word, text) == 1.0, text
    assert score("maybe", text) == 0.0


@pytest.mark.parametrize(
    ("target", "text", "value"),
    [
        ("(B)", "The answer is B.", 1),
        ("(B)", "The answer is B) the new kite", 1),
        ("(B)", "So the answer is the new kite.", 1),  # an option's text for its letter
        ("(A)", "So the answer is A boat.", 0),  # an article
        ("(B)", "The answer is (B) or (A).", 0),
        ("(B)", "Answer: B, C", 0),
        ("(B)", "Answer: B/C", 0),
        ("(B)", "The answer is either B or C.", 0),
        ("(B)", "The answer is (b).", 1),
        ("(B)", "the answer is b", 1),
        ("(A)", "The answer is a kite.", 0),
        ("(B)", "The answer is not (A) but (B).", 1),
        ("(A)", "The answer is not (A) but (B).", 0),
        ("(B)", "Look:\n(A) old\nIf (B) is correct, the boat is new.", 0),
        ("(A)", "A boat of wood is the best.\nNot of steel.", 0),
        ("(B)", "B\n\nThe boat (A) is old.", 1),
        ("(B)", "B. the new kite\n\nThe boat is old, and the mast tall.", 1),
        ("(C)", "(A) the old boat\n(B) the new kite\n(C) the tall mast", 0),  # the options once more
        ("(B)", "The answer is (A). Wait: the answer is (B).", 1),
        ("(B)", "I looked at (A) and (C).\n\n(B)", 1),
        ("(B)", "I looked at (A) and (C).\nIt might be (B) then", 0),  # states nothing
        *(("(B)", f"The answer is {letter}.", 1) for letter in ("Ⓑ", "ⓑ", "🅑", "🄱", "🅱", "🅱\ufe0f", "🄑", "⒝")),
        ("(A)", "The answer is Ⓑ.", 0),
        ("(B)", "Ⓐ is old.\n\nⒷ", 1),
        ("(B)", "The answer is Ⓐ or Ⓑ.", 0),
        ("(B)", "La respuesta correcta es la **B**.", 1),
        ("(B)", "A resposta correta é a letra B.", 1),
        ("(B)", "Die richtige Antwort ist die B.", 1),
        ("(A)", "La respuesta es la de Ana.", 0),
        ("(B)", "Ответ: вариант B", 1),
        ("(B)", "答案是选项B。", 1),
        ("yes", "**Answer:** Yes ✅", 1),
        ("yes", "So the answer is **yes** 👍.", 1),
        ("(B)", "Each one:\n- A: old\n- B: new\n\nSo, **B**!", 1),
        ("(B)", "정답은 **B**입니다.", 1),
        ("(B)", "Answer: [[B]]", 1),
        ("ant bee cat", "So the answer is:\n1. ant\n2. bee\n3. cat\n\nBye", 1),
        ("ant bee cat", "So the answer is:\n- ant\n- cat\n- bee", 0),
        ("ant bee cat", "So the answer is ant → bee -> cat.", 1),
        ("(B)", "Answer:\n- (B) the new kite\n- it is of cloth", 1),
        ("(B)", "Answer:\n- (B)\n- (A)", 0),
        ("yes", "The answer is yes 🎉🎉\nBye!", 1),
        ("no", "The answer is not clear.", 0),
        ("no", "The answer is no one", 0),
        ("yes", "The answer is yes\n\nQ: Is it blue? So the answer is no.", 1),
        (") ] }", "So the answer is `)]}`.", 1),
        (") ] }", "So the answer is **) ] }**", 1),
        (") ] }", "So the answer is ] ) }.", 0),
        (") ]", "So the answer is ) ] }.", 0),
        ("ant bee cat", "So the answer is ant, bee, cat.", 1),
        ("ant bee cat", "So the answer is ant cat bee.", 0),
        ("ant bee cat", "So the answer is antbee cat.", 0),
        ("1234", "So the answer is **1,234** fruits.", 1),
        ("-7", "4 - 11 = -7. So the answer is -7.", 1),
        ("7", "4 - 11 = -7. So the answer is -7.", 0),
        ("24", "There are 20 and 4.\nThat is 24", 0),  # states nothing, in more than one line
        ("24", "24 fruits", 1),
        ("no", "", 0),
    ],
)
def test_what_a_reader_takes_for_the_answer(target: str, text: str, value: float) -> None:
    assert score(target, text) == value


def test_the_authors_and_the_studys_match_are_kept() -> None:
    verdict = bbh.score(
        Example({"subtask": "snarks", "input": QUESTION, "target": "(A)"}), Response("So the answer is **(A)**. So there.")
    )
    assert (verdict.value, verdict.parts) == (1.0, {"study": 1.0, "authors": 0.0})
    assert {metric.part for metric in bbh.TASKS[0].metrics} == set(verdict.parts)


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    assert isinstance(stated_choice.stated_text(text), str)


@pytest.mark.parametrize(
    "text",
    [
        "**" * 5000,
        "answer " * 5000,
        "\\boxed{" * 5000,
        '"answer": "' + "\\" * 20_000,
        "answer is\n" * 3000,
        "答案是" * 9000,
        "(A) " * 9000,
    ],
)
def test_hostile_texts_are_read_in_bounded_time(text: str) -> None:
    assert isinstance(stated_choice.stated_text(text), str)
