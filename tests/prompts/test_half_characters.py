"""Half of a character: in a prompt it costs that answer alone, and in a server's reply nothing."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import api
from harness.http_replies import TryError, decode_json
from harness.types import Checkpoint, Message, Request
from tests.backends.test_openai import ask, said, serve
from tests.support import tiny


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "half \ud83d"},
        {"prompt": (Message("user", "half \ude42"),)},
        {"prompt": "a", "prefix": "\udc80"},
        {"prompt": "a", "choices": (" b", " \ud83d")},
        {"prompt": "", "choices": (" b",), "contexts": ("\ud83d",)},
    ],
)
def test_a_prompt_with_half_a_character_is_an_error_of_its_own(fields: Mapping[str, Any], model: Any) -> None:
    sound = Request("The quick", max_tokens=4, raw=True)
    odd = Request(**{"max_tokens": 4, "raw": isinstance(fields["prompt"], str), **fields})
    responses = dict(model.answer([sound, odd]))
    assert (responses[1].finish, "holds half a character, U+D" in responses[1].error) == ("error", True)
    assert responses[0].finish in ("stop", "length")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tiny.llama(tmp_path_factory.mktemp("m") / "m", template=True)
    return api.Backend("transformers", {"device": "cpu", "engine": "plain"}).loader()(
        Checkpoint("m", str(folder), "transformers")
    )


def test_an_answer_that_was_cut_within_a_character_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serve(lambda path, content, headers: (200, said("It is \ud83d", "length"))) as url:
        (response,) = ask(url, [Request("a", max_tokens=4)])
    assert (response.text, response.finish) == ("It is \ufffd", "length")


@given(st.lists(st.sampled_from(["a", "\\", '"', "\n", "\ud83d", "\ude42", "🙂", "u", "d83d"])))
def test_what_is_no_half_stays_as_it_is(pieces: list[str]) -> None:
    text = "".join(pieces)
    reply = json.dumps(text).encode()
    whole = json.loads(reply).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    value = decode_json(reply, is_whole=True)
    assert value.replace("\ufffd", "") == whole.replace("\ufffd", "")
    assert ("\ufffd" in value) == ("\ufffd" in whole)


def test_a_piece_of_a_stream_may_have_its_other_half_in_the_next_one() -> None:
    with pytest.raises(TryError):
        decode_json(b'"\\ud83d"')
