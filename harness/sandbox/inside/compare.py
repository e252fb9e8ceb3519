"""Whether an output is right, for benchmarks that compare outputs with a reference's: EvalPlus's rules.

Source of the rules: evalplus 0.3.1, evalplus/eval (exact first; then floats within atol + 1e-7 |reference|, where a float
answer has atol 1e-6 at least; types must agree for a tolerant comparison), and its special oracles, by name of the function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

RTOL = 1e-7
FLOAT_ATOL = 1e-6


def is_floats(value: Any) -> bool:
    """A float, or a list or tuple (not empty) of nothing else."""
    if isinstance(value, float):
        return True
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, float) for item in value)


def is_close(out: Any, reference: Any, atol: float) -> bool:
    """|out - reference| <= atol + RTOL |reference|, number by number; TypeError for anything but numbers.

    An infinity and a NaN are close to themselves alone: with them the tolerance would be infinite, or the distance none.
    """
    if isinstance(reference, list | tuple) and isinstance(out, list | tuple):
        return len(out) == len(reference) and all(is_close(o, e, atol) for o, e in zip(out, reference, strict=True))
    if out == reference or is_nan(reference):
        return bool(out == reference) or is_nan(out)
    tolerance = atol + RTOL * abs(reference)
    return bool(tolerance < math.inf and abs(out - reference) <= tolerance)


def is_nan(value: Any) -> bool:
    return isinstance(value, float | complex) and value != value


def is_equal(out: Any, reference: Any) -> bool:
    """Equal, where a NaN equals a NaN."""
    if isinstance(reference, list | tuple | dict) and type(out) is type(reference) and len(out) == len(reference):
        if isinstance(reference, dict):
            return all(key in out and is_equal(out[key], value) for key, value in reference.items())
        return all(map(is_equal, out, reference))
    return bool(out == reference) or (is_nan(out) and is_nan(reference))


def equal_or_close(out: Any, reference: Any, atol: float) -> bool:
    """Exactly equal, or where a tolerance applies the same type and close."""
    return apply_tolerance(out, reference, atol, is_equal(out, reference))


def apply_tolerance(out: Any, reference: Any, atol: float, exact: bool) -> bool:
    if atol == 0 and is_floats(reference):
        atol = FLOAT_ATOL
    if exact or atol == 0:
        return exact
    return type(out) is type(reference) and is_close(out, reference, atol)


def is_root(arguments: Sequence[Any], out: Any, reference: Any, atol: float) -> bool:
    """HumanEval/32: any zero of the polynomial will do."""
    return bool(abs(sum(c * math.pow(out, i) for i, c in enumerate(arguments[0]))) <= atol)


def compare_sets(arguments: Sequence[Any], out: Any, reference: Any, atol: float) -> bool:
    """The order and number of items do not matter."""
    return apply_tolerance(out, reference, atol, set(out) == set(reference))


def compare_matches(arguments: Sequence[Any], out: Any, reference: Any, atol: float) -> bool:
    """The reference says whether there is a match; an output that is no bool counts as a match unless it is None."""
    match = out if isinstance(out, bool) else out is not None
    return apply_tolerance(out, reference, atol, match == reference)


def accept_anything(arguments: Sequence[Any], out: Any, reference: Any, atol: float) -> bool:
    """Mbpp/164 as EvalPlus 0.3.1 has it: every output is right (its reference differs from its own tests)."""
    return True


def compare_or_zero(arguments: Sequence[Any], out: Any, reference: Any, atol: float) -> bool:
    """Mbpp/295: the text does not say whether a number divides itself, so 0 is right as well."""
    return equal_or_close(out, reference, atol) or bool(out == 0)


def compare_surface(arguments: Sequence[Any], out: Any, reference: Any, atol: float) -> bool:
    """Mbpp/581: the height of a pyramid may be read as the distance from base to apex."""
    base, height = arguments
    alternative = round(base**2 + 2 * base * math.sqrt((base / 2) ** 2 + height**2))
    return apply_tolerance(out, reference, atol, bool(out == reference or abs(out - alternative) <= atol))


def compare_digits(arguments: Sequence[Any], out: Any, reference: Any, atol: float) -> bool:
    """Mbpp/558: numbers of different length may be with_zeros with zeros in front."""
    first, second = str(arguments[0]), str(arguments[1])
    width = max(len(first), len(second))
    with_zeros = sum(abs(int(a) - int(b)) for a, b in zip(first.zfill(width), second.zfill(width), strict=True))
    return apply_tolerance(out, reference, atol, out in (reference, with_zeros))


Oracle = Callable[[Sequence[Any], Any, Any, float], bool]
ORACLES: dict[str, Oracle] = {
    "": lambda arguments, out, reference, atol: equal_or_close(out, reference, atol),
    "root": is_root,
    "same set": compare_sets,
    "found or not": compare_matches,
    "anything": accept_anything,
    "or zero": compare_or_zero,
    "surface": compare_surface,
    "digits": compare_digits,
}
