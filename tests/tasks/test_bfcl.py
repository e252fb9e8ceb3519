"""Function calls: every way of writing one is read without running it, and compared by the leaderboard's rules."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import data
from harness.types import Example, Response, SkilldeltaError
from tasks import bfcl
from tasks.tool_calls.matching import allows, explain_mismatch
from tasks.tool_calls.parsing import Call, NoCallsError, read_calls
from tests.support.absent_data import write_files

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.from_regex(r"[a-z_]{1,6}(\.[a-z_]{1,6})?", fullmatch=True).filter(
    lambda name: not any(part in ("is", "in", "if", "or", "as", "and", "not", "for", "def", "del") for part in name.split("."))
)
ARGUMENTS = st.dictionaries(st.sampled_from(["x", "y", "city", "to_"]), VALUES, max_size=3)
CALLS = st.lists(st.builds(Call, NAMES, ARGUMENTS), min_size=1, max_size=3)


def as_python(calls: list[Call]) -> list[str]:
    return [f"{c.name}({', '.join(f'{name}={value!r}' for name, value in c.arguments.items())})" for c in calls]


def as_json(calls: list[Call], function: str, arguments: str) -> list[dict[str, Any]]:
    return [{function: c.name, arguments: c.arguments} for c in calls]


@settings(max_examples=40)
@given(
    CALLS,
    st.sampled_from(
        ["[{}]", "{}", "```python\n[{}]\n```", "```\n{}```", "[\n{}\n]\n", "I will call:\n```\n[{}]\n```", "({},)"]
    ),
)
def test_python_calls_are_read_in_any_dress(calls: list[Call], dress: str) -> None:
    assert read_calls(dress.format(", ".join(as_python(calls)))) == calls


@pytest.mark.slow
@given(CALLS, st.sampled_from([("name", "arguments"), ("function", "parameters"), ("name", "parameters")]), st.integers(0, 5))
def test_json_calls_are_read_in_any_dress(calls: list[Call], keys: tuple[str, str], form: int) -> None:
    values = as_json(calls, *keys)
    texts = [json.dumps(value) for value in values]
    dressed = (
        json.dumps(values),
        "\n".join(texts),
        f"```json\n{json.dumps(values, indent=2)}\n```",
        "Let me see.\n" + "".join(f"<tool_call>\n{text}\n</tool_call>" for text in texts),
        f"[TOOL_CALLS] {json.dumps(values)}",
        "\n".join(f"<function={c.name}>{json.dumps(c.arguments)}</function>" for c in calls),
    )
    assert read_calls(dressed[form]) == calls


@given(st.text(max_size=200) | st.text(alphabet="f(a=[1]){}'\",:. \n`<>", max_size=80))
def test_no_text_breaks_the_reading(text: str) -> None:
    with contextlib.suppress(NoCallsError):
        assert all(isinstance(call, Call) for call in read_calls(text))


BONN, ROME = Call("weather.get", {"city": "Bonn", "days": 3}), Call("weather.get", {"city": "Rome", "days": 3})
BOTH = (BONN, ROME)
IN_BONN, IN_ROME = as_python([BONN, ROME])
OBJECT = '{"name": "weather.get", "arguments": {"city": "Bonn", "days": 3}}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"Here are both calls:\n\n[{IN_BONN},\n {IN_ROME}]", BOTH),
        (f"These are needed:\n{IN_BONN}\n{IN_ROME}\n\nThey ask for three days.", BOTH),
        (f"First Bonn:\n```python\n[{IN_BONN}]\n```\nThen Rome:\n```python\n[{IN_ROME}]\n```", BOTH),
        (f"1. {IN_BONN}\n2. {IN_ROME}", BOTH),
        (f"- `{IN_BONN}`\n- `{IN_ROME}`", BOTH),
        (f"[{IN_BONN}]\n\nThis asks for the weather (in Bonn).", [BONN]),
        (f"The call is: [{IN_BONN}]", [BONN]),
        (f"**[{IN_BONN}]**", [BONN]),
        (f'```python\n[{IN_BONN}]\n```\nIt returns:\n```json\n{{"temperature": 20}}\n```', [BONN]),
        (f"```\n[{IN_ROME}]\n```\nWait, the user asks for Bonn.\n```\n[{IN_BONN}]\n```", [BONN]),
        (f"[{IN_BONN}]\n\nFinal answer:\n[{IN_BONN}]", [BONN]),
        (f"<function_calls>\n{IN_BONN}\n{IN_ROME}\n</function_calls>", BOTH),
        (f"<|tool_call|>[{OBJECT}]<|/tool_call|>", [BONN]),
        (f"<tool_call>\n{OBJECT.replace(chr(34), chr(39))}\n</tool_call>", [BONN]),
        (f"```json\n{OBJECT}\n```\nand\n```python\n{IN_ROME}\n```", BOTH),
    ],
)
def test_all_calls_of_a_response_are_read_whatever_stands_around_them(text: str, expected: list[Call]) -> None:
    assert read_calls(text) == list(expected)


@pytest.mark.parametrize(
    "text",
    [
        f"I cannot call {IN_BONN} as Bonn is no city.",
        "No function fits (none takes a river). Ask for a city: Bonn or Rome.",
        '```json\n{"temperature": 20}\n```',
        "f(x=1\n" * 20_000,
        "f(x=1) or not\n" * 1000,
    ],
)
def test_words_about_calls_are_no_calls(text: str) -> None:
    with pytest.raises(NoCallsError):
        read_calls(text)


def test_nothing_that_a_call_holds_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "run"
    for argument in (f"open({str(mark)!r}, 'w')", f"__import__('pathlib').Path({str(mark)!r}).touch()", "(lambda: 1)()"):
        with contextlib.suppress(NoCallsError):
            read_calls(f"[f(x={argument})]")
        assert not mark.exists()


@pytest.mark.parametrize("argument", ["9**9**9**9", "10**100000", "2**(10**9)", "1/0", "'a'*10**9", "1<<10**9", "9.0**999"])
def test_arithmetic_without_measure_is_no_value(argument: str) -> None:
    with pytest.raises(NoCallsError):
        read_calls(f"[f(x={argument})]")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 9000,
        "[" * 9000,
        "f(x=" + "-" * 9000 + "1)",
        "f(x=" + "1+" * 9000 + "1)",
        '{"a":' * 4000,
        "a" * 10**6,
        "<function=a>{" * 10**5,
        "<tool_call>" * 10**5,
        "```" * 10**5,
    ],
)
def test_a_text_that_goes_astray_holds_no_calls(text: str) -> None:
    with pytest.raises(NoCallsError):
        read_calls(text)


TEXT, NUMBER, FLOAT, FLAG = ({"type": kind} for kind in ("string", "integer", "float", "boolean"))
TEXTS = {"type": "array", "items": {"type": "string"}}
NUMBERS = {"type": "array", "items": {"type": "integer"}}
OBJECTS = {"type": "array", "items": {"type": "dict"}}


@pytest.mark.parametrize(
    ("value", "schema", "allowed", "expected"),
    [
        ("New York, NY", TEXT, ["new york ny"], True),
        ("New York", TEXT, ["new york ny"], False),
        (3, NUMBER, [3], True),
        (True, NUMBER, [1], False),
        (3, FLOAT, [3.0], True),
        (3.0, NUMBER, [3], False),
        ("true", FLAG, [True], False),
        ("user_id", NUMBER, ["user_id"], True),  # a variable stands for a number
        ("USER_ID", NUMBER, ["user_id"], False),  # and its name is compared exactly
        (["b", "A"], TEXTS, [["a", "b"], ["b", "a"]], True),
        (["a"], TEXTS, [["a", "b"]], False),
        ([3, 5], NUMBERS, [[3, 5]], True),
        ([3.0, 5], NUMBERS, [[3, 5]], False),  # as of one number, although Python calls them equal
        ([True, 5], NUMBERS, [[1, 5]], False),
        ([], TEXTS, [["a"], ""], True),
        ((1, 2), {"type": "tuple", "items": {"type": "integer"}}, [[1, 2]], True),
        ({"a": "X", "b": 1}, {"type": "dict"}, [{"a": ["x"], "b": [1, 2]}], True),
        ({"a": "X"}, {"type": "dict"}, [{"a": ["x"], "b": [1, ""]}], True),
        ({"a": "X"}, {"type": "dict"}, [{"a": ["x"], "b": [1]}], False),
        ({"a": "X", "c": 1}, {"type": "dict"}, [{"a": ["x"]}], False),
        ([{"a": 1}, {"a": 2}], OBJECTS, [[{"a": [1]}, {"a": [2]}]], True),
        ([{"a": 2}, {"a": 1}], OBJECTS, [[{"a": [1]}, {"a": [2]}]], False),
        (None, TEXT, ["", None], True),
    ],
)
def test_a_value_is_allowed_or_not(value: Any, schema: dict[str, Any], allowed: list[Any], expected: bool) -> None:
    assert allows(value, schema, allowed) is expected


def test_calls_are_assigned_to_answers_wherever_that_is_possible() -> None:
    """The first call fits both answers, the second only one of them."""
    function = {"name": "f", "parameters": {"properties": {"x": NUMBER}, "required": ["x"]}}
    answers = [{"f": {"x": [1, 2]}}, {"f": {"x": [1]}}]
    for order in ((1, 2), (2, 1)):
        assert explain_mismatch([function], answers, [Call("f", {"x": x}) for x in order]) == ""
    assert explain_mismatch([function], answers, [Call("f", {"x": 2}), Call("f", {"x": 2})]) == "f: x is 2"


def test_the_functions_stand_in_the_first_user_turn_and_a_system_message_with_them() -> None:
    messages = [{"role": "system", "content": "Today is Monday."}, {"role": "user", "content": "Weather?"}]
    row = {"category": "simple", "messages": messages, "functions": [{"name": "f"}], "answers": []}
    [turn] = bfcl.ask(Example(row)).prompt
    assert turn.role == "user"  # type: ignore[union-attr]
    assert turn.content.endswith("Today is Monday.\n\nWeather?")  # type: ignore[union-attr]
    assert '[{"name": "f"}]' in turn.content  # type: ignore[union-attr]


def test_the_leaderboards_reading_knows_no_words_and_no_json() -> None:
    example = Example(data.read(Path(__file__).parents[1] / "rows" / "bfcl.jsonl")[0]["row"])
    call = "[weather.get(city='Bonn', days=3)]"
    assert [bfcl.score(example, Response(text)).parts["official"] for text in (call, call[1:-1], f"`{call}`")] == [1, 1, 1]
    as_object = '{"name": "weather.get", "arguments": {"city": "Bonn", "days": 3}}'
    for text in (f"Here:\n```\n{call}\n```", as_object):
        verdict = bfcl.score(example, Response(text))
        assert (verdict.value, verdict.parts["official"]) == (1, 0)


def test_a_question_without_an_answer_is_named(tmp_path: Path) -> None:
    folder = write_files(tmp_path) / "bfcl/possible_answer"
    file = folder / "BFCL_v4_multiple.json"
    file.write_text(file.read_text().replace("BFCL_v4_multiple_1", "multiple_1"))
    with pytest.raises(SkilldeltaError, match="multiple has no answer to 'BFCL_v4_multiple_1'"):
        bfcl.rows(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"question": [[', '"question": [[], [', "BFCL row BFCL_v4_multiple_0: 2 turns, where multiple has one"),
        ('"type": "float"', '"type": "decimal"', "'weight' has a type that no rule knows"),
    ],
)
def test_a_row_that_cannot_be_scored_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    file = write_files(tmp_path) / "bfcl/BFCL_v4_multiple.json"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(SkilldeltaError, match=message):
        bfcl.rows(tmp_path)


@pytest.mark.parametrize(
    "response",
    [f"f(x={'1' * 400})", f'{{"name": "f", "arguments": {{"x": {"1" * 400}}}}}', "f(x=1.0, y={[1]: 2})", "f(x={{}: 1})"],
)
def test_a_value_that_python_cannot_hold_is_a_wrong_answer_and_no_failure(response: str) -> None:
    properties = {"x": {"type": "float"}, "y": {"type": "dict"}}
    function = {"name": "f", "parameters": {"type": "dict", "properties": properties, "required": ["x"]}}
    answers = [{"f": {"x": [1.0], "y": ["", {"a": [1]}]}}]
    assert bfcl.score(Example({"functions": [function], "answers": answers}), Response(response)).value == 0


@pytest.mark.data
def test_the_right_calls_are_right_for_the_leaderboard_too(real_data: Path) -> None:
    if not (real_data / "bfcl").is_dir():
        pytest.skip(f"{real_data} has no folder bfcl (bfcl_eval/data of github.com/ShishirPatil/gorilla)")
    rows = bfcl.rows(real_data)
    assert len(rows) == 1000
    for example in map(Example, rows):
        assert bfcl.score(example, bfcl.ideal(example)).parts["official"] == 1
