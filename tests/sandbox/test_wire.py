"""The wire: values come back as they were, and nothing that is read can do more than fail."""

import collections
import datetime
import decimal
import fractions
import json
import math
import os
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sandbox.inside import wire
from harness.sandbox.inside.candidate_client import REPLACED_EXCEPTIONS, Candidate, CandidateError, CandidateGone
from harness.sandbox.inside.channel import HEADER, Channel

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())) | st.binary()
    | st.complex_numbers() | st.decimals(allow_nan=False) | st.fractions() | st.dates() | st.datetimes() | st.timedeltas()
)  # fmt: skip
HASHABLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner),
    max_leaves=8,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(HASHABLE, inner) | st.sets(HASHABLE),
    max_leaves=20,
)


def through(value: Any) -> Any:
    return wire.decode_value(json.loads(wire.dumps(wire.encode_value(value))))


def same(a: Any, b: Any) -> bool:
    """Equal, of the same types at every level; a NaN is a NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return repr(a) == repr(b) if isinstance(a, complex) else bool(a == b)


@pytest.mark.slow
@given(VALUES)
def test_a_plain_value_comes_back_as_it_was(value: Any) -> None:
    assert same(through(value), value)


@pytest.mark.parametrize(
    "value",
    [
        10**3000, -(10**3000), range(5, 0, -2), collections.deque([1, 2]), bytearray(b"x"), int, dict, type(None),
        decimal.Decimal("NaN"), fractions.Fraction(10**50, 3), datetime.time(1, 2), "\ud800", {(1, 2): {3}}, -0.0,
    ],
)  # fmt: skip
def test_an_unusual_value_comes_back_as_it_was(value: Any) -> None:
    assert type(through(value)) is type(value)
    assert repr(through(value)) == repr(value)


@pytest.mark.parametrize("value", [np.arange(6).reshape(2, 3), np.float32(0.5), np.array(["a"]), np.bool_(True), np.array(3)])
def test_numpy_values_come_back(value: Any) -> None:
    found = through(value)
    assert type(found) is type(value)
    assert found.dtype == value.dtype
    assert np.array_equal(found, value)


class LoudInt(int):
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


class LoudList(list[Any]):
    def __eq__(self, other: object) -> bool:
        return True

    def __iter__(self) -> Any:
        return iter(["lies"])


def test_a_subclass_travels_as_its_base() -> None:
    assert type(through(LoudInt(7))) is int
    assert through(LoudInt(7)) == 7
    assert type(through(LoudList([1]))) is list
    assert through(LoudList([1])) == [1]


def test_what_has_no_plain_value_does_not_travel() -> None:
    for value in (object(), lambda: 0, np.array([object()]), Exception("x")):
        with pytest.raises(wire.UnsendableError):
            wire.encode_value(value)


def test_a_list_that_holds_itself_does_not_travel() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(wire.UnsendableError, match="nested"):
        wire.encode_value(loop)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(), inner)
        | st.fixed_dictionaries({"t": st.sampled_from([*wire.DECODERS, *wire.ITERABLES, "ref", "nonsense"]), "v": inner})
    ),
    max_leaves=15,
)


@given(JSON)
def test_any_json_is_read_as_a_value_or_refused(value: Any) -> None:
    try:
        wire.decode_value(value, lambda n: "a reference")
    except wire.MalformedError:
        return
    except (RecursionError, MemoryError):
        pytest.fail("must be refused as malformed")


class Peer:
    """A candidate that says exactly the given bytes, then hangs up."""

    def __init__(self, said: bytes) -> None:
        self.read, self.write = os.pipe()
        self.sink = os.open("/dev/null", os.O_WRONLY)
        self.thread = threading.Thread(target=self.speak, args=(said,))
        self.thread.start()

    def speak(self, said: bytes) -> None:
        try:
            while said:
                said = said[os.write(self.write, said) :]
        except BrokenPipeError:  # the reader had enough
            pass
        finally:
            os.close(self.write)

    def ask(self) -> Any:
        """Asks once; the reply as the tests would get it."""
        candidate = Candidate(Channel(self.read, self.sink))
        try:
            return candidate.ask("call", "f", [], [])
        finally:
            os.close(self.read)
            os.close(self.sink)
            self.thread.join()


def framed(text: str) -> bytes:
    content = text.encode()
    return HEADER.pack(len(content)) + content


@given(st.binary(max_size=200))
def test_random_bytes_end_the_conversation(said: bytes) -> None:
    with pytest.raises(CandidateGone):
        Peer(said).ask()


@pytest.mark.slow
@given(JSON)
def test_a_reply_of_any_shape_gives_a_value_an_exception_or_the_end(said: Any) -> None:
    try:
        Peer(framed(json.dumps(said))).ask()
    except CandidateGone:
        return
    except Exception:  # noqa: BLE001  what the candidate raised, by name
        assert said[:3] in ([1, 0, "raise"], [1, 0, "unsendable"])
    else:
        assert said[:3] == [1, 0, "value"]


@pytest.mark.parametrize(
    "said",
    [
        [2, 0, "value", 1], [0, 0, "value", 1], [1, 1, "value", 1], [True, 0, "value", 1], [1, 0, "value"],
        [1, 0, "value", 1, 2], None,
        [1, 0, "raise", "ValueError"], [1, 0, "raise", 1, 2], [1, 0, "pass", True], ["1", 0, "value", 1], {}, [],
    ],
)  # fmt: skip
def test_a_reply_out_of_turn_or_shape_ends_the_conversation(said: Any) -> None:
    with pytest.raises(CandidateGone):
        Peer(framed(json.dumps(said))).ask()


def test_a_truncated_message_ends_the_conversation() -> None:
    with pytest.raises(CandidateGone, match="no reply"):
        Peer(framed('[1,0,"value",3]')[:-1]).ask()


def test_an_oversized_message_ends_the_conversation() -> None:
    with pytest.raises(CandidateGone, match="message of"):
        Peer(HEADER.pack(wire.MAX_MESSAGE_BYTES + 1) + b"x").ask()


def test_a_deeply_nested_message_ends_the_conversation() -> None:
    with pytest.raises(CandidateGone):
        Peer(framed("[" * 200_000)).ask()


def test_a_right_reply_is_the_value() -> None:
    assert Peer(framed('[1,0,"value",{"t":"tuple","v":[1]}]')).ask() == (1,)


@pytest.mark.parametrize("name", REPLACED_EXCEPTIONS)
def test_what_would_end_a_test_in_peace_never_comes_as_itself(name: str) -> None:
    with pytest.raises(CandidateError):
        Peer(framed(json.dumps([1, 0, "raise", name, "x"]))).ask()


def test_an_exception_comes_as_its_builtin_class() -> None:
    with pytest.raises(KeyError):
        Peer(framed(json.dumps([1, 0, "raise", "KeyError", "x"]))).ask()


def test_once_gone_always_gone() -> None:
    candidate = Candidate(Channel(os.open("/dev/null", os.O_RDONLY), os.open("/dev/null", os.O_WRONLY)))
    for _ in range(2):
        with pytest.raises(CandidateGone):
            candidate.ask("call", "f", [], [])
    os.close(candidate.channel.reading)
    os.close(candidate.channel.writing)
