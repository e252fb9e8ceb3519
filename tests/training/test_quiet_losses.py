"""What a row of real data may lose without a word: roles in a text, calls of tools, prompts of a completion's own, labels."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness import registry
from harness.training import datasets
from harness.training.conversations import parse_conversation, parse_prompt
from harness.training.encoding_losses import SpecialTokens, describe_losses
from harness.training.labelled_answers import parse_labels
from harness.training.messages import UnusableRowError
from harness.training.needs import read_needs
from harness.training.parse_settings import ParseSettings
from harness.training.preferences import parse_pair
from harness.training.preview import preview_rows
from harness.training.settings import TrainerSettings
from harness.training.task_rewards import refuse_test_rows
from harness.training.tokenization import Encoder, load_tokenizer
from harness.types import Message, SkilldeltaError
from tests.support.training_toy import TEMPLATE

ASK, RIGHT, WRONG = "Which planet is the largest?", "Jupiter is the largest planet.", "It is Mars, I think."
DIALOGUE = f"\n\nHuman: Hello.\n\nAssistant: Hello!\n\nHuman: {ASK}\n\nAssistant:"
TURNS = (Message("user", "Hello."), Message("assistant", "Hello!"), Message("user", ASK))
SETTINGS = ParseSettings(source="rows.jsonl")


@pytest.mark.parametrize("ending", ["", " ", "\n"])
def test_a_dialogue_in_a_prompt_keeps_its_roles_wherever_turns_are_needed(ending: str) -> None:
    prompt, answer = DIALOGUE + ending, [{"role": "assistant", "content": RIGHT}]
    other = [{"role": "assistant", "content": WRONG}]
    assert parse_pair({"prompt": prompt, "chosen": answer, "rejected": other}, SETTINGS).prompt == TURNS
    assert parse_conversation({"prompt": prompt, "completion": answer}, SETTINGS).prompt == TURNS
    chat = ParseSettings(chat=True)
    assert parse_pair({"prompt": prompt, "chosen": RIGHT, "rejected": WRONG}, chat).prompt == TURNS
    assert parse_prompt({"prompt": prompt}, chat).prompt == TURNS
    with_system = parse_pair({"system": "Be terse.", "prompt": prompt, "chosen": RIGHT, "rejected": WRONG}, SETTINGS)
    assert with_system.prompt == (Message("system", "Be terse."), *TURNS)
    assert parse_pair({"prompt": prompt, "chosen": RIGHT, "rejected": WRONG}, SETTINGS).prompt == prompt  # plain, as in TRL


def test_a_completion_with_a_prompt_of_its_own_is_refused() -> None:
    notes = {"model": "one model", "principle": "be of help", "critique": "It is good.", "fine-grained_score": 4.0}
    completions = [
        {"response": text, "overall_score": score, "annotations": {"truth": {"Rating": score, "Rationale": "It is so."}}}
        | notes
        for text, score in ((RIGHT, 9), (WRONG, 2))
    ]
    assert parse_pair({"instruction": ASK, "completions": completions}, SETTINGS).chosen == (Message("assistant", RIGHT),)
    row = {"instruction": ASK, "completions": [c | {"custom_system_prompt": "Answer as a pirate."} for c in completions]}
    with pytest.raises(SkilldeltaError, match="custom_system_prompt"):
        parse_pair(row, SETTINGS)
    assert parse_pair(row, ParseSettings(ignore=("custom_system_prompt",))).rejected == (Message("assistant", WRONG),)


TOOL = {"type": "function", "function": {"name": "one", "parameters": {}}}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "one", "arguments": "{}"}}]}
WRITES_TOOLS = "{% if tools %}{{ tools | tojson }}{% endif %}"
WRITES_CALLS = TEMPLATE.replace(
    "m['content']", "m['content'] + (m.tool_calls[0].function.name ~ m.tool_calls[1:] if m.tool_calls else '')"
)
RENDERED: list[tuple[str, bool, str]] = [
    (TEMPLATE, False, "tool calls"),  # the question holds the short name of the function
    (WRITES_TOOLS + TEMPLATE, True, "tool calls"),  # the list of tools holds it
    (WRITES_CALLS, True, "the tools"),  # the call holds it
    (WRITES_CALLS, False, ""),
    (WRITES_TOOLS + WRITES_CALLS, True, ""),
]


@pytest.mark.parametrize(("template", "has_tools", "lost"), RENDERED)
def test_a_name_elsewhere_in_the_text_hides_no_lost_call_or_tool(template: str, has_tools: bool, lost: str, tiny: str) -> None:
    messages = [{"role": "user", "content": "one ?"}, CALL, {"role": "tool", "content": "two"}]
    row = {"messages": [*messages, {"role": "assistant", "content": "three"}]} | ({"functions": [TOOL]} if has_tools else {})
    conversation = parse_conversation(row, SETTINGS)
    encoder = Encoder(load_tokenizer(tiny), 512)
    encoder.tokenizer.chat_template = template
    (tokens,) = encoder.encode_answers([(conversation.prompt, conversation.answer)])
    assert (tokens is None) == bool(lost)
    assert encoder.losses == ({f"the chat template leaves out {lost}": 1} if lost else {})


def as_file(file: Path, rows: list[dict[str, Any]]) -> tuple[str, ...]:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return (str(file),)


def test_an_empty_row_is_counted(tmp_path: Path) -> None:
    data = as_file(tmp_path / "rows.jsonl", [{}, {"prompt": ASK, "chosen": RIGHT, "rejected": WRONG}])
    assert datasets.load_mixture(TrainerSettings(data=data), parse_pair).report[0]["skipped"] == {"an empty row": 1}


def test_labelled_answers_and_pairs_are_shown_with_their_labels(tmp_path: Path, tiny: str) -> None:
    labels: list[dict[str, Any]] = [
        {"prompt": "one ?", "completion": text, "label": label} for text, label in (("two", 1), ("three", 0))
    ]
    pair = {"prompt": "one ?", "chosen": "two", "rejected": "three"}
    for rows, second in ((labels, "row 2"), ([pair], "row 1")):
        names = ["row 1, desirable", f"{second}, undesirable"]
        config = TrainerSettings(model=tiny, data=as_file(tmp_path / "rows.jsonl", rows), out=str(tmp_path / "run"))
        shown = list(preview_rows(config, read_needs("kto"), 2))
        assert [text.split(":")[0] for text in shown] == [f"--- {name}" for name in names]
        assert ["⟦two" in text for text in shown] == [True, False]


def test_a_question_of_the_test_is_found_at_any_depth_of_a_row() -> None:
    question = "How many of the nine planets that we knew are larger than the Earth?"
    row = {"question": "What is two and two?", "answer": "4", "notes": {"turns": [{"content": question.upper()}]}}
    with pytest.raises(SkilldeltaError, match="1 questions of the test"):
        refuse_test_rows(registry.task("gsm8k"), [row], [{"question": question, "answer": "4"}])
    refuse_test_rows(registry.task("gsm8k"), [row | {"notes": None}], [{"question": question, "answer": "4"}])


NAMED = [{"role": "user", "name": "alice", "content": "one alice ?"}, {"role": "assistant", "content": "two"}]


def test_who_speaks_is_written_or_counted_or_passed_over_by_name(tiny: str) -> None:
    writes_names = TEMPLATE.replace("m['content']", "(m.name or '') + m['content']")
    for template, ignored, lost in ((TEMPLATE, (), 1), (writes_names, (), 0), (TEMPLATE, ("name",), 0)):
        row = parse_conversation({"messages": NAMED}, ParseSettings(ignore=ignored))
        encoder = Encoder(load_tokenizer(tiny), 512)
        encoder.tokenizer.chat_template = template
        (tokens,) = encoder.encode_answers([(row.prompt, row.answer)])
        assert (tokens is None) == bool(lost)
        assert sum(encoder.losses.values()) == lost
        assert all("leaves out the name of a message (--ignore-columns name" in fault for fault in encoder.losses)


def test_a_message_that_spells_a_special_token_is_said_and_encoded_as_in_scoring(tiny: str) -> None:
    encoder = Encoder(load_tokenizer(tiny), 512)
    end = encoder.tokenizer.eos_token
    for question, answer, count in (
        ("one ?", "two", 0),
        (f"one {end} ?", "two", 1),
        ("one ?", f"tw{end}o", 1),
        ("one ?", f"two{end}", 0),
    ):
        encoder.losses.clear()
        prompt: Any = (Message("user", question),)
        (tokens,) = encoder.encode_answers([(prompt, (Message("assistant", answer),))])
        assert tokens is not None
        assert encoder.losses == ({f"special token in a message: {end}": 1} if count else {})
        (asked,) = encoder.encode_prompts([prompt])
        assert list(asked) == encoder.windowed.encode(encoder.render(prompt, (), opening=True))
        assert tokens.ids[: len(asked)] == asked
    assert not describe_losses({}, TrainerSettings())
    assert describe_losses({f"special token in a message: {end}": 2, "overlong": 1}, TrainerSettings()) == [
        "Left out: 1 x longer than --max-length 1024 tokens.",
        f"Messages spell special tokens: 2 x {end}.  They are encoded as these tokens, as servers and scoring do: such a text "
        "may end its own turn.",
    ]


def test_a_tokenizer_without_an_end_spells_its_other_tokens(tiny: str) -> None:
    tokenizer = load_tokenizer(tiny)
    end, tokenizer.eos_token = tokenizer.eos_token, None
    prompt: Any = (Message("user", "one ?"),)
    assert tokenizer.eos_token is None
    assert SpecialTokens(tokenizer).find_special(prompt, "two") == ""
    assert SpecialTokens(tokenizer).find_special(prompt, f"two {end}") == end, "no end of its own is expected there"


def test_turns_marked_by_nemo_are_turns() -> None:
    prompt = f"Hello.<extra_id_1>Assistant\nHello!\n<extra_id_1>User\n{ASK}"
    turns = (Message("user", "Hello."), Message("assistant", "Hello!"), Message("user", ASK))
    pair = parse_pair({"prompt": prompt, "response_1": WRONG, "response_2": RIGHT, "preference_strength": 1}, SETTINGS)
    assert (pair.prompt, pair.chosen) == (turns, (Message("assistant", RIGHT),))
    assert parse_conversation({"prompt": prompt, "response": RIGHT}, SETTINGS).prompt == turns


OPTIONS = ("Which is it?", "one thing", "another thing", "neither of them")
MARKS = (("- {}", "(A) {}"), ("{}", "* {}"), ("1. {}", "2) {}"))


@pytest.mark.parametrize("mark", [mark for marks in MARKS for mark in marks])
def test_a_question_of_the_test_is_found_with_its_options_in_any_order_and_marks(mark: str) -> None:
    stem, *options = OPTIONS
    written = "\n".join([stem, *map("- {}".format, options)])
    other = "\n".join([f"Question: {stem.upper()}", *map(mark.format, options[::-1]), "Answer: (A)"])
    for row in ({"question": other}, {"messages": [{"content": f"Is it?\nAnswer: no\n\n{other}"}]}):
        with pytest.raises(SkilldeltaError, match="1 questions of the test"):
            refuse_test_rows(registry.task("gsm8k"), [row], [{"question": written}])
    refuse_test_rows(
        registry.task("gsm8k"), [{"question": other.replace("another thing", "two things")}], [{"question": written}]
    )
    inline = f"{stem} (a) {options[1]} (b) {options[0]} (c) {options[2]}"
    with pytest.raises(SkilldeltaError, match="1 questions of the test"):
        refuse_test_rows(registry.task("gsm8k"), [{"question": inline}], [{"question": written}])


def test_a_question_with_some_other_words_is_refused_unless_the_test_is_made_from_a_template() -> None:
    question = "We knew nine planets.  How many of them are larger than the Earth and have at least one moon each?"
    near = {"question": question.replace("We knew nine", "I knew eight")}
    with pytest.raises(SkilldeltaError, match="1 questions of the test"):
        refuse_test_rows(registry.task("gsm8k"), [near], [{"question": question}])
    template = [{"question": question}, {"question": question.replace("nine", "seven").replace("We", "They")}]
    refuse_test_rows(registry.task("gsm8k"), [near], template)
    with pytest.raises(SkilldeltaError, match="1 questions of the test"):
        refuse_test_rows(registry.task("gsm8k"), [{"question": question}], template)


@pytest.mark.parametrize(
    "answers", [("yes", "no"), ([{"role": "assistant", "content": "yes"}], [{"role": "assistant", "content": "no"}])]
)
def test_a_prompt_that_ends_with_the_assistant_asks_for_no_answer(answers: tuple[Any, Any]) -> None:
    """A template would write two turns of the assistant behind each other, which no model meets when it is asked."""
    begun = [{"role": "user", "content": "Is it true?"}, {"role": "assistant", "content": "Sure,"}]
    rows = [{"prompt": begun, "chosen": answers[0], "rejected": answers[1]}]
    if not isinstance(answers[0], str):
        rows.append({"chosen": [*begun, *answers[0]], "rejected": [*begun, *answers[1]]})
    for row in rows:
        with pytest.raises(UnusableRowError, match="the prompt ends with the assistant"):
            parse_pair(row, ParseSettings())
    with pytest.raises(UnusableRowError, match="the prompt ends with the assistant"):
        parse_labels({"prompt": begun, "completion": answers[0], "label": True}, ParseSettings())
    called = [begun[0], {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": {}}]}]
    result = {"role": "tool", "content": "7"}
    assert parse_pair({"prompt": [*called, result], "chosen": answers[0], "rejected": answers[1]}, ParseSettings())
