"""BIG-Bench Hard: SUBTASK[_few_shot_template_0-255000].json, {"outputs": [{input, prediction, target}, ...]}.

The input is the whole prompt; the question is what follows the last "Q: " in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.interchange.recorded_answers import parse_answers
from harness.interchange.recorded_outputs import RecordedOutput
from harness.interchange.untrusted_files import UntrustedFile

QUESTION = re.compile(r".*\n\nQ: (.*?)(?:\nA:[^\n]*)?\s*", re.DOTALL)
AFTER_SUBTASK = re.compile(r"_few_shot_template.*|\.json(\.gz)?$")


def holds_outputs(file: UntrustedFile) -> bool:
    outputs = file.content.get("outputs") if isinstance(file.content, dict) else None
    return isinstance(outputs, list) and all({"input", "prediction", "target"} <= set(output) for output in outputs)


def read_outputs(file: UntrustedFile, model: str) -> Iterator[RecordedOutput]:
    """The predictions of one subtask, which the file's name tells."""
    subtask = AFTER_SUBTASK.sub("", file.name)
    for output in file.content["outputs"]:
        match = QUESTION.fullmatch(output["input"])
        row = {"subtask": subtask, "input": match[1] if match else output["input"], "target": output["target"]}
        for response in parse_answers(output["prediction"], {}):
            yield RecordedOutput(response, row=row, prompt=output["input"])
