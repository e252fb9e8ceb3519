"""A server's address as users write it, apart from the secrets in it."""

from __future__ import annotations

import base64
import os
import re
import urllib.request
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote, urlsplit

from harness.redaction import BEGINNING, KEY_FORM, MASK, SHORTEST_SECRET, Redactor, redact_urls
from harness.types import SkilldeltaError

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
HEADER_TEXT = re.compile(r"[\x21-\x7e]*")  # what a header can carry of a key


@dataclass(frozen=True)
class ServerAddress:
    """`base`: the address without user, password and parameters; `query`: its parameters, which follow every path.

    `authorization`: the header's value, "" for none.  `secrets`: what must be shown nowhere.  `label`: the address as it may
    be shown and stored.
    """

    base: str
    label: str
    query: str = field(default="", repr=False)
    authorization: str = field(default="", repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def url(self, path: str) -> str:
        return f"{self.base}{path}" + (f"?{self.query}" if self.query else "")


def parse_address(url: str, key: str = "") -> ServerAddress:
    """An address of a server with the key that it takes; a password in the address is sent where there is no key.

    Raises SkilldeltaError where it is no address.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        is_whole = parts.scheme in ("http", "https") and bool(host) and not parts.fragment and HEADER_TEXT.fullmatch(url)
    except ValueError:
        is_whole, host, port = None, "", None
    if not is_whole:
        raise SkilldeltaError(
            f"{hide_key(mask_user(url), key)!r} is no address of a server; one looks like http://localhost:8000/v1 (url=...)."
        )
    password, pair = credentials(parts)
    name = f"[{host}]" if ":" in host else host
    base = f"{parts.scheme}://{name}{'' if port is None else f':{port}'}{parts.path.rstrip('/')}"
    authorization = f"Bearer {key}" if key else f"Basic {pair}" if pair else ""
    values = tuple(unquote(value) for part in parts.query.split("&") if (value := part.partition("=")[2]) and is_secret(part))
    secrets = tuple(filter(None, (key, password, pair, *values, *KEY_FORM.findall(parts.path))))
    return ServerAddress(base, show_address(url.rstrip("/"), key), parts.query, authorization, secrets)


def credentials(parts: SplitResult) -> tuple[str, str]:
    """The password of an address, and user and password as a header has them; "" where it has none."""
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return password, base64.b64encode(f"{user}:{password}".encode()).decode() if user or password else ""


def show_address(url: str, key: str) -> str:
    """An address as it may be shown and stored: without password and secret parameters, and without the key in its path."""
    return hide_key(redact_urls(url), key)


def hide_key(url: str, key: str) -> str:
    """An address without the key; a short one is masked as a whole part alone, since "host" stands in many addresses."""
    if len(key) >= SHORTEST_SECRET:
        forms = "|".join(map(re.escape, {key, quote(key), quote(key, safe="")}))
        url = re.sub(rf"(?<![^/?&=#:@])(?:{forms})(?![^/?&#@])", MASK, url)
    return Redactor([key], shortest=BEGINNING).redact(url)


def mask_user(url: str) -> str:
    """A text that was meant for an address, as it may be shown: without all before its last @, wherever its user
    begins, and without what follows a #."""
    place, sign, _ = url.rpartition("@")[2].partition("#")
    return redact_urls((f"{MASK}@{place}" if "@" in url else place) + (sign and f"#{MASK}"))


@dataclass(frozen=True)
class Proxy:
    """The proxy before a server; `url` None: none.  Its password comes with `url`, and must be shown nowhere."""

    url: str | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


def find_proxy(base: str) -> Proxy:
    """The proxy that the environment names for a server.  SkilldeltaError, without a password, where it names none."""
    request = urllib.request.Request(base)  # noqa: S310  parse_address() checks the scheme
    named = "" if urllib.request.proxy_bypass(request.host) else urllib.request.getproxies().get(request.type, "")
    if not (url := named.strip()):
        return Proxy()
    url = url if "://" in url else f"http://{url}"  # as curl reads it
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and HEADER_TEXT.fullmatch(url)
    except ValueError:
        is_whole = None
    if not is_whole or parts.path.strip("/") or parts.query or parts.fragment:
        raise SkilldeltaError(
            f"The environment variable {request.type}_proxy holds {mask_user(named)!r}, no address of an HTTP proxy; one "
            f"looks like http://localhost:3128.  no_proxy={urlsplit(base).hostname} asks this server without a proxy."
        )
    return Proxy(url, tuple(filter(None, credentials(parts))))


def is_secret(parameter: str) -> bool:
    """Whether a parameter of an address is called like a secret."""
    return redact_urls("?" + parameter) != "?" + parameter


def read_key(variable: str) -> str:
    """The key that an environment variable holds; "" where it is not set.

    Raises SkilldeltaError, without the key, where `variable` is no name of a variable, and where no header can carry the key.
    """
    if not VARIABLE.fullmatch(variable):
        raise SkilldeltaError("key= takes the name of an environment variable that holds the key (key=MY_KEY), never the key.")
    key = os.environ.get(variable, "")
    if not HEADER_TEXT.fullmatch(key):
        is_at_an_end = HEADER_TEXT.fullmatch(key.strip())
        what = "a line break or a space before or after it" if is_at_an_end else "a space or a character that no key has"
        raise SkilldeltaError(f"The key in the environment variable {variable} has {what}: it cannot be sent.  Set it without.")
    return key
