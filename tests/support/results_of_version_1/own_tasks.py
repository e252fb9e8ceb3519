"""Three small tasks of a user: a generated answer, a likeliest choice with exemplars, an answer that a judge grades."""

from harness.types import Example, Judge, Message, Metric, Request, Response, Score, Task


def score_sum(example: Example, response: Response) -> Score:
    """1 for the right number as the last word; an answer without a number is not extracted."""
    words = [word for word in response.text.split() if word.isdigit()]
    if not words:
        return Score(0.0)
    return Score(float(words[-1] == str(example.row["sum"])), words[-1], {"digits": float(len(words[-1]))})


def ask_choice(example: Example) -> Request:
    examples = "".join(f"{row['animal']}: {row['sound']}\n" for row in example.fewshot)
    prompt = (Message("system", "Answer with a sound."), Message("user", f"{examples}{example.row['animal']}:"))
    return Request(prompt, prefix=" It says ", choices=(example.row["sound"], "moo"), truncate=True)


def score_choice(example: Example, response: Response) -> Score:
    right = response.logprobs.index(max(response.logprobs)) == 0
    return Score(float(right), example.row["sound"] if right else "moo")


def grade(judge: Judge, example: Example, response: Response) -> Score:
    return Score(judge.grade(example.row["question"], response.text, "a reference"))


TASKS = (
    Task(
        name="own_sums",
        skill="reasoning",
        version=2,
        source="made up",
        rows=lambda folder: (
            [{"a": a, "b": b, "sum": a + b} for a in (1, 2, 3) for b in (1, 2, 3, 4)] + [{"a": 1, "b": 1, "sum": 2}]
        ),
        ask=lambda e: Request(f"{e.row['a']} + {e.row['b']} = ?", max_tokens=8, stop=("\n",)),
        score=score_sum,
        ideal=lambda e: Response(str(e.row["sum"])),
        group=lambda e: f"from {e.row['a']}",
        cluster=lambda e: f"{min(e.row['a'], e.row['b'])} and {max(e.row['a'], e.row['b'])}",
        metrics=(Metric("digits", "digits"), Metric("digits of 3", "digits", group="from 3", lower_is_better=True)),
        draws=2,
        summary="small sums",
    ),
    Task(
        name="own_sounds",
        skill="factuality",
        version=1,
        source="made up",
        rows=lambda folder: [
            {"animal": a, "sound": s} for a, s in (("cat", "miaow"), ("dog", "woof"), ("duck", "quack"), ("pig", "oink"))
        ],
        ask=ask_choice,
        score=score_choice,
        ideal=lambda e: Response(logprobs=(-1.0, -2.0)),
        chance=0.5,
        fewshot=lambda folder: {"": [{"animal": "sheep", "sound": "baa"}]},
    ),
    Task(
        name="own_advice",
        skill="instruction following",
        version=1,
        source="made up",
        rows=lambda folder: [{"question": f"How do I boil {n} eggs?"} for n in range(1, 7)],
        ask=lambda e: Request(e.row["question"], max_tokens=16, temperature=0.5),
        score=lambda e, r: Score(None, why="no judge"),
        ideal=lambda e: Response("In water."),
        judge="pairwise:scripted:any",
        judged=grade,
    ),
    Task(
        name="own_echo",
        skill="reasoning",
        version=1,
        source="made up",
        rows=lambda folder: [{"word": f"w{n}"} for n in range(40)],
        ask=lambda e: Request(e.row["word"], raw=True),
        score=lambda e, r: Score(float(r.text == e.row["word"]), r.text),
        ideal=lambda e: Response(e.row["word"]),
    ),
)
