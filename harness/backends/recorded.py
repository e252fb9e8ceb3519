"""The backend of models that answered already: it gives back what some other program recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.recorded import formats
from harness.recorded.formats import NoOutputsError, Record
from harness.recorded.pairing import Pairing, pair
from harness.types import Checkpoint, Example, Json, Request, Response, SkilldeltaError

NOT_RECORDED = "no recorded output"


@dataclass(frozen=True)
class Options:
    """`files` hold the outputs; `format` says how, unless their content does; `model` chooses one of several in a file."""

    files: tuple[str, ...] = ()
    format: str = "auto"
    model: str = ""


class Recorded:
    """Gives each request the output recorded for its example.

    A request does not say which example it asks about, and a recorded file rarely has the prompt that we would use.  So
    the loop calls `align` with all examples and requests of a task before it asks for answers.
    """

    block = 1024

    def __init__(self, records: Sequence[Record], skipped: Sequence[str] = ()) -> None:
        self.records, self.skipped = records, skipped
        self.settings: Json = {"backend": "recorded"}
        self.responses: dict[str, Response] = {}
        self.note = ""  # what was left over in the last `align`, for people; "" when everything found its place

    def align(self, task: str, examples: Sequence[Example], requests: Sequence[Request]) -> None:
        """Finds the recorded output of each request; `requests[i]` asks about `examples[i]`.

        Refuses a task for which nothing is recorded.  What else is missing or left over is told in `note`: an example
        without an output gets a response with finish "error", which has no score.
        """
        pairing = pair(self.records, examples, requests)
        if pairing.missing == len(examples):
            raise SkilldeltaError(
                f"None of the {len(self.records)} recorded outputs answers one of the {len(examples)} examples of {task}.\n"
                f"The first recorded one {known_as(self.records[0])}; the first example has the id {examples[0].id} and asks: "
                f"{brief(formats.words(examples[0].row, formats.PROMPTS) or str(requests[0].prompt))}\n"
                f"Outputs find their example by its id, its row, its question or the whole prompt."
            )
        answers = [recorded(request, records) for request, records in zip(requests, pairing.found, strict=True)]
        self.responses = {}
        for request, response in zip(requests, answers, strict=True):
            self.responses.setdefault(request.id, response)
        missing = sum(response.error.startswith(NOT_RECORDED) for response in answers)
        spare = len(self.records) - len(pairing.unused) - (len(answers) - missing)
        self.note = "; ".join((*counted(missing, spare, len(answers)), *told(pairing, examples, self.skipped)))

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        for index, request in enumerate(requests):
            yield index, self.responses.get(request.id, Response(finish="error", error=NOT_RECORDED))


def recorded(request: Request, records: Sequence[Record]) -> Response:
    """The response to draw number `request.draw`, its log-probabilities in the order of the request's choices."""
    if request.draw >= len(records):
        return Response(finish="error", error=f"{NOT_RECORDED} of draw {request.draw + 1}" if records else NOT_RECORDED)
    record = records[request.draw]
    weights = record.response.logprobs
    if not weights or not record.choices:
        return record.response
    order = {choice.strip(): i for i, choice in enumerate(record.choices)}
    if len(order) != len(weights) or set(order) != {choice.strip() for choice in request.choices}:
        return Response(finish="error", error="the recorded log-probabilities are of other choices")
    places = [order[choice.strip()] for choice in request.choices]
    greedy = tuple(record.response.greedy[i] for i in places) if record.response.greedy else ()
    return replace(record.response, logprobs=tuple(weights[i] for i in places), greedy=greedy)


def counted(missing: int, spare: int, requests: int) -> Iterator[str]:
    """Requests without an output, and outputs beyond the draws that were asked for, in words."""
    if missing:
        yield f"{NOT_RECORDED} for {missing} of {requests} requests"
    if spare > 0:
        yield f"further outputs for the same prompts, beyond the draws asked for: {spare}"


def told(pairing: Pairing, examples: Sequence[Example], skipped: Sequence[str]) -> Iterator[str]:
    """What found its example by its place, or found none, in words."""
    if pairing.reworded:
        first = brief(formats.words(examples[pairing.reworded[0]].row, formats.PROMPTS))
        yield f"recorded for another wording of the prompt: {len(pairing.reworded)} (the first: {first})"
    if pairing.unused:
        shared = f", {pairing.ambiguous} of them with a prompt that several examples share" if pairing.ambiguous else ""
        yield f"outputs that answer no example: {len(pairing.unused)}{shared} (the first {known_as(pairing.unused[0])})"
    if skipped:
        yield f"files that hold no outputs: {len(skipped)} (the first: {skipped[0]})"


def known_as(record: Record) -> str:
    asked = record.prompt or formats.words(record.row, formats.PROMPTS)
    return f"has the id {record.id}" if record.id else f"answers: {brief(asked)}"


def brief(text: str, length: int = 80) -> str:
    shown = " ".join(text.split())
    return repr(shown if len(shown) <= length else f"{shown[: length - 1]}…")


def load(checkpoint: Checkpoint, options: Options) -> Recorded:
    """The recorded outputs in `options.files`.  Files that hold none are skipped and named, as long as one holds some."""
    records: list[Record] = []
    empty: dict[str, NoOutputsError] = {}
    for file in options.files:
        try:
            records += formats.read(Path(file), options.format, options.model)
        except NoOutputsError as error:
            empty[file] = error
    if not records:
        raise next(iter(empty.values()), SkilldeltaError("No files with recorded outputs were named."))
    return Recorded(records, [Path(file).name for file in empty])
