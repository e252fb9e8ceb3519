"""Rows whose columns lie within each other or have names of their own, in the columns that every row has.

Each form is that of a public data set or of a service: a prompt with two answers, or a conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.training.dialogues import parse_glaive_turns
from harness.training.messages import UnusableRowError, parse_json
from harness.types import Json

OTHER_CONVERSATION = "rejected_messages"  # ms-swift's: a conversation that is worse than the row's messages
# The columns of a public data set that say nothing to a model, and how its answers were made or checked.
NOT_FOR_MODELS = {
    "quotes": ("quotes_0", "quotes_1", "tokens_0", "tokens_1"),  # WebGPT's sources, and its answers once more as ids
    "generations": ("solution", "answer", "generations"),  # OpenR1's references, and the answers that its messages are one of
}
Unfold = Callable[[Json], Json | None]  # the row in the columns of every row; None: a row of another form


def unfold_columns(row: Json, forms: tuple[Unfold, ...], asides: set[str]) -> Json:
    """The row in the columns of every row, by the first of the forms that it has; a row of no such form as it is.

    `asides` gets the names of the columns that the form passes over.  Raises `UnusableRowError` for a row of a form with a
    part that is missing or of another kind.
    """
    plain = next((found for unfold in forms if (found := unfold(row)) is not None), None)
    if plain is None:
        return row
    asides.update(name for names in NOT_FOR_MODELS.values() for name in names if name in row and name not in plain)
    return plain


def without(row: Json, *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


# Pairs


def unfold_openai_pair(row: Json) -> Json | None:
    """{"input": {"messages": [...], "tools": [...]}, "preferred_output": [...], "non_preferred_output": [...]}."""
    request = row.get("input")
    if "preferred_output" not in row or not isinstance(request, Mapping):
        return None
    rest = without(row, "input")
    if both := sorted(rest.keys() & request.keys()):
        raise UnusableRowError(f"{both[0]} next to the input and in it")
    return {**request, **rest}


def unfold_swift_pair(row: Json) -> Json | None:
    """ms-swift's messages that end with the better answer, and `rejected_response` or `rejected_messages`."""
    messages = row.get("messages")
    if row.get(OTHER_CONVERSATION) and messages:
        return {**without(row, "messages", OTHER_CONVERSATION), "chosen": messages, "rejected": row[OTHER_CONVERSATION]}
    if row.get("rejected_response") and "chosen_response" not in row and isinstance(messages, list) and len(messages) > 1:
        *before, last = messages
        if isinstance(last, Mapping) and last.get("role") == "assistant":
            return {**row, "messages": before, "chosen_response": [last]}
    return None


def unfold_summaries(row: Json) -> Json | None:
    """OpenAI's comparisons of summaries: {"info": {the post}, "summaries": [{"text"}, {"text"}], "choice": 0 or 1}.

    The prompt is that of arXiv 2009.01325, which TRL uses too; it is fixed for posts alone, not for articles.
    """
    if not {"info", "summaries", "choice"} <= row.keys():
        return None
    info, summaries, choice = row["info"] or {}, row["summaries"] or [], row["choice"]
    if info.get("article"):
        raise UnusableRowError("a summary of an article, for which the data set fixes no prompt")
    missing = [name for name in ("subreddit", "title", "post") if not isinstance(info.get(name), str)]
    if missing or len(summaries) != 2 or choice not in (0, 1):
        raise UnusableRowError(f"no {missing[0]}" if missing else "no choice between two summaries")
    prompt = f"SUBREDDIT: r/{info['subreddit']}\n\nTITLE: {info['title']}\n\nPOST: {info['post']}\n\nTL;DR:"
    texts = [summary.get("text") for summary in summaries]
    rest = without(row, "info", "summaries", "choice")
    return {**rest, "prompt": prompt, "chosen": texts[choice], "rejected": texts[1 - choice]}


def unfold_scored_answers(row: Json) -> Json | None:
    """WebGPT's {"question": {"full_text": ...}, "answer_0", "answer_1", "score_0", "score_1"} in SHP's columns."""
    sides = ("answer_0", "answer_1", "score_0", "score_1")
    if not {"question", *sides} <= row.keys():
        return None
    question = row["question"]
    text = question.get("full_text") if isinstance(question, Mapping) else question
    if not isinstance(text, str):
        raise UnusableRowError("no prompt")
    answers = dict(zip(("human_ref_A", "human_ref_B", "score_A", "score_B"), (row[name] for name in sides), strict=True))
    return {**without(row, "question", *sides, *NOT_FOR_MODELS["quotes"]), "history": text, **answers}


def unfold_voted_answers(row: Json) -> Json | None:
    """Stack Exchange's answers, each {"text", "pm_score", ...}, as completions that carry ratings."""
    answers = row.get("answers")
    if not isinstance(answers, list) or not all(isinstance(a, Mapping) and {"text", "pm_score"} <= a.keys() for a in answers):
        return None
    completions = [{"response": answer["text"], "ratings": {"pm_score": answer["pm_score"]}} for answer in answers]
    return {**without(row, "answers"), "completions": completions}


