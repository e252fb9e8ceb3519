"""JSON lines: exact bytes, and what a killed writer leaves behind."""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.atomic_files import encode_json
from harness.json_lines import InvalidLineError, complete_lines, encode, encode_lines, open_writer, read_lines

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=8,
)


@pytest.mark.slow
@given(st.lists(JSON_VALUES))
def test_what_is_written_is_read(values: list[object]) -> None:
    assert list(read_lines(io.BytesIO(encode_lines(values)))) == list(enumerate(values, 1))


def test_keys_keep_their_order_and_letters_are_not_escaped() -> None:
    assert encode({"b": "é", "a": [1, 2.5, None, True]}) == '{"b": "é", "a": [1, 2.5, null, true]}'.encode()
    assert encode_lines([1, "x"]) == b'1\n"x"\n'
    assert encode_lines([]) == b""


def test_a_lone_surrogate_is_escaped_and_comes_back() -> None:
    assert encode("a\ud800é") == '"a\\ud800é"'.encode()
    assert list(read_lines([encode("a\ud800é") + b"\n"])) == [(1, "a\ud800é")]


@pytest.mark.parametrize("content", [encode, encode_json])
def test_what_a_terminal_obeys_is_escaped_and_comes_back(content: Callable[[object], bytes]) -> None:
    value = {f"\\{sign}": sign for sign in "\x1b\x7f\x85\x9b\u061c\u2028\u202e\u2066\U000e0041"}
    assert not set(content(value).decode()) & set(value.values())
    assert json.loads(content(value)) == value


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_have_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode({"x": number})


def test_a_torn_last_line_is_passed_over() -> None:
    assert list(read_lines(complete_lines(io.BytesIO(b'{"a": 1}\n{"a": 2}')))) == [(1, {"a": 1})]


def test_a_damaged_line_is_named_by_its_number() -> None:
    with pytest.raises(InvalidLineError) as raised:
        list(read_lines(io.BytesIO(b"1\n{\n3\n")))
    assert raised.value.lineno == 2
    with pytest.raises(InvalidLineError, match="not valid utf-8"):
        list(read_lines([b"\xff\n"]))


def test_lines_of_other_programs_keep_their_numbers_and_need_no_last_newline() -> None:
    assert list(read_lines([b"\xef\xbb\xbf1\r\n", b" \n", b"null\n", b'"x"'])) == [(1, 1), (3, None), (4, "x")]


@pytest.mark.parametrize("line", [b"[" * 200_000, b'{"a":[' * 300 + b"]}" * 300], ids=["torn", "whole"])
def test_a_line_nested_too_deeply_is_invalid(line: bytes) -> None:
    with pytest.raises(InvalidLineError, match="nested too deeply"):
        list(read_lines([line]))


def test_a_flushed_line_is_on_the_disk_before_the_file_is_closed(tmp_path: Path) -> None:
    with (tmp_path / "x.jsonl").open("wb") as stream:
        open_writer(stream, flush=True).write({"a": 1})
        assert json.loads((tmp_path / "x.jsonl").read_bytes()) == {"a": 1}
