"""AlpacaEval: annotations.json, the preference for each answer over the reference's.  Their mean is the win rate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.grouping import group_by
from harness.interchange.alpaca_eval_annotations import COLUMNS, read_annotations
from harness.interchange.imported_log import UNKNOWN, ExampleRows, ImportedLog, RefusedLog, describe_inputs, describe_task
from harness.interchange.untrusted_files import UntrustedFile, finite_number
from harness.judge_binding import NO_VERDICT, parse_preference
from harness.types import Json, Metric, Response, Sample, Score

VERDICTS = {0.0: "worse", 0.5: "as good", 1.0: "better"}


def holds_scores(file: UntrustedFile) -> bool:
    return file.suffix == ".json" and set(file.first) >= set(COLUMNS)


def read_scores(files: Sequence[UntrustedFile]) -> Iterator[ImportedLog | RefusedLog]:
    """A task for each model, annotator and reference in a file."""
    path = files[0].path
    default_model = path.name.partition(".")[0]
    annotations = group_by(
        read_annotations(path),
        lambda row: (
            str(row.get("generator_2") or default_model),
            str(row["annotator"]),
            str(row.get("generator_1") or UNKNOWN),
        ),
    )
    for (model, annotator, reference), rows in annotations.items():
        yield make_annotator_log(model, annotator, reference, rows)


def make_annotator_log(model: str, annotator: str, reference: str, annotations: Sequence[Json]) -> ImportedLog:
    rows = ExampleRows()
    samples = [make_sample(rows.add({"instruction": each["instruction"]}), each) for each in annotations]
    summary, metrics = f"win rate against {reference}, to {annotator}", [Metric("discrete_win_rate", "won")]
    task = describe_task(f"alpaca_eval:{annotator}", UNKNOWN, f"AlpacaEval, {annotator}", summary, metrics)
    inputs = describe_inputs(samples, None, {"reference": reference, "annotator": annotator})
    source = {"task": "alpaca_eval", "filter": annotator, "metric": "win_rate"}
    task = replace(task, skill="instruction following")
    return ImportedLog(model, task, inputs, {"backend": "alpaca_eval"}, samples, rows.by_id, source=source)


def make_sample(example: str, annotation: Json) -> Sample:
    """The score is the preference for the answer, 0..1; the metric `won` counts it as 0, 0.5 or 1."""
    preference = parse_preference(finite_number(annotation["preference"]))
    text = str(annotation["output_2"])
    if preference is None or not 0 <= preference <= 1:
        return Sample(example, UNKNOWN, Response(text), Score(None, why=NO_VERDICT))
    win = 0.5 if preference == 0.5 else float(preference > 0.5)
    score = Score(preference, VERDICTS[win], {"won": win, "length": len(text)})
    return Sample(example, UNKNOWN, Response(text), score)
