"""Tags that an answer mentions are words of it."""

import pytest

from harness.prompts.reading import cut_turn_end
from harness.prompts.reasoning_blocks import part_reasoning


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
