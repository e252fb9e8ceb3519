"""Replies of a judge are kept as they come: nothing that was answered is asked twice, whatever ends the asking."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from harness import row_bounds
from harness.grading import reply_cache
from harness.grading.reply_cache import CachedModel, ReplyCache, replies_folder
from harness.types import Json, Model, Request, Response, SkilldeltaError
from tests.support import toys

REQUESTS = [Request(f"number {n}", max_tokens=2) for n in range(6)]


class Failing:
    """Answers so many requests, counts them, and then fails; each answer is the request's own number."""

    block = 8
    settings: Json = {}

    def __init__(self, sound: int = 100) -> None:
        self.sound, self.prompts = sound, list[str]()

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        for place, request in enumerate(requests):
            if len(self.prompts) == self.sound:
                raise SkilldeltaError("The server is away.")
            self.prompts.append(str(request.prompt))
            yield place, Response(str(request.prompt)[-1], tokens_in=3, tokens_out=1, logprobs=(-0.5,), greedy=(True,))


def asked(model: Model, folder: Path | None, requests: Sequence[Request] = REQUESTS) -> CachedModel:
    cached = CachedModel(lambda: model, ReplyCache.of({"model": "m"}, folder))
    cached.responses = dict(cached.answer(requests))  # type: ignore[attr-defined]
    return cached


def test_what_was_answered_before_a_failure_is_not_asked_again(tmp_path: Path) -> None:
    broken, sound = Failing(4), Failing()
    with pytest.raises(SkilldeltaError, match="away"):
        asked(broken, tmp_path)
    cached = asked(sound, tmp_path)
    assert (broken.prompts, sound.prompts) == ([f"number {n}" for n in range(4)], ["number 4", "number 5"])
    assert [cached.responses[n].text for n in range(6)] == list("012345")  # type: ignore[attr-defined]
    assert vars(cached.usage) == {"requests": 2, "hits": 4, "failures": 0, "tokens_in": 6, "tokens_out": 2}
    untouched = Failing()
    again = asked(untouched, tmp_path)
    assert not untouched.prompts
    assert again.responses == cached.responses  # type: ignore[attr-defined]


def test_equal_requests_are_asked_once_and_another_draw_is_another_request(tmp_path: Path) -> None:
    model = Failing()
    cached = asked(model, tmp_path, [REQUESTS[0], REQUESTS[1], REQUESTS[0], Request("number 0", max_tokens=2, draw=1)])
    assert model.prompts == ["number 0", "number 1", "number 0"]
    assert len(cached.responses) == 4  # type: ignore[attr-defined]


def test_a_failure_is_no_reply(tmp_path: Path) -> None:
    asked(toys.model(lambda _: Response(finish="error", error="HTTP 400")), tmp_path)
    model = Failing()
    asked(model, tmp_path)
    assert len(model.prompts) == 6


@pytest.mark.parametrize(
    "damage", [b'{"request": "a", "resp', b"no json\n", b"[1]\n", b'{"request": 1, "response": {}}\n', b"\xff\n"]
)
def test_damaged_lines_are_asked_again_and_spoil_no_other(damage: bytes, tmp_path: Path) -> None:
    first = asked(Failing(), tmp_path, REQUESTS[:2])
    assert first.cache.file
    with first.cache.file.open("ab") as stream:
        stream.write(damage)
    second = Failing()
    asked(second, tmp_path, REQUESTS[:4])
    assert second.prompts == ["number 2", "number 3"]
    third = Failing()
    asked(third, tmp_path)
    assert third.prompts == ["number 4", "number 5"]


def test_another_model_has_other_replies(tmp_path: Path) -> None:
    asked(Failing(), tmp_path)
    other = Failing()
    dict(CachedModel(lambda: other, ReplyCache.of({"model": "n"}, tmp_path)).answer(REQUESTS))
    assert len(other.prompts) == 6


def test_replies_can_be_kept_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKILLDELTA_JUDGE_CACHE", "none")
    assert replies_folder() is None
    model = Failing()
    asked(model, replies_folder())
    asked(model, replies_folder())
    assert len(model.prompts) == 12


def test_a_folder_that_cannot_be_written_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SkilldeltaError, match="SKILLDELTA_JUDGE_CACHE=none"):
        asked(Failing(), tmp_path / "file")


def damage_replies(place: str, file: Path) -> str:
    """Puts something else in a file's place; what is said of it."""
    file.parent.mkdir(exist_ok=True)
    if place == "a pipe":
        os.mkfifo(file)
    elif place == "a device":
        file.symlink_to("/dev/zero")
    elif place == "a line without end":
        file.write_bytes(b"x" * 101)
    else:
        file.write_bytes(b"{}\n" * 100)
    return {"a line without end": "a line is longer", "too many": "300 bytes, more than the 299"}.get(place, "not a file")


@pytest.mark.parametrize("place", ["a pipe", "a device", "a line without end", "too many"])
def test_replies_that_are_no_file_or_have_no_end_are_refused(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply_cache, "MAX_BYTES", 299)
    monkeypatch.setattr(row_bounds, "MAX_LINE", 100)
    file = ReplyCache.of({"model": "m"}, tmp_path / "replies").file
    assert file is not None
    words = damage_replies(place, file)
    with pytest.raises(SkilldeltaError, match=rf"replies cannot be read: .*{words}[^\n]*\nName another folder with"):
        asked(Failing(), tmp_path / "replies")
