"""A name that a server does not list is no error, and no secret either: it may answer with another model."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import api
from harness.http import JsonServer
from harness.server_address import parse_address
from harness.server_names import explain_unlisted
from tests.backends.test_openai import said
from tests.backends.test_server_runs import TEXTS
from tests.support.local_server import LocalHandler, serve_locally

TWO = {"object": "list", "data": [{"id": "base", "object": "model"}, {"id": "tuned"}]}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)


@contextmanager
def serve(models: bytes, status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """(address, paths and keys of what was looked up) of a server that answers every name."""
    lookups: list[str] = []

    class Handler(LocalHandler):
        def get(self) -> None:
            lookups.append(f"{self.path} {self.headers.get('Authorization')}")
            self.reply(status, models)

        def post(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.reply(200, json.dumps(said("right")).encode())

    with serve_locally(Handler) as url:
        yield url, lookups


def test_a_cell_of_an_unlisted_name_has_a_note_and_one_of_a_listed_name_none() -> None:
    with serve(json.dumps(TWO).encode()) as (url, lookups):
        tasks = [TEXTS]
        outcomes = api.score(["tuned", "tunde"], tasks, "results", backend=api.Backend("openai", {"url": url}))
    assert [(o.checkpoint, o.state) for o in outcomes] == [("tuned", "done"), ("tunde", "done")]
    assert outcomes[0].why == ""
    assert "answers to 'tunde', but lists base, tuned:" in outcomes[1].why
    assert len(lookups) == 2


@pytest.mark.parametrize(
    ("models", "status"),
    [(b"", 501), (b"[]", 200), (b"<html>", 200), (b'{"data": [{"id": 5}]}', 200), (b'{"error": "x"}', 200), (b"{}", 301),
     (b'{"data": []}', 200), (b"[" * 100_000, 200)],
)  # fmt: skip
def test_a_server_without_a_list_that_can_be_read_gives_no_note(models: bytes, status: int) -> None:
    with serve(models, status) as (url, _):
        assert explain_unlisted(JsonServer(parse_address(url)), "m") == ""


def test_nor_does_one_that_is_gone() -> None:
    with serve(b"") as (url, _):
        pass
    assert explain_unlisted(JsonServer(parse_address(url)), "m") == ""


def test_the_key_is_sent_and_shown_nowhere_and_long_lists_are_cut() -> None:
    names = ["key-7153-secret", "a\x1b[2Jb", *(f"m{n}" for n in range(20))]
    with serve(json.dumps({"data": [{"id": name} for name in names]}).encode()) as (url, lookups):
        note = explain_unlisted(JsonServer(parse_address(url, "key-7153-secret")), "m")
    assert lookups == ["/v1/models Bearer key-7153-secret"]
    assert "7153" not in note
    assert "\x1b" not in note
    assert "m5 and 14 more" in note
