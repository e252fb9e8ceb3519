"""A program is read from the model's own turn: what it goes on to ask and answer itself is none of it."""

import pytest

from harness.types import Example
from tasks import humaneval, mbpp

PROMPT = 'def add(a, b):\n    """The sum of two numbers."""\n'
HUMANEVAL = Example({"prompt": PROMPT, "entry_point": "add"})
MBPP = Example({"code": "def add(a, b):\n    return a + b\n", "test_list": ["assert add(1, 2) == 3"]})
RIGHT, WRONG = "def add(a, b):\n    return a + b\n", "def add(a, b):\n    return None\n"
NEXT_TURNS = (
    "<|im_end|>\n<|im_start|>user\nNow give nothing back.<|im_end|>\n<|im_start|>assistant\n",
    "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nNow give nothing back.<|eot_id|>",
    "\n\nHuman: Now give nothing back.\n\nAssistant: Here it is:\n",
    "\n\n### Instruction:\nGive nothing back.\n\n### Response:\n",
)


def sum_of(program: str) -> object:
    names: dict[str, object] = {}
    exec(program, names)
    add = names["add"]
    return add(2, 3) if callable(add) else add


def programs(text: str) -> list[str]:
    return [humaneval.read_chat(HUMANEVAL, text), humaneval.read_alone(HUMANEVAL, text), mbpp.read_chat(MBPP, text)]


@pytest.mark.parametrize("turn", NEXT_TURNS)
def test_a_later_turns_function_does_not_replace_the_answer(turn: str) -> None:
    text = f"Here it is:\n```python\n{RIGHT}```{turn}```python\n{WRONG}```"
    assert [sum_of(program) for program in programs(text)] == [5, 5, 5]


def test_a_token_ends_a_fence_that_is_left_open() -> None:
    assert [sum_of(p) for p in programs(f"```python\n{RIGHT}{NEXT_TURNS[0]}```python\n{WRONG}```")] == [5, 5, 5]


def test_the_users_turn_in_a_program_is_a_line_of_it() -> None:
    code = RIGHT.replace("    return", '    talk = """\nUser: hello\n"""\n    return') + "\nHuman: str = ''\n"
    assert [sum_of(program) for program in programs(f"```python\n{code}```")] == [5, 5, 5]


def test_a_turn_before_the_function_ends_nothing() -> None:
    assert [sum_of(program) for program in programs(f"User: add two numbers\nUser: please\n```python\n{RIGHT}```")] == [5, 5, 5]
