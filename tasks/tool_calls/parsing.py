"""Reads function calls from a response: Python's syntax, or JSON in the forms that models are trained to write."""

from __future__ import annotations

import ast
import json
import operator
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.tool_calls.call_blocks import find_call_blocks

MAX_CHARACTERS = 20_000  # of a text that is parsed: calls are short, and Python's parser is recursive
SEARCHED_CHARACTERS = 50_000  # characters at its end in which calls are looked for
MAX_DIGITS = 300  # of a number that arithmetic may give
# Hermes and Qwen, Nemotron, Granite, OLMo 3 (<function_calls>), Phi-4 (<|tool_call|>).
TAGGED = re.compile(r"<(\|?)(tool_calls?|TOOLCALL|function_calls?)\|?>(.*?)(?:<\1/\2\|?>|<\|/\2\|>|\Z)", re.DOTALL)
FUNCTION_TAG = re.compile(r"<function=([^<>\s]+)>\s*(\{.*?\})\s*</function>", re.DOTALL)  # as Llama's prompt has it
MARK = re.compile(r"^\s*(?:\[TOOL_CALLS\]|<\|python_tag\|>)")
NAMES = ("name", "function", "tool")
ARGUMENTS = ("arguments", "parameters", "args", "input")
ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow,
}  # fmt: skip


class NoCallsError(Exception):
    """The text is no list of calls, with the reason."""


@dataclass(frozen=True)
class Call:
    """A function's name and its arguments by name."""

    name: str
    arguments: Mapping[str, Any]


def read_calls(response: str) -> list[Call]:
    """The calls that a response states, wherever they stand: alone, in fences, in tags.  NoCallsError where it states none."""
    reasons = []
    text = response[-SEARCHED_CHARACTERS:]
    for candidate in candidate_texts(text):
        try:
            return parse_calls(candidate)
        except NoCallsError as error:
            reasons.append(str(error))
    if blocks := find_call_blocks(text, holds_calls):
        return [call for block in blocks for call in parse_calls(block)]
    raise NoCallsError(reasons[0] if reasons else "it is empty")


def candidate_texts(response: str) -> Iterator[str]:
    """What may be calls and nothing else: the content of tags, that of tags with their names, the whole response."""
    if tagged := [match[3] for match in TAGGED.finditer(response)]:
        yield "\n".join(tagged)
    if "</function>" in response and (named := FUNCTION_TAG.findall(response)):
        yield "\n".join(f'{{"name": {json.dumps(name)}, "arguments": {arguments}}}' for name, arguments in named)
    yield MARK.sub("", response).strip().strip("`").strip()


def holds_calls(text: str) -> bool:
    """Is the text calls and nothing else?"""
    try:
        return bool(parse_calls(text))
    except NoCallsError:
        return False


def parse_calls(text: str) -> list[Call]:
    """The calls of a text that holds nothing else."""
    if len(text) > MAX_CHARACTERS:
        raise NoCallsError(f"it is longer than {MAX_CHARACTERS} characters")
    stripped = re.sub(r"^(?:python|json|tool_code)\s*\n", "", text.strip())
    if not stripped:
        raise NoCallsError("it is empty")
    try:
        return [call_of_json(value) for value in json_values(stripped)]
    except (ValueError, RecursionError):
        return parse_python_calls(stripped, call_or_object)


# JSON


def json_values(text: str) -> list[Any]:
    """A list, one object, or one object after another.  ValueError where the text is anything else."""
    decoder, values, place = json.JSONDecoder(), [], 0
    while place < len(text):
        value, end = decoder.raw_decode(text, place)
        values += value if isinstance(value, list) else [value]
        place = end + len(text[end:]) - len(text[end:].lstrip(" \t\r\n,;"))
    return values


def call_of_json(value: Any) -> Call:
    """{name, arguments} under any of the usual keys; arguments may be JSON in a text.  NoCallsError for anything else."""
    if isinstance(value, dict) and isinstance(value.get("function"), dict):  # OpenAI's {"type": "function", "function": {...}}
        value = value["function"]
    name = first_value(value, NAMES)
    arguments = first_value(value, ARGUMENTS)
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError) as error:
            raise NoCallsError("the arguments of a call are no JSON") from error
    if isinstance(value, dict) and len(value) == 1 and not name:  # {"function": {"parameter": ...}}
        [(name, arguments)] = value.items()
    if not isinstance(name, str) or not isinstance(arguments if arguments is not None else {}, dict):
        raise NoCallsError("its JSON is no call")
    return Call(name, arguments or {})


