"""Secrets are taken out of texts: keys in whatever form a server echoes them, and passwords in addresses."""

from __future__ import annotations

import base64
import codecs
import html
import json
import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST = 4  # characters: a shorter text is masked nowhere, as it would be found in ordinary words
LONG = 16  # characters of a key whose beginning alone gives it away
BEGINNING = 12
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
        return self.pattern.sub(MASK, text) if self.pattern else text

    def redact_value(self, value: object) -> object:
        """A JSON value with every text in it redacted; the names in its objects, too."""
        if not self.pattern:
            return value
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, list):
            return [self.redact_value(element) for element in value]
        if isinstance(value, dict):
            return {self.redact(name): self.redact_value(element) for name, element in value.items()}
        return value


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
