"""The number that a response states: however it is written, wrapped and followed; and the last number where none is stated."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.types import Example, Response
from tasks import gsm8k
from tasks.answer_reading.numbers import find_numbers, normalize
from tasks.answer_reading.stated_number import read_number

WORKING = "Each of the 3 boxes holds 40 pens: 3 * 40 = 120. Then 20 are given away."
STATEMENTS = (
    "The answer is {}.",
    "So the final answer is: **{}**",
    "#### {}",
    "Therefore,\n$$\\boxed{{{}}}$$",
    "The result is $\\boxed{{{}}}$ for the 3 boxes.",
    "**Answer:** {}",
    "Answer: {}",
    "### Final Answer\n\n{}",
    "Hence the answer must be \\( {} \\).",
    "<answer>{}</answer>",
    '{{"reasoning": "3 boxes of 40", "answer": "{}"}}',
    "A: {}",
    "My answer = {}",
    "The correct answer, then, is {}",
    "The answer to this question is therefore {}, as 3 boxes were packed.",
    "Answer: 40 + 20 + 0 = {}",
    "**{}**",
    "Ada is left with **{}** of the 3 boxes.",
    "**Final Answer**\n\nAda is left with {} of the 3 boxes.",
    "Answer → {} of the 3 boxes",
    "Ans. {} of the 3 boxes",
    "**Result:** {} (from 3 boxes)",
    "**Ａnswer：** {}（3 boxes）",
    "答案是 {}。共3盒。",
    "Die Antwort ist {} aus 3 Kisten.",
    "La respuesta final es {} de 3 cajas.",
    "정답은 {}, 3 상자",
)
FORMS = (
    "{}",
    "{:,}",
    "${:,}",
    "{}.00",
    "{:,} pens",
    "{:,} m^2",
    "{:,} cm3",
    "{:,} m²",
    "{:,}\\%",
    "\\${:,}",
    "{:,}\\text{{ pens}}",
)
SEPARATORS = (",", "{,}", "\\,", "\\ ", "\u00a0", "\u2009", "\u202f", "'", "\u2019", ",\\!")
REMARKS = (
    "",
    "\n\nNote that 7 of them are green.",
    "\n\n✅ **Double-check:** 7 of them are green.",
    "\n\n(120 in all, 7 of them green.)",
    "\n\nThis assumes that 7 boxes are full.",
    "\n\nLet me know if you would like 2 more examples!",
    "\n\nQuestion: A cat has 4 legs. How many have 9 cats?\nAnswer: 36\n#### 36",
    "\nQ: How much is 1 + 1?\nA: The answer is 2.",
    "\n\n**Question:** How much is 5 + 5?\n\\boxed{10}",
    "\n\nNew question: what is 6 times 7?\nThe answer is 42.",
    "<|im_end|>\n<|im_start|>user\nAnd 5 times 5? The answer is 25.",
    "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nThanks! 8",
    "\nHuman: And 5 times 5?\nAssistant: The answer is 25.",
)


@given(
    st.integers(0, 10**7),
    st.sampled_from(FORMS),
    st.sampled_from(SEPARATORS),
    st.sampled_from(STATEMENTS),
    st.sampled_from(REMARKS),
)
def test_a_statement_is_read_however_it_is_written_and_whatever_follows(
    number: int, form: str, separator: str, statement: str, remark: str
) -> None:
    written = form.format(number).replace(",", separator)
    answer = read_number(f"{WORKING}\n\n{statement.format(written)}{remark}")
    assert answer.number is not None
    assert (answer.number.value, answer.is_stated) == (number, True), (written, statement)


WRITTEN = {
    "1.8e1": 18, "1.8 \\times 10^{1}": 18, "10^3": 1000, "10³": 1000, "2.5 × 10² km": 250, "\\frac{36}{2}": 18, "36/2": 18,
    "4 1/2": Fraction(9, 2), "4½": Fraction(9, 2), "\\dfrac12": Fraction(1, 2), "-7": -7, "−7": -7, "$-7$": -7, "-$7": -7,
    "3:00 pm": 3, "3:30": Fraction(7, 2), "2.5 million": 2_500_000, "1,50,000 rupees": 150_000, "£1,200.50": Fraction(2401, 2),
    "１２３４": 1234, "１，２３４": 1234, "–12": -12, "negative 12": -12, "12, 000": 12_000, "€18,50": Fraction(37, 2),
    "18,50 Euro": Fraction(37, 2), "2⁄5": Fraction(2, 5), "6 * 3, which is 18": 18,
    "70 000": 70_000, "1 250 000 pens": 1_250_000, "70.000,00 euros": 70_000, "$70k": 70_000, "€1.5M": 1_500_000,
}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "from $2k + 1$ to 3",
        "３，2",
        "2, 3",
        "pages 2–3",
        "2 –and 3",
        "(2.000,3)",
        "0.125,3; 2",
        "1" + ",000" * 40 + ",\nor 3",
        "2" * 60 + ",000 or 3",
    ],
)
def test_formulas_lists_and_loops_are_no_thousands(text: str) -> None:
    assert all(number.value < 4 for number in find_numbers(normalize(text)))


@pytest.mark.parametrize("written", WRITTEN)
def test_a_number_has_its_value_in_every_notation(written: str) -> None:
    for text in (f"{WORKING}\nThe answer is {written}.", f"{WORKING} That makes {written}"):
        answer = read_number(text)
        assert answer.number is not None
        assert answer.number.value == WRITTEN[written]


@pytest.mark.parametrize(
    ("text", "value", "is_stated"),
    [
        ("That leaves 12 pens for 5 children.", 5, False),  # nothing stated: the last number
        ("The floor is 3 m by 6 m, so it has 18 m^2", 18, False),
        ("It takes 5 days.\n2. That is all there is to it", 5, False),  # the number of a list
        ("The answer is 12. Wait, I forgot a box. The answer is 14.", 14, True),  # a correction
        ("#### Step 1: count the boxes\n3 boxes\n#### 18", 18, True),  # headings are no statements
        ("The answer is 18.\n\nIf it were in dozens, the answer would be 1.5.", 18, True),
        ('"answer": "After 2 weeks, she has paid $64 for 16 glasses."', 64, True),
        ('"answer": "850 / 50 = 17 bags; 17 bags * $18 = $306"', 306, True),
        ("**Answer:** Bo pays 12 dollars for 5 kites.", 12, True),
        ("\\boxed{70 500}", 70_500, True),
        ("#### $70 500\n", 70_500, True),
        ("She bought 5 100 times", 100, False),  # two numbers, as nothing says more
        ("A 401k plan holds 12", 12, False),
        ("**Answer:** 3 * 25 = $75 for 16 glasses", 75, True),
        ("**Answer:** 5 pens = 10 dollars, so the total is 30 dollars", 30, True),
        ("Answer: There were 9 at first. 5 more came, which makes 14", 14, False),  # the working, not the answer
        ("**Step 3:** 4 * 5 = 20", 20, False),
        ("To answer the question: 3 boxes hold 40 pens each, so 120", 120, False),
        ("Question: how many legs have 2 cats?\nAnswer: 8", 8, True),  # the question repeated first
        ("I am 5'10 and cannot say.", 10, False),
        ("3 boxes.\n#### two hundred and five", 205, True),
        ("So the answer is **Twenty-four**, not 3.", 24, True),
        ("The answer is one more than 8", 8, False),
        ("The answer is minus 4", -4, True),
        ("Seven minus 4", 4, False),
        ("有３，５和７", 7, False),  # commas between clauses
        ("18\n\nExplanation: she sells 9 eggs at $2.", 18, True),  # a first line alone
        ("$18.\nExplanation: 9 at $2", 18, True),
        ("18\n[Word count: 55]", 18, True),
        ("18\n\nThe answer is 9, as shown by 2", 9, True),
        ("16\n- 3\n= 13", 13, True),
        ("16\n- 3\nso 13 eggs", 13, False),
        ("9\nTimes 2 gives 18.", 18, False),
        ("3 boxes\n\nThey hold 4, so 7", 7, False),
        ("She sells 9 at $2.\n18", 18, True),
        ("The total is 18. Confidence: 100%", 18, False),  # of the response itself
        ("The total is 18.\n\n**Confidence:** 9/10", 18, False),
        ("It is 18. [Word count: 55]", 18, False),
        ("Her confidence is 95", 95, False),
        ("She wrote 5 words on 11 pages. Word count: 55", 55, False),
        ("It has 55 words on 11 pages (605 words)", 605, False),
        ("The answer is 20. Wait, no: 18.", 18, True),  # corrections
        ("The answer is 20. Actually, it's 18.", 18, True),
        ("The answer is 20 — no, 18.", 18, True),
        ("The answer is 20. Oops, I mean 18 dollars.", 18, True),
        ("The answer is 20. Sorry, that should be **18**.", 18, True),
        ("The answer is 20. No, 3 of them are green.", 20, True),  # none
        ("The answer is 20. No, 18 is wrong.", 20, True),
        ("The answer is 20. Wait, is it 18? Yes", 20, True),
        ("The answer is 20. It is 4.", 20, True),
        ("He pays 64.<|role_end|><role>HUMAN</role>And 7?", 64, False),
        ("64[e~[\n]~b]user\n5", 64, True),
    ],
)
def test_what_a_careful_reader_takes_for_the_answer(text: str, value: int, is_stated: bool) -> None:
    answer = read_number(text)
    assert answer.number is not None
    assert (answer.number.value, answer.is_stated) == (value, is_stated)


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    answer = read_number(text)
    assert answer.number is not None or not answer.is_stated


@pytest.mark.parametrize(
    "text",
    [
        "9" * 10_000,
        "Wait, no: " * 3000,
        "\n[Word count: " * 3000,
        "1/0",
        "10^99999",
        "#### " * 500 + "x",
        "(" * 3000 + "1" + "/2" * 3000,
    ],
)
def test_hostile_numbers_are_read_in_bounded_time(text: str) -> None:
    assert read_number(text).is_stated in (True, False)


ROW = Example({"question": "?", "answer": "#### 64"})


@pytest.mark.parametrize(
    ("text", "value", "parts"),
    [
        ("He pays 64.", 1.0, {"study": 1, "stated": 0, "not_last": 0}),
        ("The answer is 64 for all 16.", 1.0, {"study": 0, "stated": 1, "not_last": 1}),
        ("The answer is 16, not 64", 0.0, {"study": 1, "stated": 1, "not_last": 1}),
        ("", 0.0, {"study": 0, "stated": 0, "not_last": 0}),
    ],
)
def test_both_readings_are_kept(text: str, value: float, parts: dict[str, float]) -> None:
    verdict = gsm8k.score(ROW, Response(text))
    assert (verdict.value, verdict.parts) == (value, parts)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (r"\boxed{-\frac{1}{2}}", "-0.5"),
        (r"It is $3-\frac{1}{2}$.", "0.5"),
        ("The answer is -½.", "-0.5"),
        ("The answer is \ufe635.", "-5"),
        ("The total is ١٬٢٣٤", "1234"),
        ("The answer is ١٢٫٥", "12.5"),
        ("The answer is 1 234.", "1234"),
        ("Answer: $12 345 678", "12345678"),
        ("So she has\n**1 234**", "1234"),
        ("The answer is 5 100 gram bags.", "5"),
        ("She swims **1 234 meters** for a bet.", "1234"),
        ("In May they drove 2 450 km in total, in June nothing", "2450"),
        ("He needs 5 100 gram bags.", "100"),
        ("They run 2 100 meter races.", "100"),
        ("It costs 1 234,50 € with tax.", "1234.5"),
        ("Shipping is € 1 234,50", "1234.5"),
        ("Run 3 400,25 times", "25"),
        ("Antwort: **2.500 Euro**", "2500"),
        ("**Réponse : 1 234,5 km**", "1234.5"),
        ("La respuesta es 1.250,75.", "1250.75"),
        ("It weighs 2.500 kg", "2.5"),
        ("The answer is 36. Wait, 6 * 7 = 42, so the answer is actually 42, from 6 rows.", "42"),
    ],
)
def test_signs_of_numbers_in_other_spellings(text: str, number: str) -> None:
    answer = read_number(text).number
    assert answer is not None
    assert Fraction(answer.text) == Fraction(number)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("So the answer is 9 * 2 = <<9*2=18>>18 dollars.", 18),
        ("A: 9 * 2 = $<<9*2=18>>18", 18),
        ("#### 9 * 2 = <<9*2=18>>18", 18),
        ("The answer is <<9*2=18>>18.", 18),
        ("She makes $<<9*2=18>>18 from 9 eggs.\n#### $<<9*2=18>>18", 18),
        ("The answer is 9 * 2 = <<9*2=18>>.", 18),
        ("The answer is 9 * 2 <<9*2=18>>.", 18),
        ("The answer is 18 * 7 = <<18*7=126>>126. So 126 in 7 days.", 126),
    ],
)
def test_a_calculators_note_says_its_result_once(text: str, value: int) -> None:
    number = read_number(text).number
    assert number is not None
    assert number.value == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("答案是7万。", 70_000),
        ("答えは7万ドルです。", 70_000),
        ("答えは5万7500ドルです。", 57_500),
        ("답은 5만 7,500달러입니다.", 57_500),
        ("答案是 1.5亿 元。", 150_000_000),
        ("答案是2万3千元。", 23_000),
        ("共12万元，每人3万元。答案是 4。", 4),
    ],
)
def test_ten_thousands_of_east_asia_are_counted(text: str, value: int) -> None:
    number = read_number(text).number
    assert number is not None
    assert number.value == value


def test_an_answer_that_is_still_the_same_number_is_stated() -> None:
    reading = read_number("Let me check: the answer is still 18. There were 16 eggs.")
    assert reading.number is not None
    assert (reading.number.value, reading.is_stated) == (18, True)
