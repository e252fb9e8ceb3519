"""The tags that models write around their reasoning and around their answers."""

from __future__ import annotations

import re
from functools import lru_cache

TagPair = tuple[str, str]

WORDS = (
    *("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "scratchpad", "scratchpad_reasoning"),
    *("inner_monologue", "inner_thoughts", "chain_of_thought", "cot", "seed:think", "mm:think", "longcat_think"),
    *("think_fast", "think_faster", "internal_thoughts", "internal_monologue"),
)
# DeepSeek-R1, Qwen3, OLMo, SmolLM3, Seed-OSS, MiniMax, LongCat, distillations and recipes; Magistral; ether0; Kimi;
# K2 (think_fast); openPangu (unused16); OpenThinker and Sky-T1, also without bars; Command A; Apertus; Gemma 4; MedGemma;
# Solar Open; Unsloth's GRPO recipes; s1.
TAGS: tuple[TagPair, ...] = (
    *((f"<{word}>", f"</{word}>") for word in WORDS),
    *((f"[{word}]", f"[/{word}]") for word in ("THINK", "THINKING", "THOUGHT", "REASONING")),
    *((f"<|{word}|>", f"<|/{word}|>") for word in ("think", "thinking", "reasoning")),
    *((f"<|{word}_start|>", f"<|{word}_end|>") for word in ("think", "thinking", "reasoning")),
    *((f"<|begin_of_{word}|>", f"<|end_of_{word}|>") for word in ("think", "thinking", "thought", "reasoning")),
    *((f"<{word}_start>", f"<{word}_end>") for word in ("think", "thinking", "thought", "reasoning")),
    *((f"<begin_of_{word}>", f"<end_of_{word}>") for word in ("think", "thinking", "thought", "reasoning")),
    *((f"[BEGIN{gap}OF{gap}THOUGHT]", f"[END{gap}OF{gap}THOUGHT]") for gap in (" ", "_")),
    ("[unused16]", "[unused17]"),
    ("◁think▷", "◁/think▷"),
    ("【思考】", "【/思考】"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel>thought", "<channel|>"),
    ("<unused94>thought", "<unused95>"),
    ("<|begin|>assistant<|think|>", "<|end|><|begin|>assistant<|content|>"),
    ("<start_working_out>", "<end_working_out>"),
    ("<|im_start|>think\n", "<|im_start|>answer\n"),
)
HEADING_TAGS = ("[THINKING]", "[THOUGHT]", "[REASONING]", "【思考】")  # answers have headings of this form
ANSWER_TAGS: tuple[TagPair, ...] = (  # around the whole of an answer, after a block
    *(
        (f"<{word}>", f"</{word}>")
        for word in ("answer", "response", "output", "solution", "final", "final_answer", "conclusion")
    ),
    *((f"<|begin_of_{word}|>", f"<|end_of_{word}|>") for word in ("solution", "answer", "box")),
    ("<|answer_start|>", "<|answer_end|>"),
    ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
)
NAME = re.compile(r"<(/?)([A-Za-z][\w:-]*)>")
# The brackets of <word> as pages and East Asian keyboards have them, and blanks inside: &lt;think&gt;, ＜think＞, < /think >.
LEFT, SLASH, RIGHT = r"(?:<|&lt;|＜)[ \t]{0,3}", r"[/／][ \t]{0,3}", r"(?:>|&gt;|＞)"
ATTRIBUTES = rf"(?:\s+[\w:-]+\s*=[^<>\n]{{0,80}}?)?\s*{RIGHT}"  # as in <think type="long"> and </think >
# Around all of a text's beginning, with text behind it: <plan>...</plan> and the like, which may be reasoning.  The words of
# some tags say which one closes them: <plan_start>...<plan_end>, [BEGIN OF PLAN]...[END OF PLAN].
LEADING_BLOCK = re.compile(
    rf"\s*(?:(?:<\||{LEFT})([^\W\d][\w:.-]{{0,40}})\s*\|?{RIGHT}|\[([A-Z][A-Z_ ]{{1,40}})\]|【([^\W\d]\w{{0,40}})】)"
)
BEGINS = re.compile(r"(?<![^\W_])(begin|start|open|prefix)(?![^\W_])", re.IGNORECASE)
AFFIXES = re.compile(r"^(?:begin|start)[_ ](?:of[_ ])?|[_ ](?:begin|start)$")  # of a tag's name
ENDS = {"begin": "end", "start": "end", "open": "close", "prefix": "suffix"}
# In the names of a chat format's tokens, <start_of_turn> and the like.
TURN_WORD = re.compile(
    r"(?:^|[_ ])(?:im|turn|role|header|text|sentence|message|user|assistant|system|tool|call)(?=[_ ]|$)", re.IGNORECASE
)
LEADING_FENCE = re.compile(r"\s*(?:`{3,}|~{3,})[ \t]*([^\W\d]\w{0,40})[ \t]*\n")
FENCE_WORDS = frozenset(("plan", "planning", "analysis", "notes", "internal", "reason", "思考"))  # no languages of code
TEXT_MARKUP = frozenset(
    re.findall(
        r"\w+",
        "a abbr b body br code div em h1 h2 h3 h4 h5 h6 head header html i li main nav ol p pre s section script small span "
        "strong style sub sup svg table title u ul xml answer response output solution final final_answer conclusion role",
    )
)


@lru_cache(maxsize=16)
def tag_pattern(pairs: tuple[TagPair, ...]) -> re.Pattern[str]:
    """One group for each tag: of pair i, group 2i+1 opens and 2i+2 closes.  Tags of the form <word> may have attributes, and
    the brackets of LEFT and RIGHT."""
    first = "".join(
        sorted({re.escape(sign) for pair in pairs for tag in pair for sign in first_signs(tag)})
    )  # looked at alone: most letters begin no tag
    tags = "|".join(f"({one_tag(start)})|({one_tag(end)})" for start, end in pairs)
    return re.compile(f"(?=[{first}])(?:{tags})", re.IGNORECASE)


def one_tag(tag: str) -> str:
    name = NAME.fullmatch(tag)
    return f"{LEFT}{SLASH if name[1] else ''}{re.escape(name[2])}{ATTRIBUTES}" if name else re.escape(tag)


def first_signs(tag: str) -> str:
    return "<&＜" if NAME.fullmatch(tag) else tag[0]


def leading_block(text: str) -> str:
    """The name of a block that a text begins with and goes on behind, "" where there is none: `plan` for <plan>...</plan>.

    A fence of code that says `plan` is one as well.  It is no markup of a text, such as <p>, and no tag around an answer.
    """
    if (fence := LEADING_FENCE.match(text)) and fence[1].lower() in FENCE_WORDS:
        return fence[1]
    opening = LEADING_BLOCK.match(text)
    name = (opening[1] or opening[2] or opening[3]) if opening else ""
    if not opening or AFFIXES.sub("", name.lower()) in TEXT_MARKUP:
        return ""
    word = re.escape(name)
    closing_tag = rf"(?:<\||{LEFT}){SLASH}{word}\s*\|?{RIGHT}|\[/{word}\]|【[/／]{word}】"
    if (begins := BEGINS.search(name)) and not TURN_WORD.search(name):
        word = re.escape(BEGINS.sub(ENDS[begins[1].lower()], name, count=1))
        closing_tag += rf"|(?:<\||{LEFT}){word}\s*\|?{RIGHT}|\[{word}\]"
    closing = re.compile(closing_tag, re.IGNORECASE).search(text, opening.end())
    return name if closing and text[closing.end() :].strip() else ""
