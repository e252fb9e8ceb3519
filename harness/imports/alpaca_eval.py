"""AlpacaEval: annotations.json, the preference for each answer over the reference's.  Their mean is the win rate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.interchange.log import UNKNOWN, Log, Refused, Rows, asked, task
from harness.interchange.reading import File, an_object, number, whole
from harness.judges.assignment import NO_VERDICT, preferred
from harness.types import Json, Metric, Response, Sample, Score, SkilldeltaError

COLUMNS = {"instruction", "output_2", "preference", "annotator"}
READ_AS = {0.0: "worse", 0.5: "as good", 1.0: "better"}


def known(file: File) -> bool:
    return file.kind == ".json" and set(file.first) >= COLUMNS


def read(files: Sequence[File]) -> Iterator[Log | Refused]:
    """A task for each model, annotator and reference in a file."""
    path = files[0].path
    rows = whole(path)
    if not isinstance(rows, list):
        raise SkilldeltaError(f"{path} holds no list of annotations.")
    parts: dict[tuple[str, str, str], list[Json]] = {}
    for place, row in enumerate(rows):
        one = an_object(row, f"{path}, annotation {place}")
        if missing := COLUMNS - set(one):
            raise SkilldeltaError(f"{path}, annotation {place}, has no {', '.join(sorted(missing))}: is the file whole?")
        key = (str(one.get("generator_2") or UNKNOWN), str(one["annotator"]), str(one.get("generator_1") or UNKNOWN))
        parts.setdefault(key, []).append(one)
    for (model, annotator, reference), found in parts.items():
        yield log(model if model != UNKNOWN else path.name.partition(".")[0], annotator, reference, found)


def log(model: str, annotator: str, reference: str, found: Sequence[Json]) -> Log:
    rows = Rows()
    made = [sample(rows.add({"instruction": one["instruction"]}), one) for one in found]
    facts = task(
        f"alpaca_eval:{annotator}", UNKNOWN, f"AlpacaEval, {annotator}", f"win rate against {reference}, to {annotator}",
        [Metric("discrete_win_rate", "won")],
    )  # fmt: skip
    settings = {"reference": reference, "annotator": annotator}
    facts |= {"skill": "instruction following"}
    return Log(
        model, facts, asked(made, None, settings), {"backend": "alpaca_eval"}, made, rows.kept,
        source={"task": "alpaca_eval", "filter": annotator, "metric": "win_rate"},
    )  # fmt: skip


def sample(example: str, one: Json) -> Sample:
    value = preferred(number(one["preference"]))
    text = str(one["output_2"])
    if value is None or not 0 <= value <= 1:
        return Sample(example, UNKNOWN, Response(text), Score(None, why=NO_VERDICT))
    won = 0.5 if value == 0.5 else float(value > 0.5)
    return Sample(example, UNKNOWN, Response(text), Score(value, READ_AS[won], {"won": won, "length": len(text)}))
