"""EvalPlus's test code as the Hub has it: the inputs of every call and the tolerance stand in it as literals.

They are read and not run, so that a program can be judged by its outputs, as with EvalPlus's own files.
"""

from __future__ import annotations

import ast
import math
import re
from typing import Any

from harness.types import SkilldeltaError

INPUTS = re.compile(r"^[ \t]*inputs = (\[.*\])[ \t]*$", re.MULTILINE)
LOOP = re.compile(r"^[ \t]*for i, .*enumerate\(.*:[ \t]*$", re.MULTILINE)
# assertion(output, expected, TOLERANCE), or a distance that is compared with it
TOLERANCE = re.compile(r"(?:, |<= )([\d.]+(?:e-?\d+)?)\)?\s*\Z")
NUMBERS = {"inf": math.inf, "nan": math.nan}


class NumberNames(ast.NodeTransformer):
    """Puts the numbers that have no literal in place of their names."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(NUMBERS[node.id]) if node.id in NUMBERS else node


def read_inputs(test: str, problem: str) -> tuple[str, float]:
    """(the source of the list of inputs, the tolerance of outputs); SkilldeltaError where the code holds no such list.

    The list is one line of up to megabytes: the code is searched, as parsing all of it takes minutes for a benchmark.
    """
    inputs, loops = INPUTS.findall(test), LOOP.split(test)
    if not inputs or len(loops) < 2:
        raise SkilldeltaError(f"The test code of {problem} holds no list `inputs` and no loop over it: is it EvalPlus's?")
    tolerance = TOLERANCE.search(loops[-1])
    if not tolerance:
        raise SkilldeltaError(f"The test code of {problem} compares outputs in an unknown way: {loops[-1].strip()[:200]}")
    return inputs[-1], float(tolerance[1])


def parse_inputs(source: str) -> list[list[Any]]:
    """The arguments of every call."""
    tree = NumberNames().visit(ast.parse(source, mode="eval"))
    return [list(arguments) for arguments in ast.literal_eval(tree)]
