"""MATH-500: competition problems with expressions as answers (Hendrycks et al., 2103.03874; Lightman et al., 2305.20050)."""

from __future__ import annotations

import re
from pathlib import Path

from harness import data
from harness.data import DataSource
from harness.types import Example, Json, Metric, Request, Response, Score, Task
from tasks.answer_reading import math_equality
from tasks.answer_reading.run_on import cut_at_question, cut_at_turn
from tasks.answer_reading.stated_number import FIELD

# The 500 problems of the test set that Lightman et al. held out: prm800k/math_splits/test.jsonl of github.com/openai/prm800k.
DATA = DataSource(
    hub="HuggingFaceH4/MATH-500",
    local="math/test.jsonl",
    columns=("problem", "solution", "answer", "subject", "level", "unique_id"),
)
# Qwen2.5-Math's instruction (arXiv 2409.12122), which most reports of MATH-500 have used since.
INSTRUCTION = "Please reason step by step, and put your final answer within \\boxed{{}}.\n\n{problem}"
STOP = ("\n\nProblem:",)  # a model without a chat format continues with a next problem of its own

BOX = re.compile(r"\\(?:boxed|fbox)\s*(?=\{)")
BARE_BOX = re.compile(r"\\boxed\s+([^\s{$]+)")  # "\boxed 5", as some of the authors' solutions have it
FINAL = re.compile(r"\b(?:final\s+)?answer[\"'*_]*\s*(?:is\b|[:=])", re.IGNORECASE)
SENTENCE_END = re.compile(r"(?<!\\)[.!?](?=\s|$)|\n")
# Units and layout that change no value, which math-verify does not know; Hendrycks et al. leave out percent and degrees too.
UNITS = re.compile(
    r"""\\(?:text|textrm|mathrm|mbox)\s*\{\s*(?:\\*%|per\s?cent)\s*\} | \\*% | (?<=[\d\s)}])per\s?cent\b
    | (?:\^\s*\{?\s*\\circ\b\s*\}?|[°º˚]|\\(?:text)?degree\b) \s* (?:\\(?:text|textrm|mathrm|mbox)\s*\{\s*[CF]\s*\}|[CF]\b)
    | [°º˚] | \^?\\(?:text)?degree\b | \^\s*\{\s*\\(?:text|mathrm)\s*\{o\}\s*\}
    | [€£¥¢] | \\[bB]igg?[lrm]?(?![A-Za-z])""",
    re.VERBOSE,
)
NUMBER_IN_TEXT = re.compile(
    r"(?<![\w}])\\(?:text|textrm|mathrm|mbox|textbf|mathbf)\s*\{\s*([-−+]?\.?\d[^{}]*)\}"
)  # "\text{5 cm}"
INDEX_ROOT = re.compile(r"(\\sqrt\s*\[[^\[\]{}]*\])\s*(\w)")  # "\sqrt[3]2"
END_CHARACTERS = 600  # of a response without a box: what the library searches for a last expression
MAX_CHARACTERS = 1000  # no row's answer is nearly as long


def rows(folder: Path | None) -> list[Json]:
    return [{column: row[column] for column in DATA.columns} for row in data.rows(DATA, folder)]


def ask(example: Example) -> Request:
    return Request(INSTRUCTION.format(problem=example.row["problem"].strip()), max_tokens=2048, stop=STOP)


def last_box(text: str) -> str:
    """What stands in the last box of a text; "" where there is none, or none that is closed."""
    contents = [content for match in BOX.finditer(text) if (content := text_in_braces(text, match.end()))]
    return (contents or BARE_BOX.findall(text) or [""])[-1].strip()


def text_in_braces(text: str, start: int) -> str:
    """The text between the brace at `start` and the one that closes it; "" where nothing does within MAX_CHARACTERS."""
    depth = 0
    for place in range(start, min(len(text), start + MAX_CHARACTERS + 2)):
        if text[place - 1] != "\\":
            depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return text[start + 1 : place]
    return ""


def answer_field(text: str) -> str:
    """What stands in the last answer field: "answer": "...", or <answer>...</answer>; "" where there is none."""
    for match in reversed(list(FIELD.finditer(text))):
        content = match["quoted"] or match["bare"] or match["tagged"] or ""
        return content.replace("\\\\", "\\").strip() if match["quoted"] else content.strip()
    return ""


def answer_part(text: str) -> str:
    """The part of a response that holds its answer: a box, a field, the sentence of the last "answer is", or the end."""
    text = cut_at_turn(text)
    first = min((match.end() for match in (BOX.search(text), FINAL.search(text)) if match), default=len(text))
    text = cut_at_question(text, lambda before: first <= len(before))
    if content := last_box(text) or answer_field(text):
        return f"\\boxed{{{content[:MAX_CHARACTERS]}}}"
    if marks := list(FINAL.finditer(text)):
        sentence = SENTENCE_END.split(text[marks[-1].end() :].lstrip(" \t\n*_:\"'"), maxsplit=1)[0]
        return f"The final answer is {sentence.rstrip(' *_')[:MAX_CHARACTERS]}."
    return text[-END_CHARACTERS:]


def without_units(text: str) -> str:
    """The text without percent signs, degrees and the like, whose numbers stand in mathematics: "10\\%" is "10", never 0.1."""
    text = UNITS.sub("", re.sub(r"(?<!\\)~", " ", text))
    return INDEX_ROOT.sub(r"\1{\2}", NUMBER_IN_TEXT.sub(r"\1", text))


def plain(expression: str) -> str:
    """An expression without units, blanks and signs of layout: what two writings of one answer share."""
    text = re.sub(r"\\(?:left|right|displaystyle|!|,|;|:)(?![A-Za-z])|\\(?=[\s$])|[\s$]", "", without_units(expression))
    text = re.sub(r"\\(?:text|mathrm|textbf|mathbf|mbox)\{([^{}]*)\}", r"\1", text).removesuffix(".")
    return text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")


def score(example: Example, response: Response) -> Score:
    """1 if the boxed expression, or else the one that ends the response, equals the row's answer.

    No score where math-verify cannot decide it within its limits.
    """
    right, part = str(example.row["answer"]), answer_part(response.text)
    content = last_box(part)
    parts = {"boxed": float(bool(last_box(response.text)))}
    if not part.strip():
        return Score(0.0, parts=parts)
    if content and plain(content) == plain(right):
        return Score(1.0, extracted=content, parts=parts)
    equality = math_equality.compare_expressions(without_units(f"\\boxed{{{right}}}"), without_units(part))
    if equality.is_equal is None:
        return Score(None, extracted=content, parts=parts, why=math_equality.UNDECIDED)
    return Score(float(equality.is_equal), extracted=content or equality.extracted, parts=parts)


def ideal(example: Example) -> Response:
    return Response(f"The answer follows at once: $\\boxed{{{example.row['answer']}}}$.")


TASKS = (
    Task(
        name="math",
        skill="reasoning",
        version=2,
        source="Hendrycks et al. 2021, the 500 of Lightman et al. 2023; prompt: Qwen2.5-Math; equality: math-verify",
        rows=rows,
        ask=ask,
        score=score,
        ideal=ideal,
        group=lambda example: str(example.row["subject"]),
        metrics=(
            Metric(
                "boxed",
                part="boxed",
                warn_below=0.5,
                warning="of the answers only have a box, as they were told to: of the others the last expression counts",
            ),
        ),
        prepare=math_equality.check_installed,
        conditions=lambda options: {"rules": math_equality.library_versions()},
        summary="500 competition problems (MATH-500), zero-shot chain of thought, the boxed expression; mean over problems",
    ),
)
