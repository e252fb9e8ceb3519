"""The backend of models that have answered already: it returns the outputs that another program recorded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.interchange import recorded_outputs
from harness.interchange.output_pairing import Pairing, join_prompt, pair_outputs
from harness.interchange.recorded_outputs import NoOutputsError, RecordedOutput
from harness.interchange.whole_conversations import WAY_OUT
from harness.prompts.stopping import cut_at_stop
from harness.types import Checkpoint, Example, Json, Request, Response, SkilldeltaError

NOT_RECORDED = "no recorded output"
MIN_WHOLE, WHOLE_SHARE = 5, 0.9  # texts that begin with their prompts, and their share, from which on a file has such texts
MIN_PROMPT = 16  # characters: an answer may quote a shorter one
MAX_BEFORE = 200  # characters that may stand before it: a system message and the names of turns


@dataclass(frozen=True)
class RecordedOptions:
    """`files` hold the outputs; `format` auto: recognised by their content; `model` chooses one of several in a file."""

    files: tuple[str, ...] = ()
    format: str = "auto"
    model: str = ""


class RecordedModel:
    """Answers each request with the output recorded for its example.

    A request does not say which example it is about, and a recorded file rarely has the prompt that we would use.  So `align`
    gets all examples and requests of a task before `answer` is called.
    """

    block = 1024

    def __init__(self, records: Sequence[RecordedOutput], skipped_files: Sequence[str] = ()) -> None:
        self.records, self.skipped_files = records, skipped_files
        self.settings: Json = {"backend": "recorded"}
        self.responses: dict[str, Response] = {}
        self.note = ""  # of the last `align`: what is missing or left over; "": nothing

    def align(self, task: str, examples: Sequence[Example], requests: Sequence[Request]) -> None:
        """Finds the recorded output of each request; `requests[i]` is about `examples[i]`.

        Raises SkilldeltaError for a task without any recorded output.  An example without one gets a response with finish
        "error", which has no score, and `note` counts it.
        """
        pairing = pair_outputs(self.records, examples, requests)
        if pairing.missing == len(examples):
            question = recorded_outputs.first_text(examples[0].row, recorded_outputs.PROMPTS) or str(requests[0].prompt)
            raise SkilldeltaError(
                f"None of the {len(self.records)} recorded outputs answers one of the {len(examples)} examples of {task}.\n"
                f"The first recorded one {describe_record(self.records[0])}; the first example has the id {examples[0].id} and "
                f"asks: {shorten(question)}\n"
                f"Outputs find their example by its id, its row, its question or the whole prompt."
            )
        refuse_whole_texts(pairing, examples, requests)
        responses = [
            recorded_response(request, answers_first(records))
            for request, records in zip(requests, pairing.outputs, strict=True)
        ]
        self.responses = {}
        for request, response in zip(requests, responses, strict=True):
            self.responses.setdefault(request.id, response)
        missing = sum(response.error.startswith(NOT_RECORDED) for response in responses)
        spare = len(self.records) - len(pairing.leftovers) - (len(responses) - missing)
        counts = describe_counts(missing, spare, len(responses))
        self.note = "; ".join(
            (*counts, *describe_columns(self.records), *describe_leftovers(pairing, examples, self.skipped_files))
        )

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        for index, request in enumerate(requests):
            yield index, self.responses.get(request.id, Response(finish="error", error=NOT_RECORDED))


def refuse_whole_texts(pairing: Pairing, examples: Sequence[Example], requests: Sequence[Request]) -> None:
    """Raises SkilldeltaError where nearly all texts begin with their own prompt, as those of transformers' pipeline do.

    A single answer may repeat its question.  Where a prompt begins a program, its solution holds it rightly.
    """
    wholes = [
        holds_prompt(record, example, request)
        for records, example, request in zip(pairing.outputs, examples, requests, strict=True)
        for record in records[:1]
        if record.response.text and not request.raw and "entry_point" not in example.row
    ]
    if sum(wholes) >= max(MIN_WHOLE, WHOLE_SHARE * len(wholes)):
        raise SkilldeltaError(
            f"{sum(wholes)} of {len(wholes)} recorded texts begin with their own prompt, which would be scored with them: "
            f"{WAY_OUT} (return_full_text=False of transformers' pipeline; of generate() the tokens behind the prompt)."
        )


def holds_prompt(record: RecordedOutput, example: Example, request: Request) -> bool:
    """Whether a text holds its whole prompt at its beginning, behind a system message at most."""
    prompts = (record.prompt, recorded_outputs.first_text(example.row, recorded_outputs.PROMPTS), join_prompt(request))
    beginnings = (record.response.text[: len(prompt) + MAX_BEFORE] for prompt in prompts)
    return any(len(p.strip()) >= MIN_PROMPT and p.strip() in text for p, text in zip(prompts, beginnings, strict=True))


def answers_first(records: Sequence[RecordedOutput]) -> list[RecordedOutput]:
    """Outputs for one prompt, those that failed last: a program that goes on asks again what had failed."""
    return sorted(records, key=lambda record: record.response.finish == "error")


def recorded_response(request: Request, records: Sequence[RecordedOutput]) -> Response:
    """The response to draw number `request.draw`, its log-probabilities in the order of the request's choices."""
    if request.draw >= len(records):
        return Response(finish="error", error=f"{NOT_RECORDED} of draw {request.draw + 1}" if records else NOT_RECORDED)
    record = records[request.draw]
    logprobs = record.response.logprobs
    if not all(map(math.isfinite, logprobs)):
        return Response(finish="error", error="a recorded log-probability is no finite number")
    if not logprobs:
        return cut_text(request, record.response)
    if not record.choices:
        return record.response
    order = {choice.strip(): i for i, choice in enumerate(record.choices)}
    if len(order) != len(logprobs) or set(order) != {choice.strip() for choice in request.choices}:
        return Response(finish="error", error="the recorded log-probabilities are of other choices")
    places = [order[choice.strip()] for choice in request.choices]
    greedy = tuple(record.response.greedy[i] for i in places) if record.response.greedy else ()
    return replace(record.response, logprobs=tuple(logprobs[i] for i in places), greedy=greedy)


