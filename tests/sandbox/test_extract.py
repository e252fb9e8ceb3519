"""The program in an answer, and when an output counts as right."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sandbox import extract
from harness.sandbox.extract import complete_function, defines_name, extract_program, prompt_preamble
from harness.sandbox.inside import compare
from harness.sandbox.statements import Statement, parse_statements

F = "def f(x):\n    return x\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"```python\n{F}```", F),
        (f"```\n{F}```\nmore", F),
        (f"  ```py\n{F}  ```", F),
        (f"~~~python\n{F}~~~", F),
        (f"```bash\npip install x\n```\n```python\n{F}```", F),
        (f"```python\nimport os\n```\n\n```python\n{F}```\n\n```python\nf(1)\n```", F),
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


@pytest.mark.slow
@given(st.text(), st.sampled_from(["f", "größe", "a_1"]))
def test_any_answer_gives_some_program(text: str, name: str) -> None:
    assert isinstance(extract_program(text, name), str)


STUB, DRAFT = 'def f(x):\n    """Doubles."""\n    pass\n', "def f(x):\n    return 0\n"
LIST = "1. First:\n   ```python\n   def f(x):\n       return x\n   ```\n2. Then"
IN_DOCSTRING = 'def f(x):\n    """Doubles.\n    ```\n    f(1)\n    ```\n    """\n    return 2 * x\n'
OTHERS = "```python\nimport math\nSCALE = 2\n\ndef g(x):\n    return math.floor(x)\n```\n"
TESTED = "def f(x):\n    return x\n\nassert f(1) == 2\nprint(f(3))\nfor i in range(9):\n    f(i)\n"


QUOTATION = "".join(f"> {line}\n" for line in f"Here:\n\n```python\n{F}```".split("\n"))
SESSION = ">>> import os\n>>> def f(x):\n...     return x\n...\n>>> f(1)\n1\n"
HTML = '<pre><code class="language-python">def f(x):\n    return x &lt; 1 and &quot;a&quot;</code></pre>'
IN_STRING = 'Try:\n```python\ndef f(x):\n    return """\n<pre><code>&lt;</code></pre>\n> ```\n>>> f(1)\n"""\n```'


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (QUOTATION, F),
        (QUOTATION.replace("> ", ">"), F),
        ("1. So:\n\n" + "".join(f"   {line}\n" for line in QUOTATION.splitlines()), F),
        (f"{QUOTATION}\nOr, without the mistake:\n```python\n{F.replace('x', 'y')}```", F.replace("x", "y")),
        (f"> ```python\n> {DRAFT.replace(chr(10), chr(10) + '> ')}\n\nBetter:\n```\n{F}```", F),
        (f"```python\n{SESSION}```", f"import os\n{F}"),
        (f"In an interpreter:\n\n{SESSION}", f"import os\n{F}"),
        (f"<pre><code>{F}</code></pre>", F),
        (f"Here:\n\n<pre>\n{F}</pre>\nBye", F),
        (HTML, "def f(x):\n    return x < 1 and \"a\"\n"),
        (IN_STRING, 'def f(x):\n    return """\n<pre><code>&lt;</code></pre>\n> ```\n>>> f(1)\n"""\n'),
        ("```python\ndef f(x):\n    \"\"\"Gives x.\n\n>>> f(1)\n1\n\"\"\"\n    return x\n```",
         'def f(x):\n    """Gives x.\n\n>>> f(1)\n1\n"""\n    return x\n'),
    ],
)  # fmt: skip
def test_code_in_quotations_html_and_sessions_is_found(text: str, wanted: str) -> None:
    assert extract_program(text, "f").strip("\n") == wanted.strip("\n")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"Here is the function: ```python\n{F}```\nIt follows.", F),
        (f"```PYTHON\n{F}```\n\n```OUTPUT\n1 2 3 4 5 6 7 8 9 10 11 12 13\n```", F),
        (f"```python2\n{F}```", F),
        (f"```python\n{F}```\nTest it:\n```python\nfrom solution import f\n\ndef test_f():\n    assert f(1)\n```", F),
        (f"<|python_tag|>{F}", F),
        (f"\ufeff{F}", F),
        (f"```python\n\u200b{F}```", F),
        (f"```{{.python}}\n{F}```", F),
        (LIST, F),
        (f"Words first:\n```python\n{IN_DOCSTRING}```", IN_DOCSTRING),
        (f"```python\n{STUB}```\nSolution:\n```python\n{F}```", F),
        (f"```python\n{DRAFT}```\nWait, that is wrong.\n```python\n{F}```\nUse it:\n```python\nprint(f(1))\n```", F),
        (f"```python\n{F}```\nThe signature was\n```python\n{STUB}```", F),
        (f"```python\n{F}```\nBetter:\n```python\ndef f(x):\n    return (x +", F),
        (f"```python\nwhile True: f(1)\n```\nneeds\n```python\n{F}```", F),
        (f"{F}```\nThat is all (it's short.", F),
        ("Markdown:\n\n    def f(x):\n        return x\n\nis code by its indentation.", F),
        (f"[BEGIN]\n{F}[DONE]\n\nYou are an expert. [BEGIN]\ndef g(): pass\n[DONE]", F),
        (f"I write between [BEGIN] and [DONE]:\n[BEGIN]\n{F}[DONE]", F),
        (f"```python\n{TESTED}```", F),
        (f"```python\n{F}\nif __name__ == '__main__':\n    f(input())\n```", F),
        ("```python\ndef f(x):\n    y = x\n    return (y", "def f(x):\n    y = x\n"),
        (f"{F}\r\nMore words.\r\n".replace("\n", "\r\n"), F),
    ],
)
def test_forms_that_real_answers_have(text: str, wanted: str) -> None:
    assert extract_program(text, "f").strip("\n") == wanted.strip("\n")


