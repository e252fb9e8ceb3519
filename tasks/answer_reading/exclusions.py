"""Lettered options that a sentence excludes ("(A) is wrong", "rule out (A)"), and the one that it concludes with ("so (B)")."""

from __future__ import annotations

import re
from collections.abc import Mapping

NAME = r"(?:(?:[Oo]ption|[Cc]hoice|[Aa]nswer)s?\s+)?(?:\([A-Z]\)|(?<![\w'(])[A-Z](?:\)|(?![\w'.)])))"
NAMES = rf"{NAME}(?:(?:,\s*{NAME}){{0,9}}\s*(?:,?\s+(?:and|or|nor)\s+|[/&]\s*){NAME})?"
BAD = (
    r"(?:wrong|incorrect|false|untrue|invalid|unlikely|impossible|implausible|improbable|inconsistent|inaccurate|inappropriate"
    r"|irrelevant|excluded|eliminated|ruled\s+out|rejected|discarded|dismissed|out|less\s+\w+)(?![\w'])(?!\s+of\s+(?!the\s+question))"
)
ADVERBS = r"(?:\s+(?:also|both|all|too|just|then|thus|to\s+be|very|quite|\w+ly)){0,3}"
# Not in "(A) cannot be ruled out", and not in "(A) cannot be determined", which is what an option may say.
NOT = (
    r"(?:(?:is|are|was|were|do|does|did|can|could|would|will|should|must|may|might|has|have)\s+(?:\w+ly\s+)?(?:not|never|hardly)"
    r"|(?:is|are|was|were|do|does|did|ca|could|would|wo|should|must|might|has|have)n't|cannot|never)\b"
    r"(?!\s+(?:only|just|merely)\b)(?!\s+be\s+(?:determined|known|said|told|inferred|concluded|calculated|found|computed)\b)"
    rf"(?!\s+(?:be\s+)?(?:\w+ly\s+)?{BAD})"
)
IS_BAD = (
    r"(?:is|are|was|were|seems?|looks?|appears?|sounds?|(?:must|would|can|could|should|may|might|will)\s+be|ha(?:s|ve)\s+been)"
    rf"{ADVERBS}\s+(?:the\s+|an?\s+)?{BAD}"
)
SINGULAR = r"\s*(?:(?:is|was|does|has)(?:n't)?|seems|looks|appears|sounds)\b"  # "A and B is wrong" excludes B alone
EXCLUSION = re.compile(
    rf"(?P<name>{NAMES}(?!{SINGULAR})|{NAME}(?:,\s*{NAME}){{1,9}}(?=\s+(?:are|were))|{NAME})[,:]?\s+(?P<claim>{NOT}|{IS_BAD})"
    r"|(?:\b(?:[Rr]ul(?:e[sd]?|ing)\s+out|[Ee]liminat(?:e[sd]?|ing)|[Ee]xclud(?:e[sd]?|ing)|[Rr]eject(?:s|ed|ing)?"
    r"|[Dd]iscard(?:s|ed|ing)?|[Dd]ismiss(?:es|ed|ing)?|[Nn]either|[Uu]nlike|[Nn]ot(?:\s+the)?)|n't\s+be)"
    rf"\s+{NAMES}(?:\s+(?:is|are|was|were)\s+\w+)?|\b[Rr]ul(?:e[sd]?|ing)\s+{NAMES}\s+out\b"
)
VERDICT = re.compile(
    r"(?P<name>\([A-Z]\)|(?<![\w'(])[A-Z][).:])\s*[-–—:=]?\s*"
    r"(?P<claim>(?i:no|wrong|incorrect|false|not\s+(?:correct|right|true|valid|possible)|✗|✘|❌|×|✕)\ufe0f?)"
    r"(?=\s*(?:[.,;:!(–—-]|$))"
)
IT_IS = (
    r"(?:(?:[Ii]t|[Tt]his|[Tt]hat)(?:'s|\s+(?:is|must\s+be|has\s+to\s+be|should\s+be|would\s+be))|we\s+(?:get|choose|pick|have)"
    r"|I\s+(?:choose|pick|select|take|say))"
)
THE_LETTER = (
    r"\s*(?:(?:option|choice|answer)\s+)?(?!I,)\(?(?P<letter>[A-Z])(?![\w'])\)?"
    r"(?=\s*(?:$|[.!](?=\s|$)|[;–—(]|,?\s+(?:because|since|as|for|given|not|and\s+not|rather|instead)\b"
    r"|,(?!\s*(?:and\s+|or\s+)?\(?[A-Z]\b)|(?:\s+is)?\s+(?:the\s+)?(?:right|correct|best|answer|true)\b|\s+it\s+is\b))"
)
CONCLUDES = re.compile(
    r"\b(?:[Ss]o|[Tt]hus|[Tt]herefore|[Hh]ence|[Ll]eav(?:es|ing)(?:\s+(?:us|me|only|just)){0,2}(?:\s+with)?|[Mm]aking\s+it)\b"
    rf",?(?:\s+{IT_IS})?(?:\s+only)?{THE_LETTER}"
)
SAYS_IT_IS = re.compile(rf"(?<!\b[Ii]f )(?<!\bwhether )\b{IT_IS}{THE_LETTER}")
MARKUP = re.compile(r"\*\*|__|`|\\[()\[\]]|\$")


def without_texts(statement: str, options: Mapping[str, str]) -> str:
    """The statement with "(A)" for "(A) the option's own text", which may say that something else is wrong."""
    for letter, text in options.items():
        own = MARKUP.sub("", text).strip().rstrip(".")
        if own and own.casefold() in statement.casefold():
            pattern = rf"(?<![\w'(])(?:\({letter}\)|{letter}[).:]?)\s*[-–—:]?\s*[\"']?(?i:{re.escape(own)})(?!\w)[\"']?"
            statement = re.sub(pattern, f"({letter})", statement)
    return statement


def drop_exclusions(sentence: str, options: Mapping[str, str]) -> str:
    """The sentence without the options that it excludes, and what it says of them."""

    def drop(match: re.Match[str]) -> str:
        claim = (match["claim"] or "").split()[:1]
        own = [text.casefold() for letter, text in options.items() if letter == (match["name"] or "").strip("().:")]
        # the option itself may be "No, because ..." or "is not ..."
        return match[0] if claim and own and own[0].startswith(claim[0].casefold()) else ""

    return VERDICT.sub(drop, EXCLUSION.sub(drop, sentence))


def final_option(statement: str) -> str:
    """The letter that is concluded last, behind "so", "thus", "leaving"; "" where there is none."""
    return next((match["letter"] for match in reversed(list(CONCLUDES.finditer(statement)))), "")