def cut_text(request: Request, response: Response) -> Response:
    """The response up to the request's first stop string, as a model's own would have ended there.

    A raw prompt that ends with its line (a function's head) is continued by indented text: what begins at the margin is a
    whole program, which another prompt asked for, and the stops of a continuation ("\\ndef") would leave nothing of it.
    """
    beginning = request.prefix or (request.prompt if request.raw and isinstance(request.prompt, str) else "")
    if beginning.endswith("\n") and not response.text[:1].isspace():
        return response
    text = cut_at_stop(response.text, request.stop)
    return response if text == response.text else replace(response, text=text, finish="stop")


def describe_counts(missing: int, spare: int, requests: int) -> Iterator[str]:
    """Requests without an output, and outputs beyond the draws, in words."""
    if missing:
        yield f"{NOT_RECORDED} for {missing} of {requests} requests"
    if spare > 0:
        yield f"further outputs for the same prompts, beyond the draws asked for: {spare}"


def describe_columns(records: Sequence[RecordedOutput]) -> Iterator[str]:
    """Which column answers were taken from, where others may hold them too, in words."""
    columns = {record.column: record.other_columns for record in records if record.column}
    for column, others in columns.items():
        yield f"the answers are those of the column {column!r}, not of {' or '.join(map(repr, others))}"


def describe_leftovers(pairing: Pairing, examples: Sequence[Example], skipped_files: Sequence[str]) -> Iterator[str]:
    """Outputs that found their example by its place alone, or found none, in words."""
    if pairing.rewordings:
        first = shorten(recorded_outputs.first_text(examples[pairing.rewordings[0]].row, recorded_outputs.PROMPTS))
        yield f"recorded for another wording of the prompt: {len(pairing.rewordings)} (the first: {first})"
    if pairing.leftovers:
        ambiguous = f", {pairing.ambiguous} of them with a prompt that several examples share" if pairing.ambiguous else ""
        first = describe_record(pairing.leftovers[0])
        yield f"outputs that answer no example: {len(pairing.leftovers)}{ambiguous} (the first {first})"
    if skipped_files:
        yield f"files that hold no outputs: {len(skipped_files)} (the first: {skipped_files[0]})"


def describe_record(record: RecordedOutput) -> str:
    question = record.prompt or recorded_outputs.first_text(record.row, recorded_outputs.PROMPTS)
    return f"has the id {record.id}" if record.id else f"answers: {shorten(question)}"


def shorten(text: str, length: int = 80) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= length else f"{line[: length - 1]}…")


def load(checkpoint: Checkpoint, options: RecordedOptions) -> RecordedModel:
    """The recorded outputs in `options.files`.  Files that hold none are skipped_files and named, as long as one holds some."""
    records: list[RecordedOutput] = []
    empty: dict[str, NoOutputsError] = {}
    for file in options.files:
        try:
            records += recorded_outputs.read_recorded(Path(file), options.format, options.model)
        except NoOutputsError as error:
            empty[file] = error
    if not records:
        nothing = f"No row of {', '.join(options.files)} holds an answer." if options.files else "No file of outputs was named."
        raise next(iter(empty.values()), SkilldeltaError(nothing))
    return RecordedModel(records, [Path(file).name for file in empty])
