"""Reasoning that a program for chats has put into the text for its page."""

import html

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.prompts.reading import Reader, missing_answer
from harness.prompts.reasoning_blocks import Parts
from harness.types import Response

THOUGHT = "Seven times six.\nThat is <b>42</b>."


def read(text: str) -> Parts:
    return Reader().part(Response(text))


def open_webui(reasoning: str, done: bool = True) -> str:
    """As Open WebUI writes a block: each line quoted, its signs escaped."""
    quoted = html.escape("\n".join(f"> {line}" for line in reasoning.split("\n")))
    head = 'done="true" duration="3"' if done else 'done="false"'
    title = "Thought for 3 seconds" if done else "Thinking…"
    return f'<details type="reasoning" {head}>\n<summary>{title}</summary>\n{quoted}\n' + "</details>\n" * done


STYLE = 'style="color:gray;background-color: #f8f8f8;padding: 8px;border-radius: 4px;" open'
FORMS = [
    open_webui(THOUGHT),
    "\n" + open_webui(THOUGHT),
    f"<details {STYLE}> <summary> Thinking... </summary>\n{THOUGHT}\n</details>\n\n",
    f"<details>\n<summary>Thought for 12 seconds</summary>\n\n{THOUGHT}\n\n</details>\n\n",
    f"<details><summary>💭 Thinking process</summary>{THOUGHT}</details>",
    f":::thinking\n{THOUGHT}\n:::\n\n",
    "*Thinking...*\n\n> **Multiplying**\n> \n> Seven times six.\n> \n\n\n",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("answer", ["42", "The answer is **42**.\n\n> quoted\n", "- one\n- two", "<p>42</p>"])
def test_the_answer_is_what_follows_the_block(form: str, answer: str) -> None:
    parts = read(form + answer)
    assert parts.answer.strip() == answer.strip()
    assert "Seven times six." in parts.reasoning
    assert parts.state == "closed"


def test_several_blocks_with_text_between_them() -> None:
    parts = read(f"{open_webui('one')}Let me look.\n{open_webui('two')}It is 5.")
    assert parts.answer == "Let me look.\n\nIt is 5."
    assert (parts.reasoning.count("one"), parts.reasoning.count("two"), "Let" in parts.reasoning) == (1, 1, False)


def test_tags_behind_the_block_are_read_as_well() -> None:
    parts = read(open_webui("one") + "<think>two</think>\n5")
    assert (parts.answer, parts.state) == ("5", "closed")
    assert parts.reasoning.endswith("two")


@pytest.mark.parametrize("form", [open_webui(THOUGHT, done=False), f":::thinking\n{THOUGHT}"])
def test_a_block_that_nothing_closes_is_no_answer(form: str) -> None:
    assert missing_answer(*Reader().read(Response(form))) == "no answer: the reasoning block is never closed"


def test_a_block_alone_is_no_answer() -> None:
    assert missing_answer(*Reader().read(Response(open_webui(THOUGHT)))) == "no answer: nothing follows the reasoning"


@pytest.mark.parametrize(
    "text",
    [
        "<details>\n<summary>Solution</summary>\n42\n</details>\nDone.",
        "Here is the proof.\n\n<details><summary>Thinking about primes</summary>\n7 is one.\n</details>\nDone.",
        "<details><summary>Thinking about it, in three steps</summary>\nOne\n</details>\nDone.",
        "<details><summary>Thinking</summary>The page that you asked for.</details>",
        'Open WebUI writes:\n<details type="reasoning" done="true">\n> x\n</details>\nThat is its form.',
        '```html\n<details type="reasoning" done="true">\n> x\n</details>\n```\nThat is its form.',
        'The tag `<details type="reasoning">` opens it, and </details> ends it.',
        "The word *Thinking...* stands over it:\n> quoted",
        "A directive begins with :::thinking\nand ends with\n:::\n",
    ],
)
def test_other_pages_stay_whole(text: str) -> None:
    assert read(text).answer == text


@given(
    st.lists(st.sampled_from([*FORMS, "x\n", "</details>", ":::\n", "```\n", '<details type="reasoning">', "> "]), max_size=8)
)
@settings(max_examples=60)
def test_nothing_is_invented(pieces: list[str]) -> None:
    text = "".join(pieces)
    parts = read(text)
    assert set(parts.answer.split()) <= set(text.split())


@pytest.mark.parametrize(
    "unit", ['<details type="reasoning">\n', "*Thinking...*\n> ", ":::thinking\n", "<details><summary>Thinking"]
)
def test_hostile_pages_take_linear_time(unit: str) -> None:
    read(unit * 10_000)
    read("```\n" + unit * 20_000)


@pytest.mark.parametrize(
    "text",
    [
        "```Thinking\nSum first:\n```python\n1 + 1\n```\nThat is it.\n```\n\nTwo.",
        "~~~reasoning\nOne and one.\n~~~\nTwo.",
        "< think >One and one.</ think >Two.",
        "< thinking >\nOne and one.\n< / thinking >\n\nTwo.",
        "&lt;think&gt;One and one.&lt;/think&gt;\nTwo.",
        "＜think＞One and one.＜／think＞Two.",
        "【思考】One and one.【/思考】\nTwo.",
        "One and one.\n&lt;/think&gt;\nTwo.",
    ],
)
def test_known_blocks_in_other_spellings_are_read(text: str) -> None:
    answer, reading = Reader().read(Response(text))
    assert (answer.strip(), reading.reasoning > 0, reading.unknown_block) == ("Two.", True, False)


@pytest.mark.parametrize("text", ["&lt;think&gt;One and", "＜think＞One and", "< think >One and", "```thinking\nOne and"])
def test_a_block_in_another_spelling_may_have_no_end(text: str) -> None:
    answer, reading = Reader().read(Response(text))
    assert (answer, reading.unclosed) == ("", True)


@pytest.mark.parametrize(
    ("text", "is_counted"),
    [
        ("&lt;deliberation&gt;a&lt;/deliberation&gt;\nTwo.", True),
        ("< deliberation >a</ deliberation >\nTwo.", True),
        ("【计划】a【/计划】\nTwo.", True),
        ("```plan\na\n```\nTwo.", True),
        ("```python\na = 1\n```\nTwo.", False),
        ("&lt;b&gt;Two&lt;/b&gt; it is.", False),
        ("【注意】Two.", False),
        ("```html\n&lt;think&gt;a&lt;/think&gt;\n```\nThat is its form.", False),
        ("If x < think > y holds, stop.", False),
        ("```thinking\nIt is all there is.\n```", False),
    ],
)
def test_other_blocks_in_these_spellings_stay_and_are_counted(text: str, is_counted: bool) -> None:
    answer, reading = Reader().read(Response(text))
    assert (answer, reading.unknown_block) == (text, is_counted)
