"""JSON over HTTP to a server that is sometimes busy: retries with growing pauses, and errors that say what went wrong."""

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

BUSY_STATUSES = {408, 409, 425, 429, 500, 502, 503, 504, 529}
FINAL_STATUSES = {401, 403, 404, 405}  # no other try and no other prompt would change them
MAX_PAUSE_SECONDS = 60.0  # between two tries


class RequestRefusedError(Exception):
    """The server refuses this one request, and says why."""


class ServerBusyError(Exception):
    """No answer this time.  `retry_after`: seconds that the server asks to wait for, 0 where it does not say."""

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the key is for the named server alone."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True)
class JsonServer:
    """Where to post to.  The key appears in no message and in no file.  Times in seconds."""

    url: str
    key: str = ""
    timeout: float = 300.0
    retries: int = 6
    backoff: float = 1.0

    def post(self, path: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """The server's JSON answer.

        The pause before try n + 1 is backoff * 2^n, or what the server asks for if that is longer; at most MAX_PAUSE_SECONDS.
        Raises SkilldeltaError when the server stays busy or rejects the address or key, RequestRefusedError when it refuses
        this request.
        """
        for attempt in range(self.retries + 1):
            try:
                return self.post_once(path, content)
            except ServerBusyError as busy:
                if attempt == self.retries:
                    raise SkilldeltaError(
                        f"{self.url}{path} does not answer, after {self.retries + 1} tries: {busy}.\n"
                        "All answers so far are stored: run the same command again once the server is back."
                    ) from busy
                time.sleep(min(max(self.backoff * 2**attempt, busy.retry_after), MAX_PAUSE_SECONDS))
        raise AssertionError("the loop above returns or raises")

    def post_once(self, path: str, content: Mapping[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        request = urllib.request.Request(self.url + path, json.dumps(content).encode(), headers)  # noqa: S310  load() checks the scheme
        try:
            with urllib.request.build_opener(NoRedirect).open(request, timeout=self.timeout) as response:
                answer: dict[str, Any] = json.loads(response.read())
                return answer
        except urllib.error.HTTPError as error:
            with error:
                raise self.error_for(path, error) from error
        except (urllib.error.URLError, HTTPException, OSError, json.JSONDecodeError) as error:
            raise ServerBusyError(f"{type(error).__name__}: {error}") from error

    def error_for(self, path: str, error: urllib.error.HTTPError) -> Exception:
        """The exception that an HTTP status stands for."""
        reason = f"HTTP {error.code}: {error_message(error.read())}"
        if error.code in BUSY_STATUSES:
            pause = error.headers.get("Retry-After", "")  # in seconds, or a date: that counts as none
            return ServerBusyError(reason, float(pause) if pause.replace(".", "", 1).isdigit() else 0.0)
        if error.code in FINAL_STATUSES or error.code in range(300, 400):
            url = self.url + path
            return SkilldeltaError(f"{url} answers {reason}.  Check the address (url=), the model's name and the key.")
        return RequestRefusedError(reason)


def error_message(body: bytes) -> str:
    """The server's own words, from the shapes of error that servers use; at most 300 characters."""
    text = body.decode("utf-8", "replace")
    try:
        error = json.loads(text)
    except json.JSONDecodeError:
        return text.strip()[:300]
    error = error.get("error", error) if isinstance(error, dict) else error
    if not isinstance(error, dict):
        return str(error)[:300]
    return " ".join(str(error[k]) for k in ("code", "message", "detail") if error.get(k))[:300] or text[:300]
