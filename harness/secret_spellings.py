"""The ways in which a secret may stand in a text: other letters, other bases, letter by letter, or in several parts."""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import json
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, quote_plus

SHORTEST_FORM = 4  # letters of a form that is looked for
LONG_ENOUGH = 8  # letters of a secret whose forms are in no ordinary text, backwards either
PART = 4  # letters of each part of a secret that are looked for apart
GAP = 160  # characters between parts: what a log writes before each line
MAX_MISSING = 3  # letters of a secret: a part shorter than PART is not looked for
# Where Unicode has letters in other styles: raised, lowered, letter-like, in circles and squares, mathematical, full width.
STYLED = (range(0x2B0, 0x300), range(0x1D2C, 0x1D6B), range(0x2070, 0x20A0), range(0x2100, 0x2150), range(0x2460, 0x2500),
          range(0xFF01, 0xFF5F), range(0x1D400, 0x1D800), range(0x1F110, 0x1F150), range(0x1FBF0, 0x1FBFA))  # fmt: skip
TAGS = 0xE0000  # letters that nothing shows


def find_in_parts(text: str, secret: str, least: int = PART) -> list[tuple[int, int]]:
    """The places of a secret's parts of at least `least` letters, near each other in any order.

    All but MAX_MISSING letters must be there: one part alone counts where nearly all of the secret is in it.
    """
    spans: list[tuple[int, int]] = []
    for missing in range(MAX_MISSING + 1):  # at the beginning
        anchor, rest = secret[missing : missing + least], secret[missing:]
        start = text.find(anchor)
        while start >= 0:
            pairs = enumerate(zip(rest, text[start : start + len(rest)], strict=False))
            length = next((i for i, (letter, other) in pairs if letter != other), min(len(rest), len(text) - start))
            search = PartSearch(text, least)
            for cut in range(length, least - 1, -1):
                if parts := search.cover(rest[cut:], [(start, start + cut)], MAX_MISSING - missing):
                    spans += parts
                    break
            start = text.find(anchor, start + 1)
    return spans


@dataclass
class PartSearch:
    """The parts of one secret, from one place where it begins.  `tries`: how many more may be looked at."""

    text: str
    least: int
    tries: int = 64

    def cover(self, rest: str, spans: list[tuple[int, int]], spare: int) -> list[tuple[int, int]]:
        """The places of the parts so far, and of the rest's, the longest first; [] where `spare` letters more are missing."""
        if len(rest) <= spare:
            return spans
        low, high = min(start for start, _ in spans) - GAP, max(end for _, end in spans) + GAP
        for skip in range(spare + 1):
            left = rest[skip:]
            area = max(low - len(left), 0), high + len(left)
            if self.text.find(left[: self.least], *area) < 0:
                continue
            for length in range(len(left), self.least - 1, -1):
                place = self.find_free(left[:length], area, spans)
                if place < 0:
                    continue
                self.tries -= 1
                if self.tries < 0:
                    return []
                if parts := self.cover(left[length:], [*spans, (place, place + length)], spare - skip):
                    return parts
        return []

    def find_free(self, part: str, area: tuple[int, int], spans: list[tuple[int, int]]) -> int:
        """Where a part stands in an area beside other parts; -1: nowhere."""
        place = self.text.find(part, *area)
        while place >= 0 and any(place < end and start < place + len(part) for start, end in spans):
            place = self.text.find(part, place + 1, area[1])
        return place


@lru_cache
def styled_letters() -> dict[str, str]:
    """By letter the letters that Unicode says are the same in another style."""
    styles: dict[str, str] = {}
    for code in (code for codes in STYLED for code in codes):
        plain = unicodedata.normalize("NFKC", chr(code))
        if len(plain) == 1 and plain.isascii():
            styles[plain] = styles.get(plain, "") + chr(code)
    return styles


def spell_out(secret: str) -> str:
    """A pattern of a secret letter by letter: each as it is, in another style or by its number, with marks between them.

    Numbers as in %73, %2573, =73, \\x73, \\163, \\u{73}, &#115;, &#x73;, 01110011 or alone.
    """
    units = []
    for letter in secret:
        code = ord(letter)
        styles = f"[{re.escape(styled_letters().get(letter, letter) + chr(TAGS + code % 128))}]"
        sixteen = rf"(?:%(?:25){{0,4}}|=|\\{{1,4}}x|\\{{1,4}}u\{{?|U\+|0x|&\#x)?0{{0,6}}{code:x}[;}}]?"
        units.append(
            rf"(?:{re.escape(letter)}|{styles}|{sixteen}|(?:&\#)?0{{0,6}}{code};?|\\{{1,4}}0{{0,6}}{code:o}|0?{code:07b})"
        )
    return r"[\W_]{0,6}?".join(units)


def secret_forms(secret: str) -> set[str]:
    """The ways in which a secret may be written, forwards and backwards; a short one, whose forms may be words, forwards."""
    if len(secret) < LONG_ENOUGH:
        return plain_forms(secret) | {secret[::-1]}
    forms = plain_forms(secret) | plain_forms(secret[::-1])
    return forms | {form[::-1] for form in forms}


def plain_forms(secret: str) -> set[str]:
    data, wide = (secret.encode(name, "surrogatepass") for name in ("utf-8", "utf-16-le"))
    backslashes = "".join(f"\\u{ord(character):04x}" for character in secret)
    percent = "".join(f"%{byte:02x}" for byte in data)
    turned = "".join(chr(33 + (ord(letter) + 14) % 94) if "!" <= letter <= "~" else letter for letter in secret)  # ROT47
    forms = {secret, quote(data, safe=""), quote_plus(data), percent, backslashes, html.escape(secret), turned}
    forms |= {json.dumps(secret)[1:-1], codecs.encode(secret, "rot13"), data.hex(), wide.hex(), base64.b64encode(data).hex()}
    forms |= {text.decode().rstrip("=") for text in (base64.b32encode(data), base64.b85encode(data), base64.a85encode(data))}
    forms |= {binascii.b2a_uu(data[start : start + 45]).decode()[1:-1] for start in range(0, len(data), 45)}
    for bytes_of in (data, wide, secret.encode("utf-16-be", "surrogatepass"), base64.b64encode(data), data.hex().encode()):
        forms |= base64_forms(bytes_of)
    return {form for form in forms if len(form) >= SHORTEST_FORM}


def base64_forms(data: bytes) -> set[str]:
    """What base64 makes of `data` in a longer text, for each of three places in it: the letters that no neighbour changes."""
    forms = set()
    for before in range(3):
        text = base64.b64encode(b"\0" * before + data).decode().rstrip("=")
        first = (before * 8 + 5) // 6  # letters that hold bits of what is before
        last = len(text) - 1 if (before + len(data)) % 3 else len(text)  # the last one holds bits of what follows
        forms.add(text[first:last])
    forms |= {form.translate(str.maketrans("+/", "-_")) for form in forms}
    return {form for form in forms if len(form) >= SHORTEST_FORM}


def wrapped_base64(secret: str) -> str:
    """A pattern of a secret's base64 in lines, of whatever length."""
    text = base64.b64encode(secret.encode("utf-8", "surrogatepass")).decode().rstrip("=")
    return r"\W{0,6}?".join(map(re.escape, text))
