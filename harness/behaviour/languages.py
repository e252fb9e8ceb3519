"""Whether an answer is in another language than its prompt.

By the script of its letters first; where both are in one script, by langdetect, seeded, and only where it is sure of both.
English is told by its commonest words, which is a hundred times as fast.
"""

from __future__ import annotations

import functools
import re
import unicodedata

from harness.behaviour.markup import without_code

MIN_LETTERS = 12  # a shorter text has no language that could be told
MIN_DETECTABLE = 40  # letters that langdetect needs
SURE = 0.99  # langdetect's probability
MIN_ENGLISH = 0.2  # of the words: English prose has a third to a half
OTHER_SCRIPT = 0.5  # of an answer's letters, so that names and quotations are no change of language
SHARED_SCRIPTS = ("LATIN", "CYRILLIC", "ARABIC", "DEVANAGARI")  # of several languages that people write to models in
MAX_CHARACTERS = 2000  # from the beginning, of which a language is told
COMMON_WORDS = (
    "the of and to a in is that it for you was with on as are this be have not or i can an by we at from your if will"
)
ENGLISH = frozenset(COMMON_WORDS.split(" "))
WORDS = re.compile(r"[^\W\d_]+")


@functools.lru_cache(maxsize=4096)
def script_of(letter: str) -> str:
    """The script of a letter by its Unicode name: LATIN, CJK, CYRILLIC; Japanese and Korean count as scripts of their own."""
    script = unicodedata.name(letter, "").split(" ")[0].split("-")[0]
    return {"HIRAGANA": "KANA", "KATAKANA": "KANA"}.get(script, script)


def main_script(text: str) -> str:
    """The script of most letters; "" where none has OTHER_SCRIPT of them.  Chinese characters next to kana are Japanese."""
    counts: dict[str, int] = {}
    for letter in filter(str.isalpha, text):
        counts[script_of(letter)] = counts.get(script_of(letter), 0) + 1
    if counts.get("KANA", 0) and "CJK" in counts:
        counts["KANA"] += counts.pop("CJK")
    script = max(counts, key=lambda name: counts[name], default="")
    return script if counts and counts[script] >= OTHER_SCRIPT * sum(counts.values()) else ""


def is_english(text: str) -> bool:
    words = WORDS.findall(text.lower())
    return len(words) > 0 and sum(word in ENGLISH for word in words) >= MIN_ENGLISH * len(words)


def find_language(text: str) -> str:
    """The code of a text's language; "" where it is not sure."""
    if is_english(text):
        return "en"
    return detect(text) if sum(map(str.isalpha, text)) >= MIN_DETECTABLE else ""


@functools.lru_cache(maxsize=1024)
def detect(text: str) -> str:
    """The language, by langdetect; "" where it is not sure."""
    import langdetect

    langdetect.DetectorFactory.seed = 0
    try:
        first = langdetect.detect_langs(text)[0]
    except langdetect.LangDetectException:
        return ""
    return str(first.lang) if first.prob >= SURE else ""


def switches_language(prompt: str, answer: str) -> bool | None:
    """Whether the answer is in another language; None where either is too short, or its language is not sure."""
    texts = [without_code(text)[:MAX_CHARACTERS] for text in (prompt, answer)]
    if any(sum(map(str.isalpha, text)) < MIN_LETTERS for text in texts):
        return None
    scripts = [main_script(text) for text in texts]
    if "" in scripts:
        return None
    if scripts[0] != scripts[1] or scripts[0] not in SHARED_SCRIPTS:
        return scripts[0] != scripts[1]
    languages = [find_language(text) for text in texts]
    return None if "" in languages else languages[0] != languages[1]
