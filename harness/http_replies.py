"""What a server sends back, read within bounds: bodies, the words of its errors, and how long it asks to wait."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import AsyncIterator, Callable
from email.utils import parsedate_to_datetime
from time import time
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from aiohttp import ClientResponse
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")

AWAY_STATUSES = {408, 409, 425, 429, 502, 503, 504, 529}  # another try may reach the server
MAX_REPLY = 1 << 25  # bytes of a reply, after decompression
MAX_ERROR = 1 << 16  # bytes that are read of an error's text
HALF_CHARACTER = re.compile(  # one half of a pair of escapes, behind an even number of backslashes
    rb"(?<!\\)((?:\\\\)*)(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)
# That the key or the model is wrong, whatever the status: gateways also say it with 400, 500 and 200.  Only an error's code and
# the beginning of its message count, since some servers quote the prompt behind it.
FINAL_CODES = {"invalid_api_key", "model_not_found", "deployment_not_found", "deploymentnotfound"}
FINAL_WORDS = re.compile(
    r"incorrect api key|invalid api key|api key not valid|api_key_invalid|invalid_api_key|model_not_found|model not exist"
    r"|model\b.{0,120}?\b(?:does not exist|doesn't exist|not found)|is not a valid model id|invalid model name",
    re.IGNORECASE,
)
FINAL_LENGTH = 200  # characters
UNSOUND_TRIES = 2  # of a request that is answered by something unreadable, or by nothing in time: each may be charged


class TryError(Exception):
    """No answer this time.  `is_away`: the server, not the request, is the cause; `tries`: how many make sense, 0 for all.

    `is_final`: no other try and no other request would be answered.  `retry_after`: seconds that the server asks to wait for,
    0 where it does not say.
    """

    def __init__(
        self, reason: str, *, is_away: bool = False, is_final: bool = False, tries: int = 0, retry_after: float = 0.0
    ) -> None:
        super().__init__(reason)
        self.is_away, self.is_final, self.retry_after = is_away, is_final, retry_after
        self.tries = 1 if is_final else tries


async def read_body(response: ClientResponse) -> bytes:
    """A reply's bytes.  Raises what read_parts() does."""
    return b"".join([part async for part in read_parts(response, MAX_REPLY)])


async def read_parts(response: ClientResponse, most: int) -> AsyncIterator[bytes]:
    """A reply's bytes as they come.  Raises TryError from `most` bytes on, and ValueError for what cannot be decompressed."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "deflate"):
        raise ValueError(f"a reply in the encoding {encoding!r}, which nobody asked for")
    inflate = zlib.decompressobj(wbits=47) if encoding in ("gzip", "deflate") else None  # 47: whichever of the two headers
    size = 0
    async for chunk in response.content.iter_any():
        try:
            part = inflate.decompress(chunk, most) if inflate else chunk
        except zlib.error as error:
            raise ValueError(f"a reply that is no {encoding}: {error}") from None
        size += len(part)
        if size >= most or (inflate and inflate.unconsumed_tail):
            raise TryError(f"a reply of more than {most >> 20} MB", tries=1)
        yield part
    if inflate and not inflate.eof:
        raise ValueError(f"a reply whose {encoding} is cut")


def decode_json(text: bytes, is_whole: bool = False) -> Any:
    """A JSON value.  Raises TryError where it is none.

    `is_whole`: no other piece may hold the other half of a character; then one that was cut, as at the limit of tokens by a
    server that counts in UTF-16, stands as U+FFFD.
    """
    from pydantic_core import from_json

    try:
        return from_json(text)
    except ValueError as error:  # says where, and quotes nothing
        whole = HALF_CHARACTER.sub(rb"\1\\ufffd", text) if is_whole else text
        if whole != text:
            return decode_json(whole)
        raise TryError(f"a reply that is not JSON ({error})", tries=UNSOUND_TRIES) from None


async def read_error(response: ClientResponse) -> bytes:
    """The beginning of an error's text; what came of it, where it is cut."""
    import aiohttp

    body = b""
    try:
        while len(body) < MAX_ERROR and (chunk := await response.content.read(MAX_ERROR - len(body))):
            body += chunk
    except aiohttp.ClientPayloadError:
        pass
    return body


def pause_seconds(text: str) -> float:
    """Retry-After: seconds, or a date; 0 where it is neither."""
    try:
        seconds = float(text) if text.isascii() else 0.0
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time()
        except (ValueError, OverflowError, TypeError):
            return 0.0
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0


def error_message(text: str) -> str:
    """The server's own words, from the shapes of error that servers use."""
    error = error_content(text)
    if not isinstance(error, dict):
        return str(error)
    return " ".join(str(error[k]) for k in ("code", "message", "detail") if error.get(k)) or text


def error_content(text: str) -> Any:
    """What an error holds; its text where it is no JSON."""
    try:
        error = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return text
    return error.get("error", error) if isinstance(error, dict) else error


def is_final_error(text: str) -> bool:
    """Whether an error says that the key or the model's name is wrong, which holds for every request."""
    error = error_content(text)
    if isinstance(error, dict):
        if str(error.get("code")).lower() in FINAL_CODES:
            return True
        error = error.get("message") or error.get("detail")
    return isinstance(error, str) and bool(FINAL_WORDS.search(error[:FINAL_LENGTH]))


def check_reply(value: object, kind: type[M], show: Callable[[str], str]) -> M:
    """A reply's JSON as a `kind`; `show` makes a text of the server's fit to be seen.  Raises TryError where it is none."""
    from pydantic import ValidationError

    if not isinstance(value, dict):
        raise TryError(f"a reply that is no JSON object but {show(json.dumps(value))}", tries=UNSOUND_TRIES)
    if value.get("error"):  # some gateways send errors with status 200
        code = value["error"].get("code") if isinstance(value["error"], dict) else None
        is_away = isinstance(code, int) and code in AWAY_STATUSES
        text = json.dumps(value, ensure_ascii=False)
        is_final = is_final_error(text)
        tries = 0 if is_away else UNSOUND_TRIES
        raise TryError(show(error_message(text)), is_away=is_away, is_final=is_final, tries=tries)
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        fault = error.errors()[0]
        place = f"{'.'.join(map(str, fault['loc']))}: " if fault["loc"] else ""
        detail = f", not {show(repr(fault['input']))[:80]}" if fault["type"] != "value_error" else ""
        reason = f"a reply that does not fit: {place}{fault['msg'].removeprefix('Value error, ')}{detail}"
        raise TryError(show(reason), tries=UNSOUND_TRIES) from None