def test_other_blocks_give_what_the_function_lacks_and_nothing_else() -> None:
    scaled = "def f(x):\n    return SCALE * g(x)\n"
    program = extract_program(f"{OTHERS}\n```python\n{scaled}```\n```python\nimport pytest\nSCALE = f(1)\n```", "f")
    assert program == f"import math\nSCALE = 2\ndef g(x):\n    return math.floor(x)\n{scaled}"
    assert extract_program(f"```python\n{scaled}```\n{OTHERS}", "f") == program
    assert extract_program(f"{OTHERS}```python\n{F}```", "f") == F.strip()


def test_what_prepares_a_function_stays() -> None:
    prepared = "import sys\nsys.setrecursionlimit(9999)\ntable = {}\ntable[1] = 1\nfor i in range(9):\n    table[i] = i\n"
    function = "def f(x):\n    return table[x]\n"
    assert extract_program(f"```python\n{prepared}{function}```", "f") == f"{prepared}{function}".strip()
    assert extract_program(f"```python\n{prepared}{function}f(1)\nt = f(2)\n```", "f") == f"{prepared}{function}"
    assert extract_program(f"{F}\ndef test():\n    assert f(1) == 2\n\ntest()\n", "f").strip() == F.strip()
    assert "class Pair" in extract_program(f"class Pair: pass\n\n{F}", "f", "Pair")
    looked_up = "def g(x):\n    return x\n\ndef f(x):\n    return globals()['g'](x)\n"
    assert extract_program(looked_up, "f") == looked_up


def test_a_whole_function_follows_the_prompts_imports_and_helpers() -> None:
    prompt = "import math\n\ndef helper(x):\n    return x\n\ndef f(x):\n    # words\n"
    preamble = prompt_preamble(prompt, "f")
    assert preamble == "import math\n\ndef helper(x):\n    return x\n\n"
    assert complete_function(prompt, F, "f", preamble) == f"{preamble}\n{F}".replace("\n\n\ndef f", "\n\ndef f")
    late = f"from __future__ import annotations\n{F}"
    assert complete_function(prompt, late, "f", preamble).startswith("from __future__ import annotations\nimport math\n")
    body = complete_function(prompt, "    return x\n\nassert f(1) == 2\n", "f", preamble)
    assert body == "import math\ndef f(x):\n    # words\n    return x\n"


