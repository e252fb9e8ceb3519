"""Requests that are asked side by side: what has begun is finished when another fails, since a server asks money for it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import BaseModel

from harness import http
from harness.server_address import parse_address
from harness.types import SkilldeltaError
from tests.backends.test_openai import serve

MANY = 100  # turns of the event loop, in which a request that is broken off would have ended


def results_of(ask: Callable[[http.Connection, int], Awaitable[int]], count: int, concurrency: int) -> list[tuple[int, object]]:
    asked = http.ask_concurrently(ask, range(count), concurrency)
    return [(place, future.exception() or future.result()) for place, future in asked]


def test_what_has_begun_is_finished_and_nothing_new_begins() -> None:
    begun: list[int] = []
    has_failed = asyncio.Event()

    async def ask(connection: http.Connection, item: int) -> int:
        begun.append(item)
        if item == 2:
            has_failed.set()
            raise SkilldeltaError("the server is away")
        if item == 1:
            await has_failed.wait()
            for _ in range(MANY):
                await asyncio.sleep(0)
        return 10 * item

    results = results_of(ask, 6, 2)
    assert results[:2] == [(0, 0), (1, 10)]
    assert [(place, str(result)) for place, result in results[2:]] == [(2, "the server is away")]
    assert begun == [0, 1, 2]


class Reply(BaseModel):
    value: int


def test_nothing_is_tried_again_once_the_asking_ends() -> None:
    tries: list[str] = []

    def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
        tries.append(path)
        return 503, {}

    async def post(url: str, is_ending: bool) -> None:
        server = http.JsonServer(parse_address(url, ""), retries=3, backoff=0.0)
        async with http.open_session(1) as session:
            await server.post(http.Connection(session, is_ending), "/x", {}, Reply)

    with serve(answer) as url:
        for is_ending, count in ((False, 4), (True, 1)):
            tries.clear()
            with pytest.raises(http.ServerAwayError, match=f"after {count} tr"):
                asyncio.run(post(url, is_ending))
            assert len(tries) == count
