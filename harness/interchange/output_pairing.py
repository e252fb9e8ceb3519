"""Which recorded output answers which example: by id, by the row's content, by its question, by the whole prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from harness.interchange.recorded_outputs import IDS, PROMPTS, RecordedOutput, first_text
from harness.json_values import storable
from harness.types import Example, Json, Request, digest

SIMILARITY = 0.8  # of their words: two wordings of one prompt


@dataclass(frozen=True)
class Pairing:
    """For each example the outputs recorded for it, in their order; and what was left over."""

    outputs: tuple[tuple[RecordedOutput, ...], ...]
    leftovers: tuple[RecordedOutput, ...]
    rewordings: tuple[int, ...]  # examples whose output answers another wording of the prompt
    ambiguous: int  # outputs whose prompt several different examples share

    @property
    def missing(self) -> int:
        return sum(not records for records in self.outputs)


def pair_outputs(records: Sequence[RecordedOutput], examples: Sequence[Example], requests: Sequence[Request]) -> Pairing:
    """Finds each record's example; `requests[i]` is what `examples[i]` is asked.

    A name that examples of different content share tells nothing; a record with no other name is left over.  Examples of the
    same content have their outputs in common.
    """
    index = index_examples(examples, requests)
    contents = [digest(e.row) for e in examples]
    members_by_record: dict[int, set[int]] = {}
    ambiguous = 0
    for number, record in enumerate(records):
        candidates = [index[name] for name in list_names(record.row, meaningful_id(record), record.prompt) if name in index]
        unambiguous = [members for members in candidates if len({contents[m] for m in members}) == 1]
        if unambiguous:
            members_by_record[number] = unambiguous[0]
        ambiguous += bool(candidates and not unambiguous)
    examples_by_record = find_reworded(records, examples, members_by_record)
    outputs: list[list[RecordedOutput]] = [[] for _ in examples]
    for number, members in sorted({**members_by_record, **{n: {m} for n, m in examples_by_record.items()}}.items()):
        for member in members:
            outputs[member].append(records[number])
    other_records = tuple(r for n, r in enumerate(records) if n not in members_by_record and n not in examples_by_record)
    return Pairing(tuple(map(tuple, outputs)), other_records, tuple(sorted(examples_by_record.values())), ambiguous)


def index_examples(examples: Sequence[Example], requests: Sequence[Request]) -> dict[str, set[int]]:
    """Every name that an example goes by, with the examples that bear it."""
    index: dict[str, set[int]] = {}
    for number, (example, request) in enumerate(zip(examples, requests, strict=True)):
        identity = first_text(example.row, IDS)
        names = [f"id {example.id}", *list_names(example.row, identity, join_prompt(request))]
        if identity.isdigit() and "test_list" in example.row:  # a row of MBPP, which others call MBPP/17 or Mbpp/17
            names.append(f"id mbpp/{identity}")
        for name in names:
            index.setdefault(name, set()).add(number)
    return index


def meaningful_id(record: RecordedOutput) -> str:
    """The record's id.  A bare number next to a prompt is none: it may count lines of whatever file it came from."""
    return "" if record.id.isdigit() and (record.prompt or first_text(record.row, PROMPTS)) else record.id


def list_names(row: Json, identity: str, prompt: str) -> Iterator[str]:
    """What an example or an output goes by, the surest first."""
    if identity and not identity.isdigit():
        yield f"id {identity}"
        if identity.lower().startswith("mbpp/"):
            yield f"id {identity.lower()}"
    if row:
        yield f"row {digest(storable(row))}"
    question = first_text(row, PROMPTS)
    if question and isinstance(row.get("choices"), list):
        yield f"question {collapse_space(question)} {collapse_space(' '.join(map(str, row['choices'])))}"
    for text in (question, prompt):
        if text:
            yield f"question {collapse_space(text)}"
    if identity.isdigit():
        yield f"id {identity}"


def join_prompt(request: Request) -> str:
    """The prompt as one text."""
    return request.prompt if isinstance(request.prompt, str) else "\n".join(m.content for m in request.prompt)


def collapse_space(text: str) -> str:
    """Text without differences of white space."""
    return " ".join(text.split())


def find_reworded(
    records: Sequence[RecordedOutput], examples: Sequence[Example], members_by_record: dict[int, set[int]]
) -> dict[int, int]:
    """Leftover records that stand between the records of an example's neighbours and ask nearly the same.

    Benchmarks are corrected now and then: an output recorded before has its row's place in the file, and another wording.
    """
    paired_places = {m for members in members_by_record.values() for m in members}
    places_by_record = {}
    for number in sorted(set(range(len(records))) - set(members_by_record)):
        places = {m + step for n, step in ((number - 1, 1), (number + 1, -1)) for m in members_by_record.get(n, ())}
        if len(places) == 1 and (place := places.pop()) in range(len(examples)) and place not in paired_places:
            prompt, question = records[number].prompt, first_text(examples[place].row, PROMPTS)
            if SequenceMatcher(None, prompt.split(), question.split(), autojunk=False).ratio() >= SIMILARITY:
                places_by_record[number] = place
    return places_by_record