def first_value(value: Any, keys: Sequence[str]) -> Any:
    return next((value[key] for key in keys if key in value), None) if isinstance(value, dict) else None


# Python's syntax


def parse_python_calls(text: str, read_node: Callable[[ast.expr], Call] | None = None) -> list[Call]:
    """A list or tuple of calls, or calls one after another; `read_node` may know other forms of a call."""
    read_node = read_node or call_of_node
    last_error: Exception = NoCallsError("it is empty")
    inner = text.strip("[]")  # a bracket of the list is often forgotten
    for form in (text, f"[{text}]", *([f"[{inner}]"] if inner else [])):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of invalid escapes in what a model wrote
                body = ast.parse(form).body
            return [read_node(node) for statement in body for node in nodes_of(statement)]
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
            last_error = error
    raise NoCallsError(f"it is no call in Python's syntax ({type(last_error).__name__})") from last_error


def nodes_of(statement: ast.stmt) -> list[ast.expr]:
    if not isinstance(statement, ast.Expr):
        raise NoCallsError("it holds statements that are no calls")
    return statement.value.elts if isinstance(statement.value, ast.List | ast.Tuple) else [statement.value]


def call_or_object(node: ast.expr) -> Call:
    """The same, also where JSON's form of a call has Python's quotes."""
    return call_of_json(value_of(node)) if isinstance(node, ast.Dict) else call_of_node(node)


def call_of_node(node: ast.expr) -> Call:
    if not isinstance(node, ast.Call):
        raise NoCallsError("it holds an expression that is no call")
    if node.args:
        raise NoCallsError("a call has arguments without names")
    return Call(dotted_name(node.func), {str(keyword.arg): value_of(keyword.value) for keyword in node.keywords})


def dotted_name(node: ast.expr) -> str:
    """a.b.c; NoCallsError where a function is no name."""
    if isinstance(node, ast.Attribute):
        return f"{dotted_name(node.value)}.{node.attr}"
    if isinstance(node, ast.Name):
        return node.id
    raise NoCallsError("what is called is no name")


def value_of(node: ast.expr) -> Any:
    """The value of an argument.  As in the official scorer, a variable is its name, and a nested call its text."""
    match node:
        case ast.Constant(value=value):
            return "..." if value is ... else value
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant(value=int() | float() as number)):
            return -number if isinstance(sign, ast.USub) else number
        case ast.List(elts=items):
            return [value_of(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(value_of(item) for item in items)
        case ast.Dict(keys=keys, values=values) if all(keys):
            return {hash_key(key): value_of(value) for key, value in zip(keys, values, strict=True) if key is not None}
        case ast.BinOp(left=left, op=sign, right=right):
            return calculate(sign, value_of(left), value_of(right))
        case ast.Name(id=name):
            return name
        case ast.Call(keywords=[]) | ast.Subscript():
            return ast.unparse(node)
        case ast.Call():
            call = call_of_node(node)
            return {call.name: dict(call.arguments)}
    raise NoCallsError(f"an argument is no value ({type(node).__name__})")


def hash_key(node: ast.expr) -> Any:
    """The value of a dictionary's key; NoCallsError for one that Python refuses as a key."""
    value = value_of(node)
    try:
        hash(value)
    except TypeError as error:
        raise NoCallsError(f"an argument is no value ({error})") from error
    return value


def calculate(sign: ast.operator, left: Any, right: Any) -> Any:
    """Arithmetic of two numbers, or two texts put together; NoCallsError for anything else, or a number beyond all measure."""
    if isinstance(left, str) and isinstance(right, str) and isinstance(sign, ast.Add):
        return left + right
    if not (isinstance(left, int | float) and isinstance(right, int | float)) or type(sign) not in ARITHMETIC:
        raise NoCallsError("an argument is no arithmetic of numbers")
    if isinstance(sign, ast.Pow) and abs(right) * len(str(abs(int(left)))) > MAX_DIGITS:
        raise NoCallsError("an argument is a number of too many digits")
    try:
        return ARITHMETIC[type(sign)](left, right)
    except ArithmeticError as error:
        raise NoCallsError(f"an argument cannot be calculated: {error}") from error
