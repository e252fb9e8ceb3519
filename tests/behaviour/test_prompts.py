"""A user's file of prompts: every format that training reads, one prompt a line, and what is no prompt."""

import json
from pathlib import Path

import pytest

from harness.behaviour.prompts import NOT_SCORED, messages_of, prompt_task, read_prompts
from harness.behaviour.questions import question_text
from harness.data import examples
from harness.types import Message, Response, SkilldeltaError

USER = (Message("user", "Why?"),)


def write(folder: Path, name: str, *rows: object) -> Path:
    path = folder / name
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("row", "turns"),
    [
        ({"prompt": "Why?"}, USER),
        ({"question": "Why?", "answer": "Because."}, USER),
        ({"instruction": "Why?", "input": "Say it.", "output": "x"}, (Message("user", "Why?\n\nSay it."),)),
        ({"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]}, USER),
        ({"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]}, USER),
        ({"system": "Be short.", "prompt": "Why?"}, (Message("system", "Be short."), *USER)),
        (
            {"messages": [{"role": r, "content": c} for r, c in (("user", "Hi"), ("assistant", "Hello"), ("user", "Why?"))]},
            (Message("user", "Hi"), Message("assistant", "Hello"), *USER),
        ),
    ],
)
def test_every_format_is_a_conversation_that_ends_with_the_user(
    row: dict[str, object], turns: tuple[Message, ...], tmp_path: Path
) -> None:
    file = read_prompts(write(tmp_path, "p.jsonl", row))
    assert messages_of(file.rows[0]) == turns
    assert question_text(file.rows[0]) == "\n".join(t.content for t in turns if t.role == "user")


def test_a_text_file_has_a_prompt_a_line_and_each_is_asked_once(tmp_path: Path) -> None:
    file = read_prompts(write(tmp_path, "mine.txt", "Why?", "", "How?", "  Why?  "))
    assert [messages_of(row)[0].content for row in file.rows] == ["Why?", "How?"]
    assert file.faults == {"the same prompt again": 1}
    assert len(read_prompts(tmp_path / "mine.txt", limit=1).rows) == 1


def test_rows_without_a_prompt_are_counted_by_their_fault(tmp_path: Path) -> None:
    tool = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
    user = {"role": "user", "content": "Do it."}
    rows = [
        {"prompt": "Why?"}, {"prompt": ""}, {"prompt": "   "},
        {"messages": [user, tool, {"role": "tool", "content": "4"}, user]},
        {"messages": [{"role": "user", "content": [{"type": "image", "url": "x"}]}]},
    ]  # fmt: skip
    file = read_prompts(write(tmp_path, "p.jsonl", *rows))
    assert len(file.rows) == 1
    assert sum(file.faults.values()) == 4


@pytest.mark.parametrize(
    ("name", "rows", "said"),
    [
        ("none.jsonl", [{"prompt": ""}], "holds no prompt: 1 x no prompt"),
        ("empty.txt", [""], "holds no prompt: it is empty"),
        ("odd.jsonl", [{"label": 3}], "no known format of prompts"),
        ("more.jsonl", [{"prompt": "Why?", "hint": "a hint of words"}], "--ignore-columns hint"),
        ("list.jsonl", ["[1]"], "no object"),
        ("broken.jsonl", ["{"], "cannot be read"),
    ],
)
def test_a_file_that_is_no_file_of_prompts_is_refused(name: str, rows: list[object], said: str, tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match=said):
        read_prompts(write(tmp_path, name, *rows))
    assert read_prompts(write(tmp_path, "more.jsonl", {"prompt": "Why?", "hint": "a hint"}), ["hint"]).rows


def test_a_column_to_ignore_that_no_row_has_is_refused(tmp_path):
    file = write(
        tmp_path,
        "p.jsonl",
        {"prompt": "Why?", "hint": "a hint of words"},
        {"messages": [{"role": "user", "content": "How?", "note_of_mine": "words of a note"}]},
    )
    with pytest.raises(
        SkilldeltaError, match=r"--ignore-columns hnit: no row .* has it.  The columns are: prompt, hint, messages"
    ):
        read_prompts(file, ["hint", "hnit", "note_of_mine"])
    assert len(read_prompts(file, ["hint", "note_of_mine"]).rows) == 2


def test_the_task_asks_and_scores_nothing(tmp_path: Path) -> None:
    task = prompt_task(read_prompts(write(tmp_path, "my.prompts.txt", "Why?")), 64)
    (example,) = examples(task, None)
    assert (task.name, task.ask(example).max_tokens, task.ask(example).prompt) == ("my.prompts", 64, USER)
    assert task.score(example, Response("So.")).why == NOT_SCORED
