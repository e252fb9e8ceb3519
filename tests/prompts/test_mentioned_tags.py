"""Tags that an answer mentions are words of it, and so is a name that begins like a channel."""

import pytest

from harness.prompts.reading import Reader, cut_turn_end
from harness.prompts.reasoning_blocks import part_reasoning
from harness.types import Response


@pytest.mark.parametrize(
    "answer",
    [
        "<output> tags are used in forms.",
        'def ask(question):\n    return question + "Assistant: <think>"\n',
        "def strip(text):\n    return re.sub(r'<think>.*?</think>', '', text)\n",
        "Here:\n```python\ntext.split('a\\n<scratchpad>b')\n```\nDone.",
    ],
)
def test_an_answer_behind_a_block_keeps_the_tags_that_it_mentions(answer: str) -> None:
    assert part_reasoning(f"<think>x</think>\n{answer}").answer == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("It was <s>10</s>", "It was <s>10</s>"),
        ("<s>It was 10 </s>\n</s> ", "<s>It was 10"),
        ("10<|im_end|>\n<|endoftext|>", "10"),
        ("10 > 9 ", "10 > 9 "),
    ],
)
def test_only_tokens_that_end_a_turn_are_cut_from_an_end(text: str, answer: str) -> None:
    assert cut_turn_end(text) == answer


DOCUMENTS = [
    "<scene>\n<thought>\nWhere is she?\n</thought>\n</scene>",
    '<?xml version="1.0"?>\n<thoughts>\nBe brave.\n</thoughts>',
    "<note>\n  <reasoning>It rains.</reasoning>\n  <answer>Stay.</answer>\n</note>",
    "The file:\n\n<thoughts>\n<item>Rain</item>\n</thoughts>\n\nSave it.",
    "<h1>Diary</h1>\n<reflection>\nA good day.\n</reflection>\n<p>End</p>",
    "Put this in your file:\n\n<scratchpad>\nMilk, eggs\n</scratchpad>",
    "A reply looks so:\n<think>\n[what you think]\n</think>\n[what you say]",
    'FORM = """\n<think>\n{thoughts}\n</think>\n{reply}\n"""',
    "It looks so:\n\n    <think>\n    hm\n    </think>\n    42\n\nin every reply.",
    'OPEN, CLOSE = "<think>\\n", "\\n</think>"\nprint(OPEN, CLOSE)',
    "The model writes <think>...</think> tags before it answers.",
]


@pytest.mark.parametrize("text", DOCUMENTS)
@pytest.mark.parametrize("before", ["", "<think>\nHm.\n</think>\n\n"])
def test_a_document_or_a_form_with_tags_stays_whole(text: str, before: str) -> None:
    assert part_reasoning(before + text).answer == text


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("I will work it out:\n<thinking>\n3 * 4\n</thinking>\n12", "I will work it out:\n\n12"),
        (
            "<think>a</think><tool_response>\n3\n</tool_response>\n<think>b</think>\n3",
            "<tool_response>\n3\n</tool_response>\n\n3",
        ),
        ("<think>a</think>\nIt is 3.\n<reflection>\nIs it?\n</reflection>", "It is 3.\n"),
        ("assistant\n<think>a</think>\n12", "12"),
        ("[gMASK]<sop><|assistant|>\n<think>a</think>\n12<|user|>", "12"),
        ("<｜Assistant｜><think>a</think>\n12<｜end▁of▁sentence｜>", "12"),
        ("<think>a</think>\n\n<|im_start|>assistant\n12<|im_end|>", "12"),
        ("12<pad><pad><pad>", "12"),
    ],
)
def test_reasoning_behind_other_words_and_tokens_is_parted(text: str, answer: str) -> None:
    assert Reader().read(Response(text))[0] == answer


@pytest.mark.parametrize(
    "code",
    [
        "analysis1 = 3\n",
        "analysisText: str = ''\n",
        "analysisRows.sort()\n",
        "analysisOf(3)\n",
        "analysisX, analysisY = 1, 2\n",
    ],
)
def test_a_variable_that_begins_like_a_channel_is_code(code: str) -> None:
    assert part_reasoning(code).answer == code


@pytest.mark.parametrize(
    "words", ["We need 3.", "Let's see: x = 3", "Compute f(x) = 3", '"Hi" is said.', "User: asks", "Hmm. So"]
)
def test_a_first_channel_without_a_last_one_is_reasoning(words: str) -> None:
    assert part_reasoning(f"analysis{words}").state == "unclosed"
