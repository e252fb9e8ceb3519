"""The regular expressions in an adapter's settings, which peft matches with the name of every module of the base.

Such an expression can take longer than anybody waits: it is tried in a process that can be ended.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harness.bounded_work import DONE, FAILED, SECONDS, try_in_child
from harness.integrity import BrokenWeightsError
from harness.visible_text import printable

PLAIN = re.compile(r"[\w.-]*")  # a name, which is an expression that cannot hurt
SETTINGS = ("target_modules", "exclude_modules", "layers_pattern", "rank_pattern", "alpha_pattern")


def require_bounded_patterns(config: Any, names: Iterable[str]) -> None:
    """BrokenWeightsError for an expression that does not end on the modules' `names`.  One that is none is left to peft."""
    patterns = list(find_patterns(config))
    if not patterns:
        return
    modules = list(names)

    def match() -> Iterator[str]:
        for pattern in patterns:
            expressions = [re.compile(form) for form in (pattern, rf".*\.({pattern})$", rf".*\.{pattern}\.(\d+)\.")]
            for name in modules:
                yield from ("" for expression in expressions if expression.fullmatch(name) or expression.match(name))

    if try_in_child(match, SECONDS) not in (DONE, FAILED):
        names = ", ".join(printable(pattern)[:80] for pattern in patterns)
        raise BrokenWeightsError(f"adapter_config.json holds an expression that does not end in {SECONDS:.0f} s: {names}")


def find_patterns(config: Any) -> Iterator[str]:
    """The settings' expressions that are more than a name.  In a list of target modules there are names alone."""
    for setting in SETTINGS:
        value = getattr(config, setting, None)
        is_list = isinstance(value, Mapping) or (setting == "layers_pattern" and isinstance(value, list))
        for pattern in value if is_list and value else [value]:
            if isinstance(pattern, str) and not PLAIN.fullmatch(pattern):
                yield pattern
