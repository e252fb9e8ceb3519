"""JSON over HTTP to a server that may be busy, broken or hostile: bounded in time and size, and asked again where that helps.

An error says what the server answered, and never holds a key, whatever the server echoes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from harness.http_errors import RequestRefusedError as RequestRefusedError
from harness.http_errors import ServerAwayError as ServerAwayError
from harness.http_errors import UnsoundReplyError as UnsoundReplyError
from harness.http_replies import (
    AWAY_STATUSES,
    UNSOUND_TRIES,
    TryError,
    check_reply,
    decode_json,
    error_message,
    is_final_error,
    pause_seconds,
    read_body,
    read_error,
)
from harness.http_streams import is_stream, read_stream, without_stream
from harness.redaction import Redactor
from harness.server_address import Proxy, ServerAddress, find_proxy
from harness.types import SkilldeltaError
from harness.visible_text import printable

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession
    from pydantic import BaseModel

FINAL_STATUSES = {401, 402, 403, 404, 405, 407, 410, 426, 451}  # no other try and no other prompt would change them
NO_MONEY = "insufficient_quota"  # OpenAI's 429 that no pause ends
FAULT_TRIES = 3  # of a request that breaks something in the server: often it always does
MAX_PAUSE = 60.0  # seconds between two tries
MAX_CONNECT = 30.0  # seconds
TICK_S = 1.0
MAX_WORDS = 300  # characters that are shown of it
ANSWER_SECRET = 8  # characters: shorter keys (EMPTY, x) are words, and stay where an answer holds them

T = TypeVar("T")
A = TypeVar("A")
Count = Callable[[], None]
M = TypeVar("M", bound="BaseModel")


@dataclass
class Connection:
    """A session with a server.  Once it `is_ending`, what is being asked is finished, and no try is followed by another.

    `streams`: whether every reply that came in pieces could be read.
    """

    session: ClientSession
    is_ending: bool = False
    streams: bool = True


@dataclass(frozen=True)
class JsonServer:
    """Where to post to.  `timeout` is for a whole try, from the connection to the reply's last byte.  Times in seconds."""

    address: ServerAddress
    timeout: float = 300.0
    retries: int = 6
    backoff: float = 1.0

    @cached_property
    def errors(self) -> Redactor:
        """Takes the key, and the proxy's password, out of the server's errors."""
        return Redactor(self.secrets)

    @cached_property
    def answers(self) -> Redactor:
        """Takes the key out of replies."""
        return Redactor(self.secrets, ANSWER_SECRET)

    @cached_property
    def proxy(self) -> Proxy:
        return find_proxy(self.address.base)

    @property
    def secrets(self) -> tuple[str, ...]:
        return self.address.secrets + self.proxy.secrets

    async def post(
        self, connection: Connection, path: str, content: Mapping[str, Any], kind: type[M], count: Count | None = None
    ) -> M:
        """The server's reply as a `kind`.  With STREAM_FIELDS its first try comes in pieces, and `count` is called for each.

        The pause before try n + 1 is backoff * 2^n, or what the server asks for if that is longer; at most MAX_PAUSE.
        Raises SkilldeltaError when the server stays away or rejects the address or key, RequestRefusedError when it refuses
        this request, and UnsoundReplyError when nothing sound comes back.
        """
        for attempt in range(self.retries + 1):
            try:
                return await self.post_once(connection.session, path, content, kind, count)
            except TryError as failure:
                connection.streams &= failure.is_away or "stream" not in content
                content = without_stream(content)
                last = min(self.retries + 1, failure.tries or self.retries + 1)
                if attempt + 1 >= last or connection.is_ending:
                    raise self.give_up(path, failure, attempt + 1) from None
                await asyncio.sleep(min(max(self.backoff * 2**attempt, failure.retry_after), MAX_PAUSE))
        raise AssertionError("the loop above returns or raises")

    def give_up(self, path: str, failure: TryError, tries: int) -> Exception:
        """What the last of several failed tries means."""
        url, reason = self.address.label + path, str(failure).rstrip(".")
        if failure.is_final:
            return SkilldeltaError(f"{url} answers {reason}.  Check the address (url=), the model's name and the key.")
        count = f"{tries} {'try' if tries == 1 else 'tries'}"
        if not failure.is_away:
            return UnsoundReplyError(f"no sound reply, after {count}: {failure}")
        return ServerAwayError(
            f"{url} does not answer, after {count}: {failure}.\n"
            "All answers so far are stored: run the same command again once the server is back."
        )

    async def post_once(
        self, session: ClientSession, path: str, content: Mapping[str, Any], kind: type[M], count: Count | None
    ) -> M:
        """One try.  Raises TryError, and what post() raises."""
        import aiohttp

        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self.address.authorization:
            headers["Authorization"] = self.address.authorization
        try:
            async with (
                asyncio.timeout(self.timeout),
                session.post(
                    self.address.url(path),
                    data=json.dumps(content).encode(),
                    headers=headers,
                    allow_redirects=False,  # the key is for the named server alone
                    proxy=self.proxy.url,
                ) as response,
            ):
                if response.status // 100 != 2:
                    raise self.status_error(response, await read_error(response))
                if "stream" in content and is_stream(response):
                    reply: object = await read_stream(response, count)
                else:
                    reply = decode_json(await read_body(response), is_whole=True)
                return check_reply(self.answers.redact_value(reply), kind, self.show)
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            raise TryError(self.in_words(error), is_away=True) from None
        except TimeoutError:
            raise TryError(f"no whole reply within {self.timeout:g} s (timeout=)", tries=UNSOUND_TRIES) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:  # a reply that is cut, or is not HTTP
            raise TryError(self.in_words(error), tries=UNSOUND_TRIES) from None

    def in_words(self, error: Exception) -> str:
        return self.show(f"{type(error).__name__}: {error}")

    def show(self, text: str) -> str:
        """A text of the server's, without keys and control characters."""
        return printable(" ".join(self.errors.redact(text).split()))[:MAX_WORDS]

    def status_error(self, response: ClientResponse, body: bytes) -> Exception:
        """The exception that an HTTP status stands for."""
        status, text = response.status, body.decode("utf-8", "replace")
        reason = f"HTTP {status}: {self.show(error_message(text))}"
        if status in AWAY_STATUSES and NO_MONEY not in reason:
            return TryError(reason, is_away=True, retry_after=pause_seconds(response.headers.get("Retry-After", "")))
        if status in FINAL_STATUSES or status < 400 or status in AWAY_STATUSES or is_final_error(text):
            return TryError(reason, is_final=True)
        return TryError(reason, tries=FAULT_TRIES) if status >= 500 else RequestRefusedError(reason)


