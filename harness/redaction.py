"""Secrets are taken out of texts: keys in whatever form a server echoes them, and passwords in addresses."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

from harness.secret_spellings import MAX_MISSING, PART, find_in_parts, secret_forms, spell_out, wrapped_base64

MASK = "***"
SHORTEST_SECRET = 4  # characters: a shorter text is masked nowhere, as it would be found in ordinary words
LONG = 16  # characters of a key whose beginning alone gives it away
BEGINNING = 12
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

    def __init__(self, secrets: Iterable[str], shortest: int = SHORTEST_SECRET) -> None:
        self.secrets = tuple(secret for secret in dict.fromkeys(secrets) if len(secret) >= shortest)

    @cached_property
    def forms(self) -> list[str]:
        """The longest first."""
        return sorted({form for secret in self.secrets for form in secret_forms(secret)}, key=len, reverse=True)

    @cached_property
    def literals(self) -> tuple[frozenset[str], re.Pattern[str]]:
        """The forms in small letters, which are looked for first as that is quick, and the pattern of all of them."""
        return frozenset(map(str.lower, self.forms)), re.compile("|".join(map(re.escape, self.forms)), re.IGNORECASE)

    @cached_property
    def pattern(self) -> re.Pattern[str] | None:
        # The beginning of a long key: a server cuts what it echoes, and the rest of the word is the key's, too.
        long = [secret for secret in self.secrets if len(secret) >= LONG]
        cut = [rf"{re.escape(secret[:BEGINNING])}\S*|{re.escape(secret[-BEGINNING:])}" for secret in long]
        heads = [secret[:MAX_SPELLED] for secret in self.secrets if len(secret) >= BEGINNING]
        parts = [spell_out(text) for secret in heads for text in (secret, secret[::-1])]
        parts += [wrapped_base64(secret) for secret in heads]
        return re.compile("|".join([*parts, *cut]), re.IGNORECASE) if heads else None

    @cached_property
    def least_letters(self) -> int:
        """No shorter text holds a secret in any form: most of a reply's millions of texts are a token each."""
        lengths = [len(form) for form in self.forms]
        lengths += [min(BEGINNING, len(secret) - MAX_MISSING) for secret in self.secrets if len(secret) >= BEGINNING]
        return min(lengths, default=0)

    def redact(self, text: str) -> str:
        if not self.secrets or len(text) < self.least_letters:
            return text
        (clean,) = cut_spans([text], self.find_parts(text))
        small, (small_forms, literals) = clean.lower(), self.literals
        if any(form in small for form in small_forms):
            clean = literals.sub(MASK, clean)
        return self.pattern.sub(MASK, clean) if self.pattern else clean

    def find_parts(self, text: str) -> list[tuple[int, int]]:
        """The places (start, end), in their order, of the parts of secrets that lie in several parts in a text."""
        return merge_spans(span for form, least in self.divisible_forms for span in find_in_parts(text, form, least))

    @cached_property
    def divisible_forms(self) -> list[tuple[str, int]]:
        """What is looked for in parts: each long secret, and its base64 and hex, with the letters of the shortest part."""
        forms = []
        for secret in self.secrets:
            if len(secret) >= BEGINNING:
                data = secret.encode("utf-8", "surrogatepass")
                forms += [(secret, PART), (base64.b64encode(data).decode().rstrip("="), 2 * PART), (data.hex(), 4 * PART)]
        return forms

    def redact_value(self, value: object) -> object:
        """A JSON value with every text in it redacted; the names in its objects, too, and secrets cut over several texts."""
        if not self.secrets:
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
