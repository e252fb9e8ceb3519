"""The program in an answer, and when an output counts as right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sandbox.extract import complete_function, defines_name, extract_program, is_python
from harness.sandbox.inside import compare

F = "def f(x):\n    return x\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"```python\n{F}```", F),
        (f"```\n{F}```\nmore", F),
        (f"  ```py\n{F}  ```", F),
        (f"~~~python\n{F}~~~", F),
        (f"```bash\npip install x\n```\n```python\n{F}```", F),
        (f"```python\nimport os\n```\n\n```python\n{F}```\n\n```python\nf(1)\n```", f"import os\n\n{F}"),
        (f"```python\n{F}", F),
        (F, F),
        (f"Words.\n\n{F}\nMore words.", f"{F}"),
        ("```python\nf = lambda x: x\n```", "f = lambda x: x\n"),
        ("```python\nfrom functools import partial as f\n```", "from functools import partial as f\n"),
        ("no program here", "no program here"),
    ],
)
def test_the_program_is_found(text: str, wanted: str) -> None:
    assert extract_program(text, "f").strip("\n") == wanted.strip("\n")


@given(st.text(), st.sampled_from(["f", "größe", "a_1"]))
def test_any_answer_gives_some_program(text: str, name: str) -> None:
    assert isinstance(extract_program(text, name), str)
    assert isinstance(is_python(text), bool)


def test_a_completion_goes_on_with_the_prompt_and_stops_in_time() -> None:
    prompt = "def f(x):\n"
    assert complete_function(prompt, "    return x\ndef g(", "f") == "def f(x):\n    return x"
    assert complete_function(prompt, F, "f") == F
    assert complete_function(prompt, "\n" + F, "f") == "\n" + F


def test_a_name_must_be_bound_at_the_margin() -> None:
    assert defines_name("async def f(): pass", "f")
    assert defines_name("f: int = 1", "f")
    assert not defines_name("    def f(): pass", "f")
    assert not defines_name("f == 1", "f")
    assert not defines_name("def ff(): pass", "f")


FLOATS = st.floats(-1e6, 1e6)


@given(st.lists(FLOATS, min_size=1), st.floats(-1e-5, 1e-5), st.sampled_from([0.0, 1e-6, 1e-4]))
def test_closeness_is_numpys(expected: list[float], error: float, atol: float) -> None:
    out = [e + error for e in expected]
    wanted = out == expected or np.allclose(out, expected, rtol=1e-7, atol=atol or 1e-6)
    assert compare.equal_or_close(out, expected, atol) == wanted


def test_a_tolerance_needs_the_same_type() -> None:
    assert compare.equal_or_close(1.0000001, 1.0, 0)
    assert not compare.equal_or_close((1.0000001,), [1.0], 0)
    assert compare.equal_or_close((1,), (1,), 1e-4)
    assert not compare.equal_or_close(1, 2, 0)


def test_special_rules() -> None:
    assert compare.ORACLES["root"]([[-1, 1]], 1.00001, None, 1e-4)
    assert not compare.ORACLES["root"]([[-1, 1]], 1.1, None, 1e-4)
    assert compare.ORACLES["same set"]((), (4, 5), (5, 4), 0)
    assert compare.ORACLES["found or not"]((), object(), True, 0)
    assert not compare.ORACLES["found or not"]((), None, True, 0)
    assert compare.ORACLES["or zero"]((), 0, 7, 0)
    assert compare.ORACLES["digits"]([12, 256], 10, 7, 0)
    assert compare.ORACLES["surface"]([3, 4], 35, 33, 0)
    assert not compare.ORACLES["surface"]([3, 4], 30, 33, 0)