PATHOLOGICAL = [
    "def f(a):\n",
    "```\n",
    "```python\n",
    "a\n",
    "f(",
    "x = (\n",
    "\"\"\"\n'''\n",
    "@a\n",
    "`",
    "~",
    "[BEGIN]\n",
    "if a:\n",
    "(",
    "not ",
    "def f(a):\n return f\n",
    "```python\ndef f(a):\n return f(\n```\n",
    " ",
    "\n",
    "a;",
    "{1:",
    "lambda:",
    "\\\n",
    "try:\n a\n",
    "a,",
]


@pytest.mark.slow
@pytest.mark.parametrize("piece", PATHOLOGICAL)
@pytest.mark.parametrize("end", ["", "(", "\n```\n", "\ndef f(x): return x"])
def test_reading_costs_linear_work(piece: str, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is counted: characters parsed, of 30 KB of the same piece."""
    parsed: list[int] = []

    def count(code: str) -> list[Statement] | int:
        parsed.append(len(code))
        return parse_statements(code)

    monkeypatch.setattr(extract, "parse_statements", count)
    text = piece * (30_000 // len(piece)) + end
    extract_program(text, "f")
    assert sum(parsed) <= extract.PARSES * len(text) + 10_000
    assert len(parsed) <= len(text) + 10


def test_a_completion_goes_on_with_the_prompt_and_stops_in_time() -> None:
    prompt = "def f(x):\n"
    assert complete_function(prompt, "    return x\ndef g(", "f") == "def f(x):\n    return x"
    assert complete_function(prompt, F, "f") == F
    assert complete_function(prompt, "\n" + F, "f") == "\n" + F


BODY = '    """Doubles."""\n    y = x\n    return 2 * y\n'
FENCED_EXAMPLE = '    """Doubles.\n    ```\n    f(1)\n    ```\n    """\n    return 2 * x\n'
WITH_HELPER = "    return g(x)\n\ndef g(x):\n    return 2 * x\n"
PROSE = "This function doubles `x` (it's short).\n"
USAGE = "For example:\n```python\nprint(f(1))\n```\nDone."
LATE = "from __future__ import annotations\n"


def doubles(program: str) -> bool:
    """Does it define a function that doubles, as the first statement of the program or behind imports?"""
    space: dict[str, Any] = {}
    try:
        exec(compile(program, "<answer>", "exec", dont_inherit=True), space)
        return [space["f"](x) for x in (0, 3)] == [0, 6]
    except Exception:  # noqa: BLE001  any failure means that it does not
        return False


def read_answer(text: str, prompt: str = "import math\n\n\ndef f(x):\n    # doubles\n") -> str:
    """As the task humaneval reads a chat answer."""
    return complete_function(prompt, extract_program(text, "f"), "f", prompt_preamble(prompt, "f"))


@pytest.mark.parametrize(
    "body", [BODY, FENCED_EXAMPLE, WITH_HELPER, f"# so:\n\n{BODY}", f"{LATE}{BODY}", f"{BODY}\nprint(f(1))\n"]
)
@pytest.mark.parametrize("fence", ["```", "  ```", "~~~", "````"])
@pytest.mark.parametrize("rest", ["", "\n", f"\n{PROSE}", f"\n\n{PROSE}{USAGE}", f"\n```python\n{DRAFT}```", "\n```\n6\n```"])
def test_a_body_before_a_closing_fence_goes_on_with_the_prompt(body: str, fence: str, rest: str) -> None:
    """The answer's block was opened before it, with the prompt (lm-eval's humaneval_instruct)."""
    assert doubles(read_answer(f"{body}{fence}{rest}"))


@pytest.mark.parametrize(
    "whole", [F.replace("x\n", "2 * x\n"), IN_DOCSTRING, f"import os\n\n{IN_DOCSTRING}", f"{LATE}{IN_DOCSTRING}"]
)
@pytest.mark.parametrize("rest", ["", "\n", f"\n{PROSE}", f"\n\n{PROSE}{USAGE}"])
def test_a_whole_function_before_a_closing_fence_is_read(whole: str, rest: str) -> None:
    assert doubles(read_answer(f"{whole}```{rest}"))
    assert doubles(complete_function("def f(x):\n", f"{whole}```{rest}", "f"))


def test_a_body_ends_at_a_fence_on_its_last_line() -> None:
    assert doubles(read_answer("    return 2 * x```\nIt doubles."))
    assert doubles(read_answer("    s = '```'\n    return 2 * x\n```"))


@pytest.mark.parametrize(
    "text",
    [
        f"    x = 1\n```\n{IN_DOCSTRING}```",
        f"    return 0\n```\n{IN_DOCSTRING}```",
        f"    pip install x\n\n```python\n{IN_DOCSTRING}```",
        f"    return 0\n\n```python\n{IN_DOCSTRING}```",
        f"    Note\n```\n{IN_DOCSTRING}```\nDone.",
        f"    It will return twice x:\n```\n{BODY}```",
        f"The body:\n```python\n{BODY}```",
        f"```\n{BODY}```\nor\n```\nf(1)\n```",
        LIST.replace("return x", "return 2 * x"),
    ],
)
def test_indented_text_before_an_opening_fence_is_no_body(text: str) -> None:
    assert doubles(read_answer(text))


@pytest.mark.parametrize(
    "late",
    [LATE, f"# doubles\n\n{LATE}", f'"""Doubles."""\n{LATE}', "from __future__ import (\n    annotations,\n)  # late\n",
     f"{LATE}from __future__ import division\n", "from __future__ import annotations; import os\n"],
)  # fmt: skip
def test_an_import_from_the_future_moves_to_the_front(late: str) -> None:
    for text in (f"{late}{IN_DOCSTRING}", late[late.index("from") :] + BODY):
        for program in (read_answer(text), read_answer(f"```python\n{text}```"), read_answer(f"{text}```\n{PROSE}")):
            assert doubles(program), program
            assert program.count("annotations") == 1


def test_an_import_from_the_future_in_a_text_stays_where_it_is() -> None:
    program = f'def f(x):\n    """Gives\n{LATE}"""\n    return 2 * x\n'
    assert program in read_answer(program)
    assert not doubles(read_answer(f"import os\n{LATE}{IN_DOCSTRING}"))  # no Python by itself either


def test_what_follows_a_body_is_left_out_unless_the_body_calls_it() -> None:
    prompt = "def f(x):\n"
    assert complete_function(prompt, f"{BODY}\ndef g(x):\n    return x\n", "f") == f"{prompt}{BODY}"
    assert doubles(complete_function(prompt, f"{BODY}\ndef f(x):\n    return 0\n", "f"))
    assert doubles(complete_function(prompt, f"{WITH_HELPER}\nprint(f(1))\n", "f"))


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


SPECIAL = st.sampled_from([float("inf"), float("-inf"), float("nan"), 0.0, 1.0, -12345.0, 1e308])


@given(st.lists(st.tuples(SPECIAL, SPECIAL), min_size=1), st.sampled_from([0.0, 1e-4]))
def test_an_infinity_or_a_nan_matches_only_itself(pairs: list[tuple[float, float]], atol: float) -> None:
    out, expected = map(list, zip(*pairs, strict=True))
    with np.errstate(all="ignore"):
        wanted = bool(np.allclose(out, expected, rtol=1e-7, atol=atol or 1e-6, equal_nan=True))
    assert compare.equal_or_close(out, expected, atol) == wanted
    assert compare.equal_or_close(out[0], expected[0], atol) or not wanted
    assert compare.equal_or_close({"a": [out]}, {"a": [expected]}, 0) == all(map(compare.is_equal, out, expected))


def test_huge_whole_numbers_are_compared_exactly() -> None:
    assert compare.equal_or_close([10**400], [10**400], 1e-4)


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
