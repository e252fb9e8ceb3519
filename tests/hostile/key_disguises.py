"""The key of a server in disguise, as a hostile one gives it back; and keys as they come out of a file or a web page."""

from __future__ import annotations

import base64
import codecs
import gzip
import json
from collections.abc import Callable, Mapping
from typing import Any

from tests.support.hostile_server import CELL, EITHER, KEY, Attack, Behaviour, Exchange, http_reply, message, text_reply
from tests.support.odd_replies import READ

GZIP = "Content-Encoding: gzip\r\n"


def keyed(body: Callable[[str], str | bytes], status: str = "400 X", headers: Callable[[str], str] | None = None) -> Behaviour:
    """A reply that is made of the key."""

    def behave(exchange: Exchange) -> None:
        key = exchange.authorization.removeprefix("Bearer ")
        content = body(key)
        data = content if isinstance(content, bytes) else content.encode()
        exchange.send(http_reply(data, status, headers(key) if headers else ""))

    return behave


def keyed_answer(value: Callable[[str], Mapping[str, Any]]) -> Behaviour:
    """A message that is made of the key."""
    return lambda exchange: message(value(exchange.authorization.removeprefix("Bearer ")))(exchange)


DISGUISES = [
    Attack(
        "the key as a realm", keyed(lambda _: b"", "401 X", lambda key: f'WWW-Authenticate: Bearer realm="{key}"\r\n'), CELL
    ),
    *(
        Attack(f"the key {name}", keyed(form), EITHER)
        for name, form in {
            "in three parts": lambda k: json.dumps({"error": {"message": f"{k[:8]} | {k[8:16]} | {k[16:]}", "type": k}}),
            "with dashes": lambda k: "-".join(k),
            "in base64 twice": lambda k: base64.b64encode(base64.b64encode(k.encode())),
            "in JSON in JSON": lambda k: json.dumps(json.dumps(json.dumps(k))),
            "in entities": lambda k: "".join(f"&#{ord(letter)};" for letter in k),
            "with letters of no width": lambda k: "\u200b".join(k),
            "in wide letters": lambda k: "".join(chr(ord(letter) + 0xFEE0) for letter in k),
            "in rot13": lambda k: codecs.encode(k, "rot13").upper(),
            "in UTF-16": lambda k: k.encode("utf-16"),
            "over two lines": lambda k: k[:10] + "\n" + k[10:],
            "as a JSON key": lambda k: json.dumps({"error": {k: k}}),
        }.items()
    ),
    Attack("the key in gzip", keyed(lambda k: gzip.compress(k.encode()), "401 X", lambda _: GZIP), CELL),
    Attack("the key in the reasoning", keyed_answer(lambda k: {"content": "18", "reasoning_content": k}), READ),
    Attack(
        "the key in two parts", keyed_answer(lambda k: {"content": [{"type": "text", "text": p} for p in (k[:9], k[9:])]}), READ
    ),
    Attack("the key as the model", keyed(lambda k: json.dumps(text_reply("18", model=k, id=k)), "200 OK"), READ),
]
ODD_KEYS = {
    "a new line": f"{KEY}\n",
    "a carriage return": f"{KEY}\r",
    "a curly quote": f"{KEY}\u2019",
    "blanks": f" {KEY} ",
    "half of a pair": f"{KEY}\udcff",
}
