"""JSON over HTTP to a server that may be busy, broken or hostile: bounded in time and size, and asked again where that helps.

An error says what the server answered, and never holds a key, whatever the server echoes.
"""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from harness.http_replies import UNSOUND_TRIES, TryError, error_message, pause_seconds, read_body, read_error
from harness.redaction import Redactor
from harness.server_address import ServerAddress
from harness.types import SkilldeltaError
from harness.visible_text import printable

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession
    from pydantic import BaseModel

AWAY_STATUSES = {408, 409, 425, 429, 502, 503, 504, 529}  # another try may reach it
FINAL_STATUSES = {401, 402, 403, 404, 405, 407, 410, 426, 451}  # no other try and no other prompt would change them
NO_MONEY = "insufficient_quota"  # OpenAI's 429 that no pause ends
MAX_PAUSE = 60.0  # seconds between two tries
MAX_CONNECT = 30.0  # seconds
MAX_WORDS = 300  # characters that are shown of it
ANSWER_SECRET = 8  # characters: shorter keys (EMPTY, x) are words, and stay where an answer holds them

T = TypeVar("T")
A = TypeVar("A")
M = TypeVar("M", bound="BaseModel")


class RequestRefusedError(Exception):
    """The server refuses this one request, and says why."""


class ServerAwayError(SkilldeltaError):
    """The server did not answer in any of several tries."""


class UnsoundReplyError(Exception):
    """No reply that can be read came to this request, in several tries; another request may still be answered."""


@dataclass
class Connection:
    """A session with a server.  Once it `is_ending`, what is being asked is finished, and no try is followed by another."""

    session: ClientSession
    is_ending: bool = False


@dataclass(frozen=True)
class JsonServer:
    """Where to post to.  `timeout` is for a whole try, from the connection to the reply's last byte.  Times in seconds."""

    address: ServerAddress
    timeout: float = 300.0
    retries: int = 6
    backoff: float = 1.0

    @cached_property
    def errors(self) -> Redactor:
        """Takes the key out of the server's errors."""
        return Redactor(self.address.secrets)

    @cached_property
    def answers(self) -> Redactor:
        """Takes the key out of replies."""
        return Redactor(self.address.secrets, ANSWER_SECRET)

    @cached_property
    def proxy(self) -> str | None:
        """The proxy that the environment names for this server."""
        request = urllib.request.Request(self.address.base)  # noqa: S310  parse_address() checks the scheme
        is_direct = urllib.request.proxy_bypass(request.host)
        return None if is_direct else urllib.request.getproxies().get(request.type)

    async def post(self, connection: Connection, path: str, content: Mapping[str, Any], kind: type[M]) -> M:
        """The server's reply as a `kind`.

        The pause before try n + 1 is backoff * 2^n, or what the server asks for if that is longer; at most MAX_PAUSE.
        Raises SkilldeltaError when the server stays away or rejects the address or key, RequestRefusedError when it refuses
        this request, and UnsoundReplyError when nothing sound comes back.
        """
        for attempt in range(self.retries + 1):
            try:
                return await self.post_once(connection.session, path, content, kind)
            except TryError as failure:
                last = min(self.retries + 1, failure.tries or self.retries + 1)
                if attempt + 1 >= last or connection.is_ending:
                    raise self.give_up(path, failure, attempt + 1) from None
                await asyncio.sleep(min(max(self.backoff * 2**attempt, failure.retry_after), MAX_PAUSE))
        raise AssertionError("the loop above returns or raises")

    def give_up(self, path: str, failure: TryError, tries: int) -> Exception:
        """What the last of several failed tries means."""
        count = f"{tries} {'try' if tries == 1 else 'tries'}"
        if not failure.is_away:
            return UnsoundReplyError(f"no sound reply, after {count}: {failure}")
        return ServerAwayError(
            f"{self.address.label}{path} does not answer, after {count}: {failure}.\n"
            "All answers so far are stored: run the same command again once the server is back."
        )

    async def post_once(self, session: ClientSession, path: str, content: Mapping[str, Any], kind: type[M]) -> M:
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
                    proxy=self.proxy,
                ) as response,
            ):
                if response.status // 100 != 2:
                    raise self.status_error(path, response, await read_error(response))
                return self.read_reply(await read_body(response), kind)
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            raise TryError(self.in_words(error), is_away=True) from None
        except TimeoutError:
            reason = f"no whole reply within {self.timeout:g} s (timeout=)"
            raise TryError(reason, tries=UNSOUND_TRIES) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:  # a reply that is cut, or is not HTTP
            raise TryError(self.in_words(error), tries=UNSOUND_TRIES) from None

    def in_words(self, error: Exception) -> str:
        return self.show(f"{type(error).__name__}: {error}")

    def show(self, text: str) -> str:
        """A text of the server's, without keys and control characters."""
        return printable(" ".join(self.errors.redact(text).split()))[:MAX_WORDS]

    def status_error(self, path: str, response: ClientResponse, body: bytes) -> Exception:
        """The exception that an HTTP status stands for."""
        status = response.status
        reason = f"HTTP {status}: {self.show(error_message(body.decode('utf-8', 'replace')))}"
        if status in AWAY_STATUSES and NO_MONEY not in reason:
            return TryError(reason, is_away=True, retry_after=pause_seconds(response.headers.get("Retry-After", "")))
        if status in FINAL_STATUSES or status < 400 or status in AWAY_STATUSES:
            url = self.address.label + path
            return SkilldeltaError(f"{url} answers {reason}.  Check the address (url=), the model's name and the key.")
        return TryError(reason) if status >= 500 else RequestRefusedError(reason)

    def read_reply(self, body: bytes, kind: type[M]) -> M:
        """A reply's JSON as a `kind`.  Raises TryError where it is none."""
        from pydantic import ValidationError
        from pydantic_core import from_json

        try:
            value = self.answers.redact_value(from_json(body))
        except ValueError as error:
            raise TryError(f"a reply that is not JSON ({self.show(str(error))})", tries=UNSOUND_TRIES) from None
        if not isinstance(value, dict):
            raise TryError(f"a reply that is no JSON object but {self.show(json.dumps(value))}", tries=UNSOUND_TRIES)
        if value.get("error"):  # some gateways send errors with status 200
            code = value["error"].get("code") if isinstance(value["error"], dict) else None
            is_away = isinstance(code, int) and code in AWAY_STATUSES
            reason = self.show(error_message(json.dumps(value)))
            raise TryError(reason, is_away=is_away, tries=0 if is_away else UNSOUND_TRIES)
        try:
            return kind.model_validate(value)
        except ValidationError as error:
            fault = error.errors()[0]
            place = f"{'.'.join(map(str, fault['loc']))}: " if fault["loc"] else ""
            detail = f", not {self.show(repr(fault['input']))[:80]}" if fault["type"] != "value_error" else ""
            reason = f"a reply that does not fit: {place}{fault['msg'].removeprefix('Value error, ')}{detail}"
            raise TryError(self.show(reason), tries=UNSOUND_TRIES) from None


def ask_concurrently(
    ask: Callable[[Connection, A], Awaitable[T]], items: Sequence[A], concurrency: int
) -> Iterator[tuple[int, Future[T]]]:
    """(place, finished future) of each item in the order in which they finish, `concurrency` at a time.

    They are asked in a thread with an event loop of its own.  A SkilldeltaError ends the asking: what is being asked then is
    finished, since a server asks money for it, and the error comes last.  When the caller stops, all is broken off.
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
            for _ in places:
                future = endings.get()
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