# Conversations, and the prompts of rows of any kind


def unfold_trajectory(row: Json) -> Json | None:
    """UltraInteract's turns before two answers."""
    is_pair = {"trajectory", "chosen", "rejected"} <= row.keys() and "conversations" not in row
    return {**without(row, "trajectory"), "conversations": row["trajectory"]} if is_pair else None


def unfold_texts(row: Json) -> Json | None:
    """Turns as a list of texts, the user's first: LIMA's `conversations`, UltraChat's `data`."""
    name = next((name for name in ("conversations", "data") if is_texts(row.get(name))), "")
    if not name:
        return None
    turns = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(row[name])]
    return {**without(row, name), "messages": turns}


def is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def unfold_glaive(row: Json) -> Json | None:
    """Glaive's `system` ("SYSTEM: ...") and `chat` ("USER: ... ASSISTANT: ... FUNCTION RESPONSE: ...")."""
    chat, system = row.get("chat"), row.get("system")
    turns = parse_glaive_turns(chat) if isinstance(chat, str) else ()
    if not turns:
        return None
    prompt = {"system": system.removeprefix("SYSTEM:").strip()} if isinstance(system, str) else {}
    return {**without(row, "chat"), **prompt, "messages": [{"role": role, "content": content} for role, content in turns]}


def unfold_calls(row: Json) -> Json | None:
    """xLAM's question, with the calls that answer it as JSON: {"query", "answers": [{"name", "arguments"}], "tools"}."""
    if not {"query", "answers", "tools"} <= row.keys():
        return None
    calls = parse_json(row["answers"])
    if not isinstance(calls, list) or not calls:
        raise UnusableRowError("answers that are no list of calls")
    turns = [{"role": "user", "content": row["query"]}, {"role": "assistant", "content": None, "tool_calls": calls}]
    return {**without(row, "query", "answers"), "messages": turns}


def unfold_reasoning(row: Json) -> Json | None:
    """OpenR1's messages, next to a problem with its reference solution and all the answers that were sampled."""
    is_openr1 = {"problem", "solution", "generations", "messages"} <= row.keys()
    return without(row, *NOT_FOR_MODELS["generations"]) if is_openr1 and row["messages"] else None


def unfold_gemini(row: Json) -> Json | None:
    """Gemini's `contents` of `parts`, with `systemInstruction` and `tools` of `functionDeclarations`."""
    contents = row.get("contents")
    if not isinstance(contents, list) or not all(isinstance(turn, Mapping) and "parts" in turn for turn in contents):
        return None
    rest = without(row, "contents", "systemInstruction", "system_instruction", "tools")
    instruction = row.get("systemInstruction") or row.get("system_instruction")
    if instruction:
        parts = [{"text": instruction}] if isinstance(instruction, str) else instruction.get("parts") or ()
        rest["system"] = "".join(read_part(part)["text"] for part in parts)
    tools = [tool for group in row.get("tools") or () for tool in group.get("functionDeclarations", (group,))]
    if tools:
        rest["tools"] = [{"type": "function", "function": tool} for tool in tools]
    return {**rest, "messages": [turn for content in contents for turn in split_parts(content)]}


def split_parts(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of one of Gemini's turns: what functions returned, each alone, and what the turn says and calls."""
    parts = [read_part(part) for part in content["parts"] or ()]
    results = [{"role": "tool", **part["result"]} for part in parts if "result" in part]
    calls = [part["call"] for part in parts if "call" in part]
    text = "".join(part.get("text", "") for part in parts)
    turn = {"role": content.get("role"), "content": text, **({"tool_calls": calls} if calls else {})}
    return [*results, turn] if text or calls or not results else results


def read_part(part: Any) -> dict[str, Any]:
    """A part as {"text"}, {"call"} or {"result"}; raises `UnusableRowError` for any other, such as a picture."""
    values = {name: value for name, value in part.items() if value is not None} if isinstance(part, Mapping) else {}
    match values:
        case {"text": str(text), **rest} if not rest:
            return {"text": text}
        case {"functionCall": {"name": name, **more}, **rest} if not rest:
            return {"call": {"name": name, "arguments": more.get("args") or {}}}
        case {"functionResponse": {"name": name, "response": response}, **rest} if not rest:
            return {"result": {"name": name, "content": response}}
    raise UnusableRowError(f"a message holds a part of {', '.join(sorted(values)) or 'nothing'}, which is no text")


ROW_FORMS: tuple[Unfold, ...] = (
    unfold_trajectory,
    unfold_texts,
    unfold_glaive,
    unfold_calls,
    unfold_reasoning,
    unfold_gemini,
)
PAIR_FORMS: tuple[Unfold, ...] = (
    *(unfold_openai_pair, unfold_swift_pair, unfold_summaries, unfold_scored_answers, unfold_voted_answers),
    *ROW_FORMS,
)
