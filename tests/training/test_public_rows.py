"""Rows of public data sets, as they are published: read as what they say, or refused or counted with a reason."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from harness.training import datasets
from harness.training.conversations import parse_conversation, parse_prompt
from harness.training.labelled_answers import parse_labels
from harness.training.messages import UnusableRowError
from harness.training.parse_settings import ParseSettings
from harness.training.preferences import parse_pair
from harness.training.settings import TrainerSettings
from harness.training.source_rows import raw_rows
from harness.types import Message, SkilldeltaError

SETTINGS = ParseSettings(source="rows.jsonl")
ASK, RIGHT, WRONG = "Which planet is the largest?", "Jupiter is the largest planet.", "It is Mars, I think."


def turns(answer: str, role: str = "role", content: str = "content", **more: Any) -> list[dict[str, Any]]:
    return [{role: "user", content: ASK, **more}, {role: "assistant", content: answer, **more}]


PAIRS: dict[str, dict[str, Any]] = {
    "helpsteer 2": {
        "prompt": ASK, "response_1": WRONG, "response_2": RIGHT, "preference_strength": 3, "split": "train",
        "preference_statement": "The second is right.", "all_preferences_unprocessed": [{"strength": 3, "why": "it is so"}],
    },
    "helpsteer 3": {
        "context": turns("")[:1], "response1": RIGHT, "response2": WRONG, "overall_preference": -2, "domain": "general",
        "individual_preference": [{"score": -2, "reasoning": "The first is right."}],
    },
    "safe rlhf": {
        "prompt": ASK, "response_0": WRONG, "response_1": RIGHT, "better_response_id": 1, "safer_response_id": 0,
        "is_response_0_safe": True, "is_response_1_safe": True,
    },
    "nectar": {
        "prompt": f"\n\nHuman: {ASK}\n\nAssistant: ", "turns": 1, "source": ["lmsys-chat-1m"],
        "answers": [{"answer": WRONG, "model": "m", "rank": 4.0}, {"answer": RIGHT, "model": "n", "rank": 1.0}],
    },
    "stack exchange": {"qid": 7, "question": ASK, "response_j": RIGHT, "response_k": WRONG, "metadata": ["https://x.org"]},
    "argilla's names": {
        "instruction": ASK, "chosen_response": RIGHT, "rejected_response": WRONG, "chosen_avg_rating": 5.0, "source": "x",
    },
    "the arena's table of 2024": {
        "id": 3, "prompt": json.dumps([ASK]), "response_a": json.dumps([RIGHT]), "response_b": json.dumps([WRONG]),
        "winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0, "model_a": "one model", "model_b": "other",
    },
    "a winner with a blank": {"prompt": ASK, "response_a": WRONG, "response_b": RIGHT, "winner": "Response B"},
    "magpie, which repeats its texts": {
        "uuid": "1", "instruction": ASK, "responses": [RIGHT, WRONG], "chosen": turns(RIGHT), "rejected": turns(WRONG),
    },
    "distilabel": {
        "prompt": ASK, "generations": [RIGHT, WRONG], "ratings": [5, 1], "chosen": turns(RIGHT), "rejected": turns(WRONG),
        "distilabel_metadata": {"raw_output_text_generation_0": "some raw output"}, "chosen_model": "m",
    },
    "capybara, of which the chosen one is the conversation": {
        "conversation": [{"input": ASK, "output": RIGHT}], "prompt": ASK, "original_response": RIGHT,
        "chosen": turns(RIGHT), "rejected": turns(WRONG), "rating_chosen": 5,
    },
    "a conversation that ends with an answer": {"messages": turns(RIGHT), "chosen": RIGHT, "rejected": WRONG},
    "a conversation that waits for one": {"question": ASK, "messages": turns("")[:1], "chosen": RIGHT, "rejected": WRONG},
    "orca pairs with what their labeller was asked": {
        "input": ASK, "chosen": RIGHT, "rejected": WRONG, "generations": [RIGHT, WRONG], "order": ["gpt4", "chatgpt"],
        "labelling_model": "gpt-4", "labelling_prompt": turns("Which of the two is better?"), "rating": [9.0, 2.0],
        "raw_labelling_response": "9 2\nThe first is right.", "rationale": "The first is right.", "status": "swapped",
        "original_chosen": WRONG, "original_rejected": RIGHT, "chosen_score": 9.0, "in_gsm8k_train": False,
    },
    "capybara with the prompts of its generators": {
        "prompt": ASK, "generation_prompt": [f"You are an AI.\n{ASK}"], "raw_generation_responses": [f"{WRONG} "],
        "new_generations": [WRONG], "chosen": turns(RIGHT), "rejected": turns(WRONG), "original_response": RIGHT,
    },
    "openai's": {
        "input": {"messages": turns("")[:1], "tools": [], "parallel_tool_calls": True},
        "preferred_output": turns(RIGHT)[1:], "non_preferred_output": turns(WRONG)[1:],
    },
    "ms-swift's": {"messages": turns(RIGHT), "rejected_response": WRONG},
    "ms-swift's with two conversations": {"messages": turns(RIGHT), "rejected_messages": turns(WRONG)},
    "content parts with the nulls of a table": {
        "prompt": [{"role": "user", "content": [{"type": "text", "text": ASK, "image": None}]}], "images": None,
        "chosen": turns(RIGHT)[1:], "rejected": turns(WRONG)[1:],
    },
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_a_public_pair_says_what_its_authors_meant(name: str) -> None:
    pair = parse_pair(PAIRS[name], SETTINGS)
    assert pair.prompt == (Message("user", ASK),)
    assert (pair.chosen, pair.rejected) == ((Message("assistant", RIGHT),), (Message("assistant", WRONG),))
    policy_prompt = parse_prompt(PAIRS[name], SETTINGS).prompt
    assert ASK in (policy_prompt if isinstance(policy_prompt, str) else policy_prompt[-1].content)


def test_a_grade_of_two_answers_is_a_margin_and_none_a_tie() -> None:
    assert parse_pair(PAIRS["helpsteer 3"], SETTINGS).margin == 2
    with pytest.raises(UnusableRowError, match="tied votes"):
        parse_pair(PAIRS["helpsteer 3"] | {"overall_preference": 0}, SETTINGS)


def test_rounds_of_the_arena_are_one_conversation_up_to_the_first_difference() -> None:
    row = PAIRS["the arena's table of 2024"] | {
        "prompt": json.dumps(["Hello.", ASK]),
        "response_a": json.dumps(["Hello!", WRONG]),
        "response_b": json.dumps(["Hello!", RIGHT]),
        "winner_model_a": 0,
        "winner_model_b": 1,
    }
    pair = parse_pair(row, SETTINGS)
    assert [m.content for m in pair.prompt if isinstance(m, Message)] == ["Hello.", "Hello!", ASK]
    assert pair.chosen == (Message("assistant", RIGHT),)
    for missing in ({"response_b": '["Hello!", null]'}, {"response_b": '["Hello!"]'}):
        with pytest.raises(UnusableRowError, match="missing turn"):
            parse_pair(row | missing, SETTINGS)
    with pytest.raises(UnusableRowError, match="tied votes"):  # and the list of its questions is no prompt
        parse_prompt(row | {"winner_model_b": 0}, SETTINGS)


CONVERSATIONS: dict[str, dict[str, Any]] = {
    "magpie": {"uuid": "1", "instruction": ASK, "response": RIGHT, "conversations": turns(RIGHT, "from", "value")},
    "capybara": {"source": "x", "conversation": [{"input": ASK, "output": RIGHT}]},
    "wildchat": {"conversation": turns(RIGHT, language="English", redacted=False, country="Chile"), "language": "English"},
    "a mixture's empty columns": {"messages": None, "completion": None, "question": ASK, "response": RIGHT, "text": None},
    "a completion that repeats the prompt": {"prompt": turns("")[:1], "completion": turns(RIGHT)},
    "a placeholder for no input": {"instruction": ASK, "input": "<noinput>", "output": RIGHT},
    "metamath, whose question was another one": {
        "type": "MATH_Rephrased",
        "query": ASK,
        "original_question": "What is the largest planet?",
        "response": RIGHT,
    },
    "math with its levels": {"problem": ASK, "level": "Level 5", "type": "Counting & Probability", "solution": RIGHT},
    "cohere": {"messages": [{"role": "User", "content": ASK}, {"role": "Chatbot", "content": RIGHT}]},
    "hermes": {"id": "1", "conversations": turns(RIGHT, "from", "value"), "subcategory": "Two words", "task": "Name planets"},
    "names that are the roles": {"messages": [message | {"name": message["role"]} for message in turns(RIGHT)]},
    "numina": {"source": "x", "problem": ASK, "solution": RIGHT, "messages": turns(RIGHT)},
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_public_conversation_says_what_its_authors_meant(name: str) -> None:
    row = parse_conversation(CONVERSATIONS[name], SETTINGS)
    assert (row.prompt, row.answer) == ((Message("user", ASK),), (Message("assistant", RIGHT),))


LABELLED: dict[str, dict[str, Any]] = {
    "trl": {"prompt": turns("")[:1], "completion": turns(RIGHT)[1:]},
    "llama-factory": {"messages": turns(RIGHT)},
    "a completion with its question": {"prompt": ASK, "completion": turns(RIGHT)},
    "a question and its answer": {"question": ASK, "answer": RIGHT},
}
SPELLINGS = [
    (True, False), (1, 0), (1.0, 0.0), ("1.0", "0.0"), (1, -1), ("+1", "-1"), ("True", "False"), ("good", "bad"),
    ("chosen", "rejected"), ("Yes", "No"), ("thumbs up", "Thumbs-Down"), ("desirable", "undesirable"),
]  # fmt: skip


@pytest.mark.parametrize("name", LABELLED)
@pytest.mark.parametrize("column", ["label", "kto_tag"])
def test_labels_are_read_in_every_spelling(name: str, column: str) -> None:
    for spelling in SPELLINGS:
        rows = [parse_labels(LABELLED[name] | {column: label}, ParseSettings())[0] for label in spelling]
        assert [row.is_desirable for row in rows] == [True, False]
        assert {(row.prompt, row.answer) for row in rows} == {((Message("user", ASK),), (Message("assistant", RIGHT),))}
    for label in (float("nan"), "maybe", 2, [1], None):
        with pytest.raises(UnusableRowError, match="neither true nor false"):
            parse_labels(LABELLED[name] | {column: label}, ParseSettings())


REFUSED: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (
        parse_conversation,
        {"message_id": "1", "parent_id": None, "text": ASK, "role": "prompter", "lang": "en"},
        "single messages of conversations.*Join each path",
    ),
    (parse_conversation, {"message_id": "2", "parent_id": "1", "text": RIGHT}, "single messages of conversations"),
    (parse_pair, {"task_description": "Name a planet.", "question": ASK, "chosen": RIGHT, "rejected": WRONG}, "'task_desc"),
    (parse_pair, {"prompt": ASK, "passage": "木星是太阳系最大的行星", "chosen": RIGHT, "rejected": WRONG}, "'passage' is for"),
    (parse_pair, {"prompt": ASK, "hint": "Think of gas.", "scene": "At night.", "chosen": RIGHT, "rejected": WRONG},
     "'hint', 'scene' are for.*--ignore-columns hint,scene if"),
    (parse_pair, {"prompt": ASK, "initial_reason_steps": "Step 1: it is round.", "chosen": RIGHT, "rejected": WRONG},
     "'initial_reason_steps' is for"),
    (parse_pair, {"generation_prompt": "Ask of planets.", "chosen": turns(RIGHT)[1:], "rejected": turns(WRONG)[1:]},
     "'generation_prompt' is for"),
    (parse_pair, {"prompt": ASK, "original_article": "They are round.", "chosen": RIGHT, "rejected": WRONG}, "'original_art"),
    (parse_conversation, {"task": "Translate this into French.", "input": ASK, "output": RIGHT}, "'task' is for"),
    (parse_conversation, {"question": ASK, "rationale": "It is a gas giant.", "answer": RIGHT}, "'rationale' is for"),
    (parse_pair, {"prompt": ASK, "images": ["a b"], "chosen": RIGHT, "rejected": ["a b"]}, "neither text nor"),
]  # fmt: skip


@pytest.mark.parametrize(("parse", "row", "reason"), REFUSED, ids=[reason for *_, reason in REFUSED])
def test_what_would_be_lost_is_refused_with_every_column_at_once(
    parse: Callable[..., Any], row: dict[str, Any], reason: str
) -> None:
    with pytest.raises((SkilldeltaError, UnusableRowError), match=reason):
        parse(row, SETTINGS)


UNUSABLE: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (parse_pair, {"prompt": " \n", "chosen": RIGHT, "rejected": WRONG}, "question without words"),
    (parse_pair, {"prompt": None, "chosen": "It is so.", "rejected": "It is not."}, "no prompt"),
    (parse_pair, {"question": "", "input": "", "chosen": "It is so.", "rejected": "It is not."}, "no prompt"),
    (parse_pair, {"prompt": [{"role": "user", "content": ""}], "chosen": RIGHT, "rejected": WRONG}, "question without words"),
    (parse_pair, {"messages": turns("It is Venus."), "chosen": RIGHT, "rejected": WRONG}, "ends with another answer"),
    (parse_pair, PAIRS["safe rlhf"] | {"response_1": turns("x")[:1]}, "the assistant does not begin"),
    (parse_pair, PAIRS["orca pairs with what their labeller was asked"] | {"status": "tie"}, "tied ratings"),
    (parse_pair, PAIRS["openai's"] | {"tools": [{"name": "one"}]}, "tools next to the input and in it"),
    (parse_pair, {"messages": turns("")[:1], "rejected_response": WRONG}, "no chosen answer"),
    (parse_conversation, {"instruction": "", "output": RIGHT}, "no prompt"),
    *(
        (parse_conversation, {"prompt": ASK, "completion": WRONG, "label": label}, "label is false")
        for label in (False, 0, "-1")
    ),
    (parse_conversation, {"messages": turns(WRONG), "kto_tag": "undesirable"}, "label is false"),
    (parse_conversation, {"messages": [{"role": "user", "content": " "}, *turns(RIGHT)[1:]]}, "question without words"),
    (parse_conversation, {"prompt": "Another?", "completion": turns(RIGHT)}, "the assistant does not begin"),
    (parse_prompt, {"messages": [{"role": "user", "content": "\t"}]}, "question without words"),
    (parse_conversation, {"messages": turns(RIGHT)[1:]}, "no prompt"),
    (parse_conversation, {"prompt": [], "completion": RIGHT}, "no prompt"),
    (parse_conversation, {"completion": turns(RIGHT)}, "no prompt"),
    (parse_conversation, {"messages": turns(RIGHT)[1:], "tools": []}, "no prompt"),
    (parse_labels, {"messages": turns(RIGHT)[1:], "label": True}, "no prompt"),
    (parse_pair, {"conversation_a": turns(RIGHT)[1:], "conversation_b": turns(WRONG)[1:], "winner": "model_a"}, "no prompt"),
    (parse_prompt, {"chosen": turns(RIGHT)[1:], "rejected": turns(WRONG)[1:]}, "no prompt"),
    (parse_prompt, {"messages": turns(RIGHT)[1:]}, "no prompt"),
]


@pytest.mark.parametrize("prompt", [{}, {"prompt": None}, {"prompt": ""}, {"prompt": []}, {"question": ""}, {"messages": []}])
@pytest.mark.parametrize("chat", [False, True])
def test_answers_of_messages_to_nothing_are_counted(prompt: dict[str, Any], chat: bool) -> None:
    """A chat template opens such a conversation with its own system prompt, which would be learnt."""
    pair = {"chosen": turns(RIGHT)[1:], "rejected": turns(WRONG)[1:]}
    for parse in (parse_pair, parse_labels, parse_prompt):
        with pytest.raises(UnusableRowError, match="no prompt"):
            parse(prompt | pair, ParseSettings(chat=chat))


def test_whole_texts_are_no_answers_of_a_chat() -> None:
    """Texts that share no line, question or label are learnt whole; as messages they would answer nothing."""
    row = {"chosen": "The sun is hot and far.", "rejected": "The sun is cold and near."}
    assert parse_pair(row, ParseSettings()).chosen == row["chosen"]
    with pytest.raises(UnusableRowError, match="no prompt"):
        parse_pair(row, ParseSettings(chat=True))


def test_a_system_prompt_alone_may_ask() -> None:
    system = {"role": "system", "content": "Greet the user."}
    pair = {"chosen": [system, *turns(RIGHT)[1:]], "rejected": [system, *turns(WRONG)[1:]]}
    assert parse_pair(pair, ParseSettings()).prompt == (Message("system", "Greet the user."),)
    assert parse_conversation({"messages": [system, *turns(RIGHT)[1:]]}, ParseSettings()).prompt


@pytest.mark.parametrize(("parse", "row", "reason"), UNUSABLE, ids=[f"{i}: {r[2]}" for i, r in enumerate(UNUSABLE)])
def test_a_row_that_asks_nothing_or_repeats_another_prompt_is_counted(
    parse: Callable[..., Any], row: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UnusableRowError, match=reason):
        parse(row, SETTINGS)


def test_an_implicit_prompt_ends_after_a_question_in_any_script() -> None:
    for ask, right, wrong in (("最大的行星是哪个？", "木星。", "火星。"), ("ما أكبر كوكب؟", " المشتري.", " المريخ.")):
        pair = parse_pair({"chosen": ask + right, "rejected": ask + wrong}, SETTINGS)
        assert (pair.prompt, pair.chosen, pair.rejected) == (ask, right, wrong)


def write_lines(file: Path, rows: list[dict[str, Any]]) -> TrainerSettings:
    file.write_text("\n".join(map(json.dumps, rows)))
    return TrainerSettings(data=(str(file),))


def test_numbers_that_may_mean_two_things_are_refused_once_the_source_is_read(tmp_path: Path) -> None:
    row = {"prompt": ASK, "response_a": RIGHT, "response_b": WRONG}
    votes = {n: [row | {"winner": winner} for winner in winners] for n, winners in enumerate(([0, 1], [1, 2, 0], [1, 2]))}
    with pytest.raises(SkilldeltaError, match=r"winners of .* are 0 and 1"):
        datasets.load_mixture(write_lines(tmp_path / "a.jsonl", votes[0]), parse_pair)
    for n in (1, 2):
        rows = datasets.load_mixture(write_lines(tmp_path / "b.jsonl", votes[n]), parse_pair).rows
        assert [pair.chosen[0] for pair in rows] == [Message("assistant", RIGHT), Message("assistant", WRONG)]
    labels = [{"prompt": ASK, "completion": RIGHT, "label": label} for label in (1, 0, -1)]
    with pytest.raises(SkilldeltaError, match="0 is neither desirable nor undesirable"):
        datasets.load_mixture(write_lines(tmp_path / "c.jsonl", labels), parse_labels)
    assert len(datasets.load_mixture(write_lines(tmp_path / "d.jsonl", labels[::2]), parse_labels).rows) == 2


def test_the_same_rows_come_from_every_kind_of_file(tmp_path: Path) -> None:
    rows = [{"prompt": ASK, "completion": RIGHT * 8000, "label": "1"}, {"prompt": "¿Cuál?", "completion": WRONG, "label": "0"}]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    packed = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(packed, "zstd") as stream:
        stream.write(lines)
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    table = "prompt,completion,label\n" + "".join(f'{r["prompt"]},"{r["completion"]}",{r["label"]}\n' for r in rows)
    files = {
        "rows.jsonl": lines,
        "rows.jsonl.gz": gzip.compress(lines),
        "rows.jsonl.zst": packed.getvalue().to_pybytes(),
        "rows.json": json.dumps(rows, indent=1).encode(),
        "rows.csv": table.encode(),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert all(list(raw_rows(str(tmp_path / name))[0]) == rows for name in (*files, "rows.parquet"))
    for name in ("rows.jsonl.zst", "rows.parquet"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-9])
        with pytest.raises(SkilldeltaError, match=r"cannot be (?:read|unpacked)"):
            raw_rows(str(tmp_path / name))
