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
        ("24", "There are 20 and 4.\n\n24", 1),
        ("24", "24\n\nAs 20 and 4 make it with 3 left.", 1),
        ("(B)", "Kites are red.\n\nthe new kite", 1),  # an option's text in the last line
        ("(C)", "the old boat\nthe new kite\nthe tall mast", 0),  # the options once more
        ("no", "", 0),
    ],
)
def test_what_a_reader_takes_for_the_answer(target: str, text: str, value: float) -> None:
    assert score(target, text) == value


# By the letter that a reader takes, "" for none; the options are those of QUESTION.
FRAMED = {
    "B": """A: (B)|A: B|A: B.|A: **B**|**A:** (B)|A: (B) the new kite|Answer:\nA: (B)|Hm.\nA: (B)|Hm.\nA: B|Q: Which?\nA: (B)
        A: the new kite|A: The kite is red, so (B)""",
    "A": "A: the old boat|A: words of it|A: the old boat, since (B) is new|A: A boat of wood|A: (A)|Hm.\nA: the old boat",
    "": "A: F\nB: T\nC: F|A: old\nB: new\nC: tall",  # each option judged or repeated
}
EXCLUDING = {
    "B": """(A) is wrong. (C) is wrong. So (B).|(A) cannot be right, so (B)|(A) No. (B) Yes. (C) No.
        A) Wrong. B) Right. C) Wrong.
        (A) The red boat is newer, so it's (B).|(A) The boat is old. So (B).|(A) isn't right, (B) is.
        (A) can't be it. So it's (B).
        (A) and (C) are wrong, so (B).|Neither (A) nor (C) is right; (B) is.|(A), (C) are false. (B) is true.|Not (A). (B).
        (A) must be false because it is old. Hence, (B).|Eliminating (A) and (C) leaves (B).|We can rule out (A). So (B).
        This rules out (A) and (C), leaving only (B).|I would rule (A) out and pick (B).|(A) is unlikely, hence (B).
        Option A is ruled out, option C is impossible. So option B is the best.|(A) was eliminated early. It must be (B).
        A is unlikely. C is out of the question. B.|(A) seems implausible; (C) is clearly wrong; it is (B).
        The answer is not A, it is B.|Since (A) is older, it's B.|(A) is old.\n(C) is tall.\nSo it's (B).""",
    "A": """(A), because (B) cannot be right|(A) is right and (B) isn't.|(A). (B) is wrong.|(A), (C) is wrong|(A) is not wrong.
        (A) cannot be ruled out, unlike (B).|(A) the old boat is correct, so (B) and (C) are wrong.|(A), so (B) is wrong.
        A is correct, B is wrong.|The answer is (A). Option (B) is incorrect.|(A) is the only one that is not wrong.
        (A) The boat is old. If kites were asked for, it's (B).|(A) the old boat: it isn't new.|(A) The boat is old, so it fits.
        (A) is out of wood, so it is the right one""",
    "": "(A) is wrong.|(A) or (B), so not (C).|So (A) or (B).|(B) and (C) are unlikely.",
}


ANSWERED = ("The answer is {}.", "**Answer: {}**", "Answer: {}", "\\boxed{{{}}}", "{}")
REMARKS = (
    "**Explanation:**\n\nKites are red.",
    "**Why the others are wrong**\n- Boats are old.\n- Masts are tall.",
    "**I hope that this helps!**",
    "Let me double-check. I am confident that my answer is correct.",
    "This answer is consistent with the given information.",
    "So the answer is still the same.",
    "I hope this answer is helpful.",
    "Please note that the answer is an estimate.",
)
YES_OR_NO, BRACKETS = "Is it so?\nOptions:\n- Yes\n- No", "Complete the sequence: { [ ("


@pytest.mark.parametrize("remark", REMARKS)
@pytest.mark.parametrize("answered", ANSWERED)
def test_what_is_said_of_an_answer_behind_it_takes_nothing_back(answered: str, remark: str) -> None:
    targets = [(QUESTION, "(B)"), (YES_OR_NO, "No"), ("Sort.  List: bee ant", "ant bee")]
    if "nswer" in answered:
        targets.append((BRACKETS, ") ] }"))
    for question, target in targets:
        assert score(target, f"{answered.format(target)}\n\n{remark}", question) == 1, target


@pytest.mark.parametrize(
    "later",
    ["On reflection the answer is not correct.", "My answer is wrong.", "The answer is unclear.", "The answer is A or C.",
     "Wait, the answer is (C)."],
)  # fmt: skip
def test_a_later_statement_that_denies_doubts_or_chooses_takes_the_earlier_one_back(later: str) -> None:
    assert score("(B)", f"The answer is (B).\n\n{later}", QUESTION) == 0


def test_an_answer_is_still_the_same() -> None:
    for question, target in ((QUESTION, "(B)"), (YES_OR_NO, "No"), (BRACKETS, ") ] }")):
        assert score(target, f"Let me verify.\nSo the answer is still {target}.", question) == 1


@pytest.mark.parametrize(
    ("letter", "text"),
    [
        (letter, text.strip())
        for texts in (FRAMED, EXCLUDING)
        for letter, rows in texts.items()
        for text in rows.replace("\n        ", "|").split("|")
    ],
)
def test_a_frame_is_no_option_and_an_excluded_option_is_not_chosen(letter: str, text: str) -> None:
    options = stated_choice.options_of(QUESTION)
    assert stated_choice.read_choice(text, options) == (f"({letter})" if letter else "")
    assert mmlu_pro.read_letter(text, options) in (letter, *(options if not letter else ()))