def ask_concurrently(
    ask: Callable[[Connection, A], Awaitable[T]], items: Sequence[A], concurrency: int, tick: Callable[[], None] = lambda: None
) -> Iterator[tuple[int, Future[T]]]:
    """(place, finished future) of each item in the order in which they finish, `concurrency` at a time.

    They are asked in a thread with an event loop of its own.  A SkilldeltaError ends the asking: what is being asked then is
    finished, since a server asks money for it, and the error comes last.  When the caller stops, all is broken off.  `tick` is
    called in the caller's thread, every second in which nothing finishes.
    """
    from anyio.from_thread import start_blocking_portal

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(open_session(concurrency)) as session:
        slots, connection = asyncio.Semaphore(concurrency), Connection(session)

        async def ask_in_turn(item: A) -> T:
            async with slots:
                if connection.is_ending:
                    raise asyncio.CancelledError
                try:
                    return await ask(connection, item)
                except SkilldeltaError:
                    connection.is_ending = True
                    raise

        places = {portal.start_task_soon(ask_in_turn, item): place for place, item in enumerate(items)}
        endings: SimpleQueue[Future[T]] = SimpleQueue()
        last: Future[T] | None = None
        try:
            for future in places:
                future.add_done_callback(endings.put)
            for future in finished_futures(endings, len(places), tick):
                if future.cancelled():
                    continue
                if isinstance(future.exception(), SkilldeltaError):
                    last = last or future
                    continue
                yield places[future], future
            if last:
                yield places[last], last
        finally:
            for future in places:
                future.cancel()


def finished_futures(endings: SimpleQueue[Future[T]], count: int, tick: Callable[[], None]) -> Iterator[Future[T]]:
    """The next `count` of a queue; `tick` is called every second without any."""
    while count:
        try:
            future = endings.get(timeout=TICK_S)
        except Empty:
            tick()
            continue
        count -= 1
        yield future


@asynccontextmanager
async def open_session(concurrency: int) -> AsyncIterator[ClientSession]:
    """A session that keeps no cookies, decompresses nothing, and reads no passwords from files."""
    import aiohttp

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=concurrency),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=MAX_CONNECT),
        auto_decompress=False,
    ) as session:
        yield session
