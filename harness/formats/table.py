"""A table with a row for each output: JSON lines, JSON or CSV of {id or prompt, response}.

So write google's IFEval (responses), human-eval and EvalPlus (samples), AlpacaEval (outputs and annotations), XSTest
(completions), open-instruct (predictions), and this program (samples.jsonl).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from harness.interchange.recorded_outputs import IDS, OUTPUTS, PROMPTS, RecordedOutput, choose_model, first_text, first_value
from harness.interchange.untrusted_files import UntrustedFile
from harness.types import Finish, Json, Response

ORDER = 1  # after the programs' own formats, whose rows may have such columns too


def holds_outputs(file: UntrustedFile) -> bool:
    return bool(file.rows) and first_value(file.rows[0], IDS + PROMPTS) is not None and any(n in file.rows[0] for n in OUTPUTS)


def read_outputs(file: UntrustedFile, model: str) -> Iterator[RecordedOutput]:
    """The outputs of all rows, or of those whose column `generator` names the model."""
    generators = [str(row["generator"]) for row in file.rows if "generator" in row]
    generator = choose_model(model, generators, file.path) if generators and model else ""
    for row in file.rows:
        output = first_value(row, OUTPUTS)
        if output is None or (generator and row.get("generator") != generator):
            continue
        for response in parse_responses(output, row):
            yield RecordedOutput(response, first_text(row, IDS), row, first_text(row, PROMPTS))


def parse_responses(output: Any, row: Json) -> Iterator[Response]:
    """A text, several texts (draws), or log-probabilities."""
    finish: Finish = row["finish"] if row.get("finish") in get_args(Finish) else "stop"
    error = str(row.get("error") or "")
    if isinstance(output, list) and output and all(isinstance(value, (int, float)) for value in output):
        yield Response(logprobs=tuple(map(float, output)), finish=finish, error=error)
    else:
        for text in output if isinstance(output, list) else [output]:
            yield Response(str(text), finish=finish, error=error)
