"""Secrets are taken out of texts: keys in whatever form a server echoes them, and passwords in addresses."""

from __future__ import annotations

import base64
import codecs
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST = 4  # characters: a shorter text is masked nowhere, as it would be found in ordinary words
LONG = 16  # characters of a key whose beginning alone gives it away
BEGINNING = 12
PART = 4  # letters of each of two parts of a secret that are looked for apart
GAP = 160  # characters between them: what a log writes before each line
KIND = "type"  # of a part of a message: its value stands between two texts that belong together
MAX_SPELLED = 64  # letters of a secret that are looked for one by one
USER_INFO = re.compile(r"(?<=//)[^\s,;]*@")
SECRET_PARAMETER = re.compile(
    r"([?&;][^=&\s]*(?:key|token|secret|pass|pwd|sig|auth|credential)[^=&\s]*=)[^&\s]*", re.IGNORECASE
)

# Settings that are called like a secret, and none that is called like a token of a text (eos_token, max_tokens).
SECRET_SETTING = re.compile(
    r"(?:.*(?:api|access|auth|bearer|secret|private|session|hub|hf)[-_ ]?(?:key|token)s?|key|token|.*passw(?:or)?d|pwd|.*secret"
    r"|(?:.*[-_])?auth(?:orization)?|credentials?)",
    re.IGNORECASE,
)
SECRET_PAIR = re.compile(r"(?P<before>(?:^|(?<=[,;\s]))(?P<name>[\w.-]+)=)[^,;\s]+")
# Keys by their form: OpenAI's, Anthropic's and kin; the Hub's; Google's; GitHub's; Slack's; Amazon's; and headers.
KEY_FORM = re.compile(
    r"\b(?:sk-[\w-]{16,}|hf_[A-Za-z0-9]{20,}|AIza[\w-]{30,}|gh[pousr]_[A-Za-z0-9]{20,}|xox[abp]-[\w-]{10,}|AKIA[0-9A-Z]{16})"
    r"|(?<=Bearer )[\w.~+/-]{8,}=*|(?<=Basic )[A-Za-z0-9+/]{8,}=*"
)


def redact_settings(value: Any, name: str = "") -> Any:
    """Settings as JSON without keys and passwords: by a setting's name, in addresses, and by the forms that keys have."""
    if isinstance(value, dict):
        return {key: redact_settings(part, str(key)) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [redact_settings(part, name) for part in value]
    if not isinstance(value, str) or not value:
        return value
    if SECRET_SETTING.fullmatch(name):
        return MASK
    text = SECRET_PAIR.sub(lambda pair: pair["before"] + MASK if SECRET_SETTING.fullmatch(pair["name"]) else pair[0], value)
    return redact_urls(text)


def redact_urls(text: str) -> str:
    """A text whose addresses have no user, no password, no values of parameters called like a secret, and no keys by form."""
    return KEY_FORM.sub(MASK, SECRET_PARAMETER.sub(rf"\1{MASK}", USER_INFO.sub(f"{MASK}@", text)))


class Redactor:
    """Masks secrets of at least `shortest` characters, also percent-encoded, in base64, in hex, or as JSON or HTML has them."""

    def __init__(self, secrets: Iterable[str], shortest: int = SHORTEST) -> None:
        self.secrets = tuple(secret for secret in dict.fromkeys(secrets) if len(secret) >= shortest)

    @cached_property
    def pattern(self) -> re.Pattern[str] | None:
        forms = sorted({form for secret in self.secrets for form in secret_forms(secret)}, key=len, reverse=True)
        # The beginning of a long key: a server cuts what it echoes, and the rest of the word is the key's, too.
        long = [secret for secret in self.secrets if len(secret) >= LONG]
        cut = [rf"{re.escape(secret[:BEGINNING])}\S*|{re.escape(secret[-BEGINNING:])}" for secret in long]
        parts = [spell_out(secret[:MAX_SPELLED]) for secret in self.secrets if len(secret) >= BEGINNING]
        return re.compile("|".join([*map(re.escape, forms), *parts, *cut]), re.IGNORECASE) if forms else None

    def redact(self, text: str) -> str:
        if not self.pattern:
            return text
        (clean,) = cut_spans([text], self.find_parts(text))
        return self.pattern.sub(MASK, clean)

    def find_parts(self, text: str) -> list[tuple[int, int]]:
        """The places (start, end), in their order, of the parts of secrets that lie in two parts in a text."""
        long = [secret for secret in self.secrets if len(secret) >= BEGINNING]
        return merge_spans(span for secret in long for span in find_two_parts(text, secret))

    def redact_value(self, value: object) -> object:
        """A JSON value with every text in it redacted; the names in its objects, too, and secrets cut over several texts."""
        if not self.pattern:
            return value
        texts = list(texts_in(value))
        if spans := self.find_parts("".join(texts)):
            pieces = iter(cut_spans(texts, spans))
            value = map_texts(value, lambda _: next(pieces))
        return self.redact_texts(value)

    def redact_texts(self, value: object) -> object:
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, list):
            return [self.redact_texts(element) for element in value]
        if isinstance(value, dict):
            return {self.redact(name): self.redact_texts(element) for name, element in value.items()}
        return value


