"""JSON over HTTP to a server that is sometimes busy: retries with growing pauses, and says plainly what went wrong."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from harness.types import SkilldeltaError

BUSY = {408, 409, 425, 429, 500, 502, 503, 504, 529}
LOCKED = {401, 403, 404, 405}  # nothing that another try or another prompt would change
LONGEST = 60.0  # seconds between two tries


class RefusedError(Exception):
    """The server refuses this one request, and says why."""


class BusyError(Exception):
    """No answer this time.  `after`: seconds that the server asks to wait for, 0 where it does not say."""

    def __init__(self, why: str, after: float = 0.0) -> None:
        super().__init__(why)
        self.after = after


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the key is for the named server alone."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True)
class Server:
    """Where to post to.  The key stands in no message and in no file."""

    url: str
    key: str = ""
    timeout: float = 300.0
    retries: int = 6
    backoff: float = 1.0

    def post(self, path: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """The server's JSON answer; a SkilldeltaError when it stays silent, RefusedError when it refuses this request."""
        for attempt in range(self.retries + 1):
            try:
                return self.once(path, content)
            except BusyError as busy:
                if attempt == self.retries:
                    raise SkilldeltaError(
                        f"{self.url}{path} does not answer, after {self.retries + 1} tries: {busy}.\n"
                        "What was answered is stored: the same command goes on from there once the server is back."
                    ) from busy
                time.sleep(min(max(self.backoff * 2**attempt, busy.after), LONGEST))
        raise AssertionError("the loop above returns or raises")

    def once(self, path: str, content: Mapping[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        asked = urllib.request.Request(self.url + path, json.dumps(content).encode(), headers)  # noqa: S310  load() checks the scheme
        try:
            with urllib.request.build_opener(NoRedirect).open(asked, timeout=self.timeout) as answer:
                found: dict[str, Any] = json.loads(answer.read())
                return found
        except urllib.error.HTTPError as error:
            with error:
                raise self.failure(path, error) from error
        except (urllib.error.URLError, HTTPException, OSError, json.JSONDecodeError) as error:
            raise BusyError(f"{type(error).__name__}: {error}") from error

    def failure(self, path: str, error: urllib.error.HTTPError) -> Exception:
        """What an HTTP status means here."""
        why = f"HTTP {error.code}: {reason(error.read())}"
        if error.code in BUSY:
            return BusyError(why, seconds(error.headers.get("Retry-After", "")))
        if error.code in LOCKED or error.code in range(300, 400):
            return SkilldeltaError(f"{self.url}{path} answers {why}.  Check the address (url=), the model's name and the key.")
        return RefusedError(why)


def reason(body: bytes) -> str:
    """The server's own words, from the shapes of error that servers use."""
    text = body.decode("utf-8", "replace")
    try:
        told = json.loads(text)
    except json.JSONDecodeError:
        return text.strip()[:300]
    told = told.get("error", told) if isinstance(told, dict) else told
    if not isinstance(told, dict):
        return str(told)[:300]
    return " ".join(str(told[k]) for k in ("code", "message", "detail") if told.get(k))[:300] or text[:300]


def seconds(value: str) -> float:
    """A Retry-After header given in seconds; 0 for none, or for one given as a date."""
    return float(value) if value.replace(".", "", 1).isdigit() else 0.0
