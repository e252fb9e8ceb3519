"""Measures of one text: known values, and near misses that must not count."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.behaviour.languages import main_script, switches_language
from harness.behaviour.markup import EMOJI, measure_markup
from harness.behaviour.measures import MEASURES, Answer, measure_answer, measure_draws
from harness.behaviour.phrases import measure_phrases
from harness.behaviour.repetition import measure_diversity, measure_repetition, split_words

LIST = "Here:\n- one\n* two\n  3. three\n\n# A heading\nThis is **bold**.\n\n| a | b |\n|---|:-:|\n| 1 | 2 |\n"
ENGLISH = "The quick answer to that is that you should not do this with the other parts of it."


def test_every_markup_counts_once_with_its_number() -> None:
    assert measure_markup(LIST) == {
        "list_items": 3, "has_list": 1, "has_heading": 1, "has_bold": 1, "has_table": 1, "has_code": 0, "has_emoji": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "A dash - in a line, and 3.5 apples.\n-5 degrees\n1.5 litres\n#hashtag\n2 * 3 * 4 = 24",
        "---\n***\n* * *\n- - -\n",
        "```python\n# a comment\nprint('**x**')\n- no item\n```",
        "Write `**bold**` and `# no heading` and `- x`.",
        "x**2 + y**2 and snake__case__name and 2 ** 3 ** 4, ** not this **",
        "Copyright © 2024, Trademark™, a star * and an arrow → and 5 ♠ and 7 # here",
        "one | two\nno | rule",
    ],
)
def test_what_only_looks_like_markup_is_none(text: str) -> None:
    flags = measure_markup(text)
    assert {name: value for name, value in flags.items() if value and name != "has_code"} == {}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("```\ncode\n```", "has_code"), ("~~~sh\nls\n~~~", "has_code"),
        ("```\nnever closed", "has_code"),
        ("a **b** c", "has_bold"), ("**Note:** this", "has_bold"), ("- **x**: y", "has_bold"), ("so __very__ much", "has_bold"),
        ("**a * b**", "has_bold"), ("   ### Three", "has_heading"), ("12) twelve", "has_list"), ("\t• point", "has_list"),
        ("1. Do:\n    ```\n    x\n    ```", "has_code"),
        ("Great 🎉", "has_emoji"), ("yes ✅", "has_emoji"), ("love ❤️", "has_emoji"), ("flag 🇫🇷", "has_emoji"),
    ],
)  # fmt: skip
def test_markup_in_its_other_spellings(text: str, name: str) -> None:
    assert measure_markup(text)[name]


def test_emoji_are_those_of_unicode() -> None:
    regex = pytest.importorskip("regex")
    presentation = regex.compile(r"\p{Emoji_Presentation}")
    reserved = {code for code in range(0x1F000, 0x20000) if not chr(code).isprintable()}
    codes = [code for code in range(0x20000) if not 0xD800 <= code <= 0xDFFF and code not in reserved]
    mine = {code for code in codes if EMOJI.match(chr(code))}
    theirs = {code for code in codes if presentation.match(chr(code))}
    newer = {code for code in mine ^ theirs if code >= 0x1FA70 or 0x1F6D0 <= code <= 0x1F6FF}  # of later versions of Unicode
    assert mine ^ theirs == newer


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("I'm sorry, but I can't help with that.", {"apologises": 1, "refuses": 1}),
        ("I’m so sorry to hear that. I apologise for the delay.", {"apologises": 1}),
        ("Apologies for the confusion: it is 4.", {"apologises": 1}),
        ("My sincere apologies! That was my mistake.", {"apologises": 1}),
        ("Please forgive me.", {"apologises": 1}),
        ("She felt sorry for the dog in its sorry state, and he apologised.", {}),
        ('He said: "I\'m sorry." Then he left.', {}),
        ("```\nprint('I am sorry')\n```\nThis prints a text.", {}),
        ("Perhaps it might rain; I think it depends on the wind, and it may not.", {"hedges": 5}),
        ("In May 2020 the mighty king may have left.", {"hedges": 1}),
        ("The results are unmistakable and certain.", {}),
        ("You're absolutely right, the sum is 5.", {"agrees": 1}),
        ("Great question! The sky is blue.", {"agrees": 1}),
        ("That's a really good point. So:", {"agrees": 1}),
        ("I completely agree. Here is why.", {"agrees": 1}),
        ("Exactly! It is.", {"agrees": 1}),
        ("Absolutely, I'd be happy to help.", {}),
        ("You're not right about that. I don't agree.", {}),
        ("You are right to ask a doctor; you're right-handed.", {}),
        ("Paris is always a great choice for a weekend.", {}),
        ("The parties agree as follows: " + "x " * 200 + "I agree.", {}),
        ("Sure! Of course, here it is.", {}),
    ],
)
def test_words_by_which_an_answer_hedges_apologises_refuses_or_agrees(text: str, parts: dict[str, int]) -> None:
    assert {name: value for name, value in measure_phrases(text).items() if value} == parts


@pytest.mark.parametrize(
    ("prompt", "answer", "switches"),
    [
        ("Tell me a story about a bridge.", ENGLISH, False),
        ("Tell me a story about a bridge.", "从前有一座桥，桥上有一个人，他每天都在那里等待。", True),
        ("请给我讲一个关于桥的故事，好吗？谢谢你", "从前有一座桥，桥上有一个人，他每天都在那里等待。", False),
        ("请给我讲一个关于桥的故事，好吗？谢谢你", "昔々、あるところに一本の橋がありました。毎日そこで待っていました。", True),
        (ENGLISH, "Es war einmal eine alte Brücke über einen kleinen Fluss, und niemand wollte über sie gehen.", True),
        ("Расскажи мне сказку про старый мост", "Жил-был старый мост, и никто не хотел по нему ходить.", None),
        ("Tell me a story about a bridge.", "4", None),
        ("2+2", ENGLISH, None),
        (ENGLISH, "The word is 桥 in Chinese, and you can use it with this one.", False),
        (ENGLISH, "```\n" + "变量 = 1\n" * 20 + "```\nThis is the code that you asked for, with a loop in it.", False),
    ],
)
def test_another_language_by_script_and_by_words(prompt: str, answer: str, switches: bool | None) -> None:
    assert switches_language(prompt, answer) is switches


def test_scripts_of_letters() -> None:
    assert [main_script(text) for text in ("abc", "абв", "ひらがな漢字", "漢字", "abc абв漢", "123")] == [
        "LATIN", "CYRILLIC", "KANA", "CJK", "", "",
    ]  # fmt: skip


def test_repetition_is_the_share_of_n_grams_that_were_there_before() -> None:
    assert measure_repetition(split_words("a b c d e f")) == {"repeats": 0, "ngrams": 3}
    assert measure_repetition(split_words("go on go on go on go on")) == {"repeats": 3, "ngrams": 5}
    assert measure_repetition(split_words("too short")) == {"repeats": 0, "ngrams": 0}


def test_distinct_n_over_draws_pools_their_n_grams() -> None:
    counts = measure_diversity([split_words("the cat sat"), split_words("The cat ran")])
    assert counts == {"distinct1": 4, "all1": 6, "distinct2": 3, "all2": 4, "distinct3": 2, "all3": 2}
    assert measure_draws([Answer("q", "only one")]) == {}


def test_words_are_counted_in_every_script() -> None:
    assert len(split_words("It's a well-known café — isn’t it?")) == 7
    assert len(split_words("桥上有一个人")) == 6


def test_an_empty_answer_has_a_length_and_an_end_and_no_style() -> None:
    parts = measure_answer(Answer("q", "  \n", reasoning="so I think about it", tokens=9, is_truncated=True))
    assert parts == {"words": 0, "hundreds": 0, "tokens": 9, "reasoning": 5, "loops": 0, "truncated": 1, "empty": 1}


def test_a_language_that_is_not_sure_is_no_number() -> None:
    assert math.isnan(measure_answer(Answer("2+2", "4"))["switches"])


@given(st.text(max_size=400), st.text(max_size=60))
def test_every_part_of_every_text_is_a_number_and_what_measures_name(text: str, prompt: str) -> None:
    parts = measure_answer(Answer(prompt, text))
    names = {m.part for m in MEASURES} | {m.over for m in MEASURES if m.over}
    assert set(parts) <= names
    assert all(value >= 0 or math.isnan(value) for value in parts.values())
    assert parts.get("repeats", 0) <= parts.get("ngrams", 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece", ["(", "**a ", "__b ", "`", "```\n", "I'm so very ", '"', "|---", "- ", "-", "\n", " ", "that's a very very "]
)
def test_a_long_text_that_begins_every_rule_and_ends_none_is_measured(piece: str) -> None:
    """A rule that tried every end for every beginning would not come back from these."""
    assert measure_answer(Answer("Why?", piece * (200_000 // len(piece)) + "x"))["words"] >= 0