def texts_in(value: object) -> Iterator[str]:
    """The texts of a JSON value in their order, but for names and kinds."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for element in value:
            yield from texts_in(element)
    elif isinstance(value, dict):
        for name, element in value.items():
            if name != KIND:
                yield from texts_in(element)


def map_texts(value: object, change: Callable[[str], str]) -> object:
    """A JSON value with the texts of `texts_in` changed, in the same order."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [map_texts(element, change) for element in value]
    if isinstance(value, dict):
        return {name: element if name == KIND else map_texts(element, change) for name, element in value.items()}
    return value


def find_two_parts(text: str, secret: str) -> list[tuple[int, int]]:
    """The places of a secret's two parts, at most GAP characters apart; of a part alone where nearly all of it is there."""
    spans, start = [], text.find(secret[:PART])
    while start >= 0:
        pairs = enumerate(zip(secret, text[start : start + len(secret)], strict=False))
        length = next((i for i, (letter, other) in pairs if letter != other), min(len(secret), len(text) - start))
        for cut in range(length, PART - 1, -1):
            end, rest = start + cut, secret[cut:]
            place = text.find(rest, end, end + GAP + len(rest)) if len(rest) >= PART else end
            if place < 0:  # a field of its second part may come first
                place = text.find(rest, max(start - GAP - len(rest), 0), start)
            if place >= 0:
                spans += [(start, end), (place, place + len(rest) if len(rest) >= PART else end)]
                break
        start = text.find(secret[:PART], start + 1)
    place = text.find(secret[PART - 1 :])
    while place >= 0:
        spans.append((place, place + len(secret) - PART + 1))
        place = text.find(secret[PART - 1 :], place + 1)
    return spans


def merge_spans(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same places, in their order, without those that touch or overlap."""
    areas: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if areas and start <= areas[-1][1]:
            areas[-1] = (areas[-1][0], max(end, areas[-1][1]))
        else:
            areas.append((start, end))
    return areas


def cut_spans(texts: list[str], spans: list[tuple[int, int]]) -> list[str]:
    """The texts with MASK instead of each place, which counts characters of all of them joined; it stands in the first one."""
    pieces, offset = [], 0
    for text in texts:
        piece, place = "", 0
        for start, end in spans:
            if end > offset and start < offset + len(text):
                piece += text[place : max(start - offset, 0)] + (MASK if start >= offset else "")
                place = min(end - offset, len(text))
        pieces.append(piece + text[place:])
        offset += len(text)
    return pieces


def spell_out(secret: str) -> str:
    """A pattern of a secret letter by letter: each as it is, in full width or by its number, with marks between them.

    Numbers as in %73, %2573, =73, \\x73, \\163, \\u{73}, &#115;, &#x73; or alone.
    """
    units = []
    for letter in secret:
        code = ord(letter)
        wide = re.escape(chr(code + 0xFEE0)) if 0x21 <= code <= 0x7E else re.escape(letter)
        sixteen = rf"(?:%(?:25){{0,4}}|=|\\{{1,4}}x|\\{{1,4}}u\{{?|U\+|0x|&\#x)?0{{0,6}}{code:x}[;}}]?"
        units.append(rf"(?:{re.escape(letter)}|{wide}|{sixteen}|(?:&\#)?0{{0,6}}{code};?|\\{{1,4}}0{{0,6}}{code:o})")
    return r"[\W_]{0,6}?".join(units)


def secret_forms(secret: str) -> set[str]:
    """The ways in which a secret may be written."""
    data = secret.encode("utf-8", "surrogatepass")
    percent = "".join(f"%{byte:02x}" for byte in data)
    backslashes = "".join(f"\\u{ord(character):04x}" for character in secret)
    forms = {
        secret,
        secret[::-1],
        quote(data, safe=""),
        quote_plus(data),
        percent,
        backslashes,
        data.hex(),
        html.escape(secret),
    }
    wide = secret.encode("utf-16-le", "surrogatepass")
    other_bases = {base64.b32encode(data), base64.b85encode(data), base64.a85encode(data)}
    forms |= {json.dumps(secret)[1:-1], wide.hex(), codecs.encode(secret, "rot13")}
    forms |= {text.decode().rstrip("=") for text in other_bases}
    return forms | base64_forms(data) | base64_forms(wide) | base64_forms(base64.b64encode(data))


def base64_forms(data: bytes) -> set[str]:
    """What base64 makes of `data` in a longer text, for each of three places in it: the letters that no neighbour changes."""
    forms = set()
    for before in range(3):
        text = base64.b64encode(b"\0" * before + data).decode().rstrip("=")
        first = (before * 8 + 5) // 6  # letters that hold bits of what is before
        last = len(text) - 1 if (before + len(data)) % 3 else len(text)  # the last one holds bits of what follows
        forms.add(text[first:last])
    forms |= {form.translate(str.maketrans("+/", "-_")) for form in forms}
    return {form for form in forms if len(form) >= SHORTEST}
