"""EvalPlus's inputs, of its own files and of its test code as the Hub has it, in which they stand as literals.

They are read and not run, so that a program is judged by its outputs either way.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable
from typing import Any

from harness.sandbox.problems import encode_arguments
from harness.types import Json, SkilldeltaError

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


def json_inputs(row: Json) -> dict[str, list[str]]:
    """The inputs of a row of EvalPlus's own files as JSON text, which holds infinities and numbers of any size."""
    return {name: [json.dumps(each) for each in row[name] or ()] for name in ("base_input", "plus_input")}


def call_groups(row: Json, convert: Callable[[list[Any]], list[Any]] = list) -> list[tuple[str, list[str]]]:
    """The calls of a row, (group, arguments as the sandbox has them); [] for a row that has test code instead.

    `convert` gives the arguments of JSON the types that the function takes.
    """
    if "plus_input" in row:
        return [
            (kind, [encode_arguments(convert(json.loads(each))) for each in row[f"{kind}_input"]]) for kind in ("base", "plus")
        ]
    return [("plus", list(map(encode_arguments, parse_inputs(row["inputs"]))))] if "inputs" in row else []
