"""The reading step: from what a model wrote to what a task scores."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.prompts.loops import MIN_LENGTH, MIN_REPEATS, loop_length
from harness.prompts.plain_quotes import plain_quotes
from harness.prompts.reading import ONLY_REASONING, SILENCE, TURN_ENDS, Reader, missing_answer
from harness.prompts.reasoning_blocks import ends_inside_block, part_reasoning
from harness.prompts.reasoning_tags import TAGS
from harness.types import Response, SkilldeltaError

WORDS = st.text(alphabet=st.sampled_from("abz AB 09.,!?\n*#$(){}=_-é你"), min_size=1, max_size=60)
PROSE = WORDS.filter(lambda text: text.strip() and "`" not in text)


@pytest.mark.parametrize(
    ("typographic", "plain"),
    [
        ("I can’t, she ‘said’", "I can't, she 'said'"),
        ("“Yes”, „ja“, «oui»", '"Yes", "ja", "oui"'),
        ("don´t, donʼt, don＇t, don′t", "don't, don't, don't, don't"),
        ("`code` - — … é", "`code` - — … é"),
    ],
)
def test_typographic_quotes_are_read_as_plain_ones(typographic: str, plain: str) -> None:
    assert plain_quotes(typographic) == plain


@given(st.text())
def test_plain_quotes_keep_every_place_of_a_text(text: str) -> None:
    assert len(plain_quotes(text)) == len(text)
    assert plain_quotes(plain_quotes(text)) == plain_quotes(text)


@given(PROSE, PROSE, st.sampled_from(TAGS), st.sampled_from(["\n", ""]))
def test_a_block_at_the_beginning_is_parted(reasoning: str, answer: str, tags: tuple[str, str], gap: str) -> None:
    parts = part_reasoning(f"{tags[0]}{gap}{reasoning}{gap}{tags[1]}\n\n{answer}")
    assert (parts.reasoning, parts.answer.strip(), parts.state) == (reasoning.strip(), answer.strip(), "closed")


@given(PROSE, PROSE, st.sampled_from(TAGS))
def test_a_block_that_the_prompt_opened_ends_at_its_closing_tag(reasoning: str, answer: str, tags: tuple[str, str]) -> None:
    text = f"{reasoning}\n{tags[1]}\n\n{answer}"
    assert part_reasoning(text) == part_reasoning(text, in_block=True)
    assert part_reasoning(text).answer.strip() == answer.strip()


@given(st.text())
def test_a_text_without_tags_is_the_answer_as_it_is(text: str) -> None:
    if not any(tag in text for pair in TAGS for tag in pair):
        parts = part_reasoning(text)
        assert (parts.answer, parts.state) == (text, "")


MENTIONS = [
    "[Reasoning]\nThe sky is blue.\n[Answer]\n42",
    "Its format:\n```\n<|start|>user<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b<|return|>\n```\nEnd.",
    "The tag `<think>` opens a block and `</think>` closes it.",
    'R1 writes "<think>" first, then "</think>".',
    "Qwen’s “<think>” and “</think>” tags stand around its reasoning.",
    "Models emit <think> and </think> tags.",
    "Such a block ends with </think>. Then comes the answer.",
    "Split at it: `text.split('</think>')[-1]`.",
    "Use this:\n\n```python\ntext = re.sub(r'<think>.*?</think>', '', text)\n```\nDone.",
    "The format is:\n\n```\n<think>\nreasoning\n</think>\nanswer\n```\n\nThat is all.",
    "As XML: `<think>a</think>b`, in one line.",
    "<b>bold</b> and <thinker> are other tags.",
    "Analysis: the assistant finally answered.",
    "analysis of variance parts the sum of squares",
    "Write </think> to end it",
    "</think> is a closing tag.",
]


@pytest.mark.parametrize("text", MENTIONS)
def test_an_answer_that_talks_about_tags_stays_whole(text: str) -> None:
    assert part_reasoning(text).answer == text


@pytest.mark.parametrize("text", MENTIONS[:9])
@pytest.mark.parametrize("wrap", ["<think>\nHm.\n</think>\n\n{}", "Hm.\n</think>\n\n{}", "analysisHm.assistantfinal{}"])
def test_it_stays_whole_behind_reasoning_too(text: str, wrap: str) -> None:
    parts = part_reasoning(wrap.format(text))
    assert (parts.reasoning, parts.answer) == ("Hm.", text)


@pytest.mark.parametrize("text", MENTIONS[:8])
def test_reasoning_may_talk_about_tags_as_well(text: str) -> None:
    parts = part_reasoning(f"<think>\nThe user says: {text} Well.\n</think>\n\nYes.")
    assert (parts.answer, parts.state) == ("Yes.", "closed")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>a <think>b</think> c</think> It is 4.", "It is 4."),
        ("<think>a</think>\n<think>b</think>\nYes.", "Yes."),
        ("<think>a</think>One, <think>b</think>two.", "One, two."),
        ("<think>a</think>\nI'm sorry.\n</think>", "I'm sorry.\n"),
        ("<think>a\n</think>\n\ndraft\n</think>\n\nYes.", "Yes."),
        ("Let me think.\n<think>\na\n</think>\nYes.", "Let me think.\n\nYes."),
        ("<think>```python\nx = 1\n</think>\n```python\ny = 2\n```", "```python\ny = 2\n```"),
        ("<think>a</think>    return x", "    return x"),
        ("<think>a</think>\n\n    return x", "    return x"),
        ("<think>a</think><answer>42</answer>", "42"),
        ("<THINK>a</Think> Yes.", "Yes."),
        ("<|im_start|>assistant\n<think>a</think>Yes.", "Yes."),
        ("<think>a</thinking>\nYes.", "Yes."),
        ("</think>\n\nYes.", "Yes."),
        ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>Yes.<|END_RESPONSE|>", "Yes."),
        ("analysisaassistantcommentarybassistantfinalYes.", "Yes."),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>Yes.", "Yes."),
        ('<think>He said "no"</think>"Yes."', '"Yes."'),
        ("<think>It's `x</think>Use `y`.", "Use `y`."),
    ],
)
def test_nested_repeated_and_odd_blocks(text: str, answer: str) -> None:
    parts = part_reasoning(text)
    assert (parts.answer, parts.state) == (answer, "closed")


@given(st.lists(st.sampled_from(["<think>", "</think>", "a", " ", "\n", "`", '"', "```\n", "Z. ", "<|channel|>"]), max_size=14))
@example(["<think>", "</think>"])
def test_any_mixture_is_read_and_nothing_is_invented(pieces: list[str]) -> None:
    text = "".join(pieces)
    parts = part_reasoning(text)
    assert parts.state in ("", "closed", "unclosed")
    assert len(parts.answer) <= len(text)
    assert set(parts.answer + parts.reasoning) <= set(text) | {"\n"}
    if not parts.state:
        assert parts.answer == text


@pytest.mark.parametrize(
    "unit", ["<think>", "</think>", "<think>a</think>", "a </think> b", "`<think>`", "```\n", "<|channel|>", "\n> "]
)
def test_hostile_texts_take_linear_time(unit: str) -> None:
    part_reasoning(unit * 20_000)  # a quadratic rule would take minutes


def test_a_block_may_end_between_two_fences() -> None:
    code = "```python\nx = 1\n```"
    assert Reader().read(Response(f"<think>Try:\n```\nx = 0\n```</think>{code}"))[0] == code
    shown = f"<think>Try it.</think>Write\n```</think>```\nbefore:\n{code}"
    assert Reader().read(Response(shown))[0] == shown.partition("</think>")[2]


def test_unclosed_blocks() -> None:
    for text in ("<think>\nI'm sorry, it is 5", "[THINK]hm", "analysisWe need to refuse"):
        parts = part_reasoning(text)
        assert (parts.answer, parts.state) == ("", "unclosed")
    cut = part_reasoning("Sure!\n<think>\nhm", truncated=True)
    assert (cut.answer.strip(), cut.state) == ("Sure!", "unclosed")
    assert part_reasoning("It is 5.", in_block=True).state == "unclosed"


def test_tags_of_ones_own_replace_the_known_ones() -> None:
    reader = Reader.with_tags(["<scratch>,</scratch>"])
    assert reader.read(Response("<scratch>a</scratch>b"))[0] == "b"
    assert reader.read(Response("<think>a</think>b"))[0] == "<think>a</think>b"
    assert Reader.with_tags(["none"]).read(Response("<think>a</think>b"))[0] == "<think>a</think>b"
    for wrong in ("<a>", "<a>,", "a,b,c"):
        with pytest.raises(SkilldeltaError, match="OPEN,CLOSE"):
            Reader.with_tags([wrong])


def test_a_prompt_that_ends_inside_a_block_is_seen() -> None:
    assert ends_inside_block("<|assistant|><think>\n")
    assert ends_inside_block("<|Assistant|>[THINK]")
    assert not ends_inside_block("<|assistant|><think>\n\n</think>\n\n")


def naive_loop(text: str) -> int:
    """The definition, tried for every period and length."""
    text = text.rstrip()
    longest = 0
    for period in range(1, len(text)):
        length = period
        while length < len(text) and text[-1 - length] == text[-1 - length + period]:
            length += 1
        if length >= max(MIN_LENGTH, MIN_REPEATS * period):
            longest = max(longest, length)
    return longest


@given(st.text("ab ", max_size=80), st.text("abc", min_size=1, max_size=40), st.integers(1, 40), st.text("abc", max_size=3))
def test_loops_are_those_of_the_definition(before: str, unit: str, times: int, rest: str) -> None:
    text = before + unit * times + rest
    assert loop_length(text) == naive_loop(text)


def test_loops_and_what_is_none() -> None:
    assert loop_length("Well. " + "I think so. " * 30) >= 12 * 29
    assert loop_length("x\n" + "\n" * 200) >= 200
    assert loop_length("-" * 80) == loop_length("a, b, c, d") == loop_length("") == 0
    assert loop_length("ab" * 1_000_000) > 0


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('<think type="long">a</think>\n\nYes.', "Yes."),
        ("<thoughts>a</thoughts >\nYes.", "Yes."),
        ("<|inner_prefix|>a<|inner_suffix|>Yes.", "Yes."),
        ("<|channel>thought\na\n<channel|>Yes.", "Yes."),
        ("thought\na<unused95>Yes.", "Yes."),
        ("<think_fast>\na\n</think_fast>\nYes.", "Yes."),
        ("<internal_monologue>a</internal_monologue>Yes.", "Yes."),
        ("Assistant: <think>\na\n</think>\nYes.", "Yes."),
        ("<|think|>a.<|end|><|begin|>assistant<|content|>Yes.", "Yes."),
        ("<Thought>\na\n</Thought>\n<Output>\nYes.\n</Output>", "Yes."),
        ("<start_working_out>a<end_working_out>\n<SOLUTION>Yes.</SOLUTION>", "Yes."),
        ("<think>a</think><|begin_of_box|>Yes.<|end_of_box|>", "Yes."),
        ("<think_start>a<think_end>Yes.", "Yes."),
        ("<reasoning_start>\na\n<reasoning_end>\n\nYes.", "Yes."),
        ("<begin_of_thought>\na\n<end_of_thought>\nYes.", "Yes."),
        ("[BEGIN OF THOUGHT]\na\n[END OF THOUGHT]\nYes.", "Yes."),
        ("[Begin_of_Thought]a[End_of_Thought]\nYes.", "Yes."),
        ("a\n[END OF THOUGHT]\n\nYes.", "Yes."),
        ("[THOUGHT]a[/THOUGHT]Yes.", "Yes."),
        ("<seed:think>a<seed:cot_budget_reflect>b</seed:cot_budget_reflect></seed:think>Yes.", "Yes."),
        ("<mm:think>a</mm:think>Yes.", "Yes."),
        ("[unused16]a[unused17]Yes.", "Yes."),
        ("Here is my thought process:\na\n\nHere is my response:\nYes.", "Yes."),
        ("a<|end|><|start|>assistant<|channel|>final<|message|>Yes.", "Yes."),
        (
            "<|message|>a<|end|><|start|>assistant<|channel|>commentary to=f.x <|constrain|>json<|message|>{}<|call|>"
            "<|start|>assistant<|channel|>final<|message|>Yes.",
            "Yes.",
        ),
    ],
)
def test_tags_channels_and_headings_of_other_models(text: str, answer: str) -> None:
    parts = part_reasoning(text)
    assert (parts.answer, parts.state) == (answer, "closed")
    assert "a" in parts.reasoning


@pytest.mark.parametrize(
    "text",
    [
        "Here is my thought process:\nIt is 4.",
        "If x < think > y holds, stop.",
        "<output>42</output>",
        "<p>Yes.</p>\nNo.",
        "[Thought]\nIt is 4.\n[Answer]\n4",
        "Each block stands between <think_start> and <think_end>.",
        "The tokens are:\n[unused15], [unused16], [unused17]",
        "<start_of_turn>model\nYes.<end_of_turn>\nNo.",
        "<output_start>42<output_end>\nThat is all.",
        "### Response:\nYes.",
    ],
)
def test_texts_that_only_look_alike_stay_whole(text: str) -> None:
    answer, reading = Reader().read(Response(text))
    assert (answer, reading.unknown_block) == (text, False)


@pytest.mark.parametrize("sign", ["\u200b", "\ufeff", "\u2060\u200d", "\xad", "\u2800", "\u3164\u3164", " \u200e\n"])
def test_a_text_that_shows_nothing_is_no_answer(sign: str) -> None:
    for text, reason in ((sign, SILENCE), (f"<think>a</think>\n{sign}", ONLY_REASONING), (f"{sign}4", "")):
        assert missing_answer(*Reader().read(Response(text))) == reason


@pytest.mark.parametrize("tag", ["思考", "réflexion"])
def test_a_block_in_tags_of_another_language_is_counted(tag: str) -> None:
    answer, reading = Reader().read(Response(text := f"<{tag}>a</{tag}>\nYes."))
    assert (answer, reading.unknown_block) == (text, True)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("<plan_start>", "<plan_end>"),
        ("<begin_of_plan>", "<end_of_plan>"),
        ("<|plan_begin|>", "<|plan_end|>"),
        ("[BEGIN OF PLAN]", "[END OF PLAN]"),
        ("[PLAN OPEN]", "[PLAN CLOSE]"),
        ("[MY PLAN]", "[/MY PLAN]"),
    ],
)
def test_a_block_is_counted_whose_tags_say_that_they_begin_and_end_it(start: str, end: str) -> None:
    answer, reading = Reader().read(Response(text := f"{start}\na\n{end}\nYes."))
    assert (answer, reading.unknown_block) == (text, True)
    assert not Reader().read(Response(f"{start}\na\n{end}"))[1].unknown_block  # nothing stands behind it


LEADS = (
    *("<start_of_turn>model\n", "<|turn>model\n", "### Response:\n", "## Assistant\n", "]~b]ai\n", "<seed:bos>assistant\n"),
    *("[|assistant|]", "<role>ASSISTANT</role>", "<SPECIAL_11>Assistant\n", "<｜hy_Assistant｜>", "<longcat_assistant>"),
    *("<|start_of_role|>assistant<|end_of_role|>", "<|header_start|>assistant<|header_end|>\n\n", "ASSISTANT: ", "[/INST]"),
    *("<beginning_of_sentence>ai name=assistant\n", "[unused9]助手："),
)


@pytest.mark.parametrize("lead", LEADS)
def test_what_begins_a_models_turn_is_no_part_of_an_answer_behind_reasoning(lead: str) -> None:
    answer, reading = Reader().read(Response(f"{lead}<think>\na\n</think>\n\nYes."))
    assert (answer, reading.reasoning) == ("Yes.", 1)
    assert not Reader().read(Response(f"{lead}Yes."))[1].unknown_block


def test_a_heading_before_a_tag_that_is_talked_of_stays() -> None:
    for text in ("### Response:\nWrite `<think>` first, then `</think>`.", "### Response to it\n<think>a</think>\nYes."):
        assert Reader().read(Response(text))[0].startswith("### Response")


def test_a_block_in_tags_that_are_not_known_is_counted_and_can_be_named() -> None:
    response = Response("<deliberation>\nI could comply.\n</deliberation>\nI'm sorry.")
    answer, reading = Reader().read(response)
    assert (answer, reading.to_json()["unknown_block"]) == (response.text, 1)
    answer, reading = Reader.with_tags(["<deliberation>,</deliberation>"]).read(response)
    assert (answer, reading.unknown_block) == ("I'm sorry.", False)


@pytest.mark.parametrize("end", ["</s>\n", "<|eot_id|><|endoftext|>", "\n<end_of_turn>\n", "[e~[\n</s>", *TURN_ENDS])
def test_tokens_that_end_a_turn_are_no_part_of_an_answer(end: str) -> None:
    assert Reader().read(Response(f"<think>a</think>\n<answer>Yes.</answer>{end}"))[0] == "Yes."
    assert Reader().read(Response(f"Yes.{end}"))[0] == "Yes."