@pytest.mark.parametrize(
    ("letter", "text"),
    [
        ("A", "(A) No, because it is late."),
        ("A", "The answer is (A) No."),
        ("C", "The answer is (C) is not affected."),
        ("C", "The answer is (C) is not affected by heat."),
        ("D", "The answer is (D) Statement 1 is wrong."),
        ("E", "(E) It cannot be determined, so (E)."),
        ("E", "The answer is (E) it cannot be determined from this"),
        ("E", "The answer is (E) cannot be determined."),
        ("F", "A: B"),
    ],
)
def test_an_options_own_words_exclude_nothing(letter: str, text: str) -> None:
    texts = ("No, because it is late", "Yes", "is not affected by heat", "Statement 1 is wrong", "It cannot be determined")
    options = dict(zip("ABCDE", texts, strict=True))
    if letter == "F":  # the text of option A is the letter of another one
        letter, options = "A", {"A": "B", "B": "C"}
    assert stated_choice.read_choice(text, options) == f"({letter})"


SORT = "Sort the following words alphabetically: List: cat ant bee"
CLOSE = "Complete the rest of the sequence, making sure that the parentheses are closed properly. Input: [ {"


@pytest.mark.parametrize(
    ("question", "target", "texts"),
    [
        ("?", "yes", "It's plausible.\n\nYes|Hm.\nYes.|Hm.\n\nSo, **yes**!|Hm.\nFinal verdict: Yes|Hm.\nA: yes|A: Yes"),
        ("?", "Yes", "Yes\n\nIt is so.|Hm.\n\nThe verdict is: yes"),
        ("?", "no", "Yes\n\nThe wire is black.\n\nNo|The answer is yes. Hm.\n\nNo|Hm.\nConclusion: No"),
        ("?", "no", "Hm.\n\nNo\n\nQ: Is it?\nA: Yes"),
        ("?", "valid", "Hm.\n\nvalid|Hm.\nThe argument is **valid**.|Therefore, the argument is deductively valid."),
        ("?", "False", "True and False = False.\n\nFalse|So the answer is False.\n\nNote: **True** needs more."),
        ("?", "False", "Hm.\nSo it is False.|Hm.\n\n**False.**"),
        (SORT, "ant bee cat", "The answer is: ant, bee, and cat.|Hm.\nThe sorted list: ant, bee, cat"),
        (SORT, "ant bee cat", "The sorted list: ant, bee and cat.|Hm.\n\n1. ant\n2. bee\n3. cat"),
        (SORT, "ant bee cat", "Sorted:\nant\nbee\ncat|ant bee cat\n\nSorted.|Hm.\n**ant, bee, cat**"),
        (f"{SORT} and", "and ant bee cat", "Hm.\nand, ant, bee, cat|So the answer is: and, ant, bee, and cat."),
        (CLOSE, "} ]", "Hm.\n\n} ]"),
        (CLOSE, "}", '{"answer": "}"\n}'),
    ],
)  # fmt: skip
def test_a_line_that_is_one_of_the_possible_answers_alone_is_read(question: str, target: str, texts: str) -> None:
    for text in texts.split("|"):
        assert score(target, text, question) == 1.0, text


@pytest.mark.parametrize(
    ("question", "target", "text"),
    [
        ("?", "no", "A: Yes"),
        ("?", "yes", "Is it?\nYes, we can look at it.\nIt is hard to say"),
        ("?", "no", "Hm.\nNo problem"),
        ("?", "no", "Hm.\nYes or no?"),
        ("?", "valid", "Hm.\nTherefore, the argument is not valid."),
        ("?", "valid", "Hm.\nThe argument is not **valid**."),
        ("?", "valid", "Hm.\nThe argument is **valid** or **invalid**."),
        ("?", "valid", "Hm.\nIs the argument **valid**?"),
        ("?", "True", "So the answer is False.\n\nNote: **True** needs more."),
        (SORT, "ant bee cat", "Hm.\nSorted: ant, cat, bee"),
        (SORT, "ant bee cat", "Sorted:\nant\ncat\nbee"),
        ("Sort: List: ant bee cat", "ant bee cat", "Look at:\nList: ant bee cat"),  # the question repeated
        (CLOSE, "} ]", "Hm.\n] }"),
    ],
)
def test_a_line_that_only_holds_such_a_word_is_no_answer(question: str, target: str, text: str) -> None:
    assert score(target, text, question) == 0.0


def test_the_authors_and_the_studys_match_are_kept() -> None:
    verdict = bbh.score(
        Example({"subtask": "snarks", "input": QUESTION, "target": "(A)"}), Response("So the answer is **(A)**. So there.")
    )
    assert (verdict.value, verdict.parts) == (1.0, {"study": 1.0, "authors": 0.0})
    assert {metric.part for metric in bbh.TASKS[0].metrics} == set(verdict.parts)


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    assert isinstance(stated_choice.stated_text(text), str)
    assert isinstance(stated_choice.read_option(text, {"A": "old", "B": "(A)"}), str)


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
        "(A), " * 9000 + "are wrong",
        "not A and " * 4000,
        "so it is " * 4000,
        "A: B\n" * 6000,
        "neither (A) nor " * 2000,
    ],
)
def test_hostile_texts_are_read_in_bounded_time(text: str) -> None:
    assert isinstance(stated_choice.stated_text(text), str)
    assert isinstance(stated_choice.read_option(text, {"A": "old", "B": "(A)"}), str)
