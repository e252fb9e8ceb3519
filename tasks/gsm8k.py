"""GSM8K: grade-school word problems; the number that a response states, or its last, counts (Cobbe et al., 2110.14168)."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from harness import data
from harness.data import DataSource
from harness.types import Example, Json, Metric, Request, Response, Score, Task
from tasks.answer_reading.stated_number import read_number

MAX_DIGITS = 4000  # Python refuses to read 4,300: a model that says one digit for ever must not end the scoring
DATA = DataSource(hub="openai/gsm8k", config="main", local="gsm8k/test.jsonl", columns=("question", "answer"))

# The eight exemplars of "Chain-of-Thought Prompting" (Wei et al., arXiv 2201.11903, table 20), worded and framed as in
# open-instruct's eval/gsm, which the study ran: all of them in one user turn, and the answer begun with "Answer:".
EIGHT_SHOTS = """\
Answer the following questions.

Question: There are 15 trees in the grove. Grove workers will plant trees in the grove today. After they are done, \
there will be 21 trees. How many trees did the grove workers plant today?
Answer: There are 15 trees originally. Then there were 21 trees after some more were planted. So there must have been \
21 - 15 = 6. So the answer is 6.

Question: If there are 3 cars in the parking lot and 2 more cars arrive, how many cars are in the parking lot?
Answer: There are originally 3 cars. 2 more cars arrive. 3 + 2 = 5. So the answer is 5.

Question: Leah had 32 chocolates and her sister had 42. If they ate 35, how many pieces do they have left in total?
Answer: Originally, Leah had 32 chocolates. Her sister had 42. So in total they had 32 + 42 = 74. After eating 35, they \
had 74 - 35 = 39. So the answer is 39.

Question: Jason had 20 lollipops. He gave Denny some lollipops. Now Jason has 12 lollipops. How many lollipops did Jason \
give to Denny?
Answer: Jason started with 20 lollipops. Then he had 12 after giving some to Denny. So he gave Denny 20 - 12 = 8. So the \
answer is 8.

Question: Shawn has five toys. For Christmas, he got two toys each from his mom and dad. How many toys does he have now?
Answer: Shawn started with 5 toys. If he got 2 toys each from his mom and dad, then that is 4 more toys. 5 + 4 = 9. So \
the answer is 9.

Question: There were nine computers in the server room. Five more computers were installed each day, from monday to \
thursday. How many computers are now in the server room?
Answer: There were originally 9 computers. For each of 4 days, 5 more computers were added. So 5 * 4 = 20 computers were \
added. 9 + 20 is 29. So the answer is 29.

Question: Michael had 58 golf balls. On tuesday, he lost 23 golf balls. On wednesday, he lost 2 more. How many golf balls \
did he have at the end of wednesday?
Answer: Michael started with 58 golf balls. After losing 23 on tuesday, he had 58 - 23 = 35. After losing 2 more, he had \
35 - 2 = 33 golf balls. So the answer is 33.

Question: Olivia has $23. She bought five bagels for $3 each. How much money does she have left?
Answer: Olivia had 23 dollars. 5 bagels for 3 dollars each will be 5 x 3 = 15 dollars. So she has 23 - 15 dollars left. \
23 - 15 is 8. So the answer is 8.

"""
NO_SHOTS = "Answer the following question.\n\n"
STEP_BY_STEP = "Answer: Let's think step by step."  # zero-shot chain of thought: Kojima et al., arXiv 2205.11916
# A model without a chat format continues with a next question of its own, which is no part of its answer.
STOP = ("\n\nQuestion:",)

# A minus after a word character or a bracket is a subtraction ("20-15"), not a sign; commas only between thousands.
NUMBER = re.compile(r"(?P<sign>(?<![\w)])[-−])?\$?(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)")


def rows(folder: Path | None) -> list[Json]:
    return questions_and_answers(DATA, folder)


def training_rows(folder: Path | None) -> list[Json]:
    return questions_and_answers(replace(DATA, split="train", local="gsm8k/train.jsonl"), folder)


def questions_and_answers(source: DataSource, folder: Path | None) -> list[Json]:
    """{question, answer} of every row, whatever further columns a copy of the data set has."""
    return [{"question": row["question"], "answer": row["answer"]} for row in data.rows(source, folder)]


def ask(example: Example) -> Request:
    prompt = f"{EIGHT_SHOTS}Question: {example.row['question'].strip()}"
    return Request(prompt, prefix="Answer:", max_tokens=512, stop=STOP)


def ask_zero_shot(example: Example) -> Request:
    prompt = f"{NO_SHOTS}Question: {example.row['question'].strip()}"
    return Request(prompt, prefix=STEP_BY_STEP, max_tokens=512, stop=STOP)


def last_number(text: str) -> str:
    """The last number of `text`, as plain digits; "" where there is none: how the study reads an answer."""
    numbers = list(NUMBER.finditer(text))
    return (("-" if numbers[-1]["sign"] else "") + numbers[-1]["digits"].replace(",", "")) if numbers else ""


def exact_value(number: str) -> Fraction | None:
    """The value of plain digits; None for "" and for a number of more digits than Python reads, which is no row's answer."""
    return Fraction(number) if number and len(number) <= MAX_DIGITS else None


def right_answer(example: Example) -> str:
    """The number after "####" in the row's worked answer."""
    return str(example.row["answer"]).rsplit("####", 1)[1].strip().replace(",", "")


def score(example: Example, response: Response) -> Score:
    """1 if the stated number, or the last where none is stated, equals the answer as a number ("18.00" is 18).

    The study takes the last number always: that reading is the metric `study`.  (It compares digits without punctuation, so
    that "12.50" passes for 1250 and "-5" for 5; this does not.)
    """
    right = Fraction(right_answer(example))
    answer, last = read_number(response.text), exact_value(last_number(response.text))
    value = answer.number.value if answer.number else None
    parts = {
        "study": float(last == right),
        "stated": float(answer.is_stated),
        "not_last": float(value != last),
    }
    return Score(float(value == right), extracted=answer.number.text if answer.number else "", parts=parts)


def ideal(example: Example) -> Response:
    return Response(f" {example.row['answer'].rsplit('####', 1)[0]}So the answer is {right_answer(example)}.")


EIGHT_SHOT = Task(
    name="gsm8k",
    skill="reasoning",
    version=4,
    source="Cobbe et al. 2021; prompt and the metric study: open-instruct eval/gsm at the time of arXiv 2406.09279",
    rows=rows,
    training_rows=training_rows,
    ask=ask,
    score=score,
    ideal=ideal,
    metrics=(
        Metric("study", part="study"),
        Metric("stated", part="stated"),
        Metric("not_last", part="not_last", warn_above=0.02, warning="of the answers state another number than the last"),
    ),
    summary="1319 grade-school word problems, 8-shot chain of thought, as in the study",
)
ZERO_SHOT = replace(
    EIGHT_SHOT,
    name="gsm8k_zero_shot",
    source="Cobbe et al. 2021; prompt: Kojima et al. 2022 in the study's frame",
    ask=ask_zero_shot,
    summary="1319 grade-school word problems, chain of thought without exemplars",
)
TASKS = (EIGHT_SHOT, ZERO_SHOT)
