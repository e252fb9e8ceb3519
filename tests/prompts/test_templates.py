"""Chat templates: scoring and training render the same text, and it is the one of the program that Tulu 2 was made with."""

from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing

from harness.prompts.rendered_hash import hash_rendered
from harness.prompts.templates import (
    TULU_EOS,
    ChatTemplate,
    PrefixMode,
    TemplateError,
    TemplateSettings,
    choose_template,
    parse_arguments,
    plain_text,
)
from harness.prompts.tokenization import WindowedTokenizer
from harness.training.chat_rendering import ChatRenderer
from harness.training.messages import UnusableRowError
from harness.training.tokenization import Encoder, load_tokenizer
from harness.types import Message, Request, SkilldeltaError
from tests.support import tiny

TURNS = (
    Message("system", "Be brief."),
    Message("user", "Q1"),
    Message("assistant", "A1"),
    Message("user", "Q2"),
    Message("assistant", "A2"),
    Message("user", "Q3"),
)


def open_instruct(messages: tuple[Message, ...], eos: str) -> str:
    """What open-instruct's create_prompt_with_tulu_chat_format gives for messages, without a beginning-of-sequence token."""
    text = ""
    for message in messages:
        text += f"<|{message.role}|>\n{message.content}{eos if message.role == 'assistant' else ''}\n"
    return f"{text}<|assistant|>\n"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_tokenizer(str(tiny.llama(tmp_path_factory.mktemp("models") / "tiny")), "tulu")


def test_the_tulu_template_of_several_turns_is_that_of_open_instruct(tokenizer: Any) -> None:
    text = ChatTemplate("tulu", tokenizer).render(Request(TURNS))
    assert text == open_instruct(TURNS, tokenizer.eos_token)
    assert text.count(tokenizer.eos_token) == 2
    assert ChatTemplate("tulu").render(Request(TURNS[1:])) == (
        "<|user|>\nQ1\n<|assistant|>\nA1</s>\n<|user|>\nQ2\n<|assistant|>\nA2</s>\n<|user|>\nQ3\n<|assistant|>\n"
    )


def test_a_model_is_scored_in_the_template_that_it_was_trained_in(tokenizer: Any) -> None:
    scored = ChatTemplate("tulu", tokenizer).render(Request(TURNS))
    trained = Encoder(tokenizer, 512).render(TURNS, (), opening=True)
    assert scored == trained


def test_one_user_turn_has_no_end_token_and_a_prefix_begins_the_answer(tokenizer: Any) -> None:
    for template in (ChatTemplate("tulu", tokenizer), ChatTemplate("tulu")):
        assert template.render(Request("Hi", prefix="Answer:")) == "<|user|>\nHi\n<|assistant|>\nAnswer:"


def test_a_tokenizer_without_an_end_token_writes_none() -> None:
    class Bare:
        eos_token = None

    assert ChatTemplate("tulu", Bare()).render(Request(TURNS)) == open_instruct(TURNS, "")
    assert ChatTemplate("tulu").render(Request(TURNS)) == open_instruct(TURNS, TULU_EOS)


def test_the_name_of_the_tulu_template_holds_the_hash_of_its_text() -> None:
    assert ChatTemplate("tulu").name.startswith("tulu:")
    assert ChatTemplate("none").name == "none"


def test_plain_text_joins_messages_and_puts_the_prefix_on_its_own_line() -> None:
    assert plain_text(Request(TURNS[1:3], prefix="So")) == "Q1\n\nA1\nSo"
    assert plain_text(Request("Q: ", prefix="A")) == "Q: A"
    assert plain_text(Request("Q", prefix="A", raw=True)) == "QA"
    assert plain_text(Request("", prefix="A")) == "A"


DATED = (
    "{{ bos_token }}{% if strftime_now is defined %}{% set day = strftime_now('%d %b %Y') %}{% else %}{% set day = 'none' %}"
    '{% endif %}<|system|>Today: {{ day }} ({{ strftime_now("%Y-%m-%d") }})<|end|>'
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
THINKING = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|>"
    "{% if enable_thinking is not defined or enable_thinking %}<think>\n{% else %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


def own(source: str, arguments: str = "", date: str = "", prefix: PrefixMode = "refuse") -> ChatTemplate:
    made = tiny.tokenizer()
    made.chat_template = source
    return choose_template("auto", made, TemplateSettings.from_text(arguments, date, prefix))


def test_a_template_that_reads_the_date_reads_a_fixed_one() -> None:
    fixed, other = own(DATED), own(DATED, date="2026-11-27")
    assert fixed.render(Request("Hi")) == "<s><|system|>Today: 26 Jul 2024 (2024-07-26)<|end|><|user|>Hi<|assistant|>"
    assert other.render(Request("Hi")) == "<s><|system|>Today: 27 Nov 2026 (2026-11-27)<|end|><|user|>Hi<|assistant|>"
    assert (fixed.settings, other.settings) == ({"template_date": "2024-07-26"}, {"template_date": "2026-11-27"})
    assert fixed.name == other.name
    assert fixed.key != other.key
    assert hash_rendered(fixed, [Request("Hi")]) != hash_rendered(other, [Request("Hi")])
    assert own(tiny.TEMPLATE, date="2026-11-27").settings == {}
    with pytest.raises(SkilldeltaError, match="YYYY-MM-DD"):
        own(DATED, date="tomorrow")


@pytest.mark.parametrize("beginning", ["", "\n", "  ", "\n    ", "{%- if true %}\n  a\n{%- endif %}\n"])
def test_a_clock_that_stands_still_changes_nothing_else(beginning: str) -> None:
    source = beginning + "{{ messages[0].content }} {{ strftime_now('100') }}"
    made = tiny.tokenizer()
    made.chat_template = source
    plain = made.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert own(source).render(Request("Hi")) == plain


def test_variables_reach_the_template() -> None:
    assert own(THINKING).render(Request("Hi")).endswith("<|assistant|><think>\n")
    silent = own(THINKING, "enable_thinking=false")
    assert silent.render(Request("Hi", prefix="A:")).endswith("<think>\n\n</think>\n\nA:")
    assert silent.settings == {"template_args": {"enable_thinking": False}}
    assert parse_arguments("a=true,b=3,c=low,d=none") == {"a": True, "b": 3, "c": "low", "d": None}
    with pytest.raises(SkilldeltaError, match="enable_thinking"):
        choose_template("none", tiny.tokenizer(), TemplateSettings({"enable_thinking": False}))


def test_the_beginning_of_an_answer_never_stands_inside_reasoning() -> None:
    begun, weighed = Request("Hi", prefix="A:"), Request("Hi", choices=(" a", " b"))
    for request in (begun, weighed):
        with pytest.raises(TemplateError, match="--template-prefix close"):
            own(THINKING).render(request)
    assert own(THINKING, prefix="close").render(begun).endswith("<think>\n\n</think>\n\nA:")
    assert own(THINKING, prefix="close").settings == {"template_prefix": "close"}
    assert own(THINKING, prefix="drop").render(begun).endswith("<|assistant|><think>\n")
    with pytest.raises(TemplateError):
        own(THINKING, prefix="drop").render(weighed)
    assert own(THINKING).render(Request("Hi")).endswith("<think>\n")


def test_what_a_template_cannot_render_is_refused_with_a_way_out() -> None:
    turns = (Message("system", "Be brief."), Message("user", "Hi"))
    silent = "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}"
    raising = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    with pytest.raises(TemplateError, match="leaves the system message out"):
        own(silent).render(Request(turns))
    with pytest.raises(TemplateError, match=r"System role not supported.*\n.*leave the system message out"):
        own(raising).render(Request(turns))
    with pytest.raises(TemplateError, match=r"turns user: .*\n.*--template-args"):
        own("{{ missing.part }}").render(Request("Hi"))
    assert own(tiny.TEMPLATE).render(Request(turns)) == "<s><|system|>Be brief.<|end|><|user|>Hi<|end|><|assistant|>"


PARTS = (  # as the templates of models that also see images: over a plain text they write nothing
    "{% for m in messages %}<|{{ m.role }}|>{% for part in m.content %}{% if part.type == 'image' %}<image>"
    "{% elif part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
STRICT_PARTS = PARTS.replace(
    "<|end|>", "{% if m.content is string %}{{ raise_exception('a list is needed') }}{% endif %}<|end|>"
)
QUESTIONS = (Message("user", "How tall is K2?"), Message("assistant", "8,611 m."), Message("user", "  And Lhotse?\n"))
INCOMPLETE = {
    "writes roles alone": "{% for m in messages %}<|{{ m.role }}|>{% endfor %}",
    "writes nothing": "{# nothing #}",
    "cuts the question": "<|user|>{{ messages[-1].content[:4] }}<|assistant|>",
    "cuts each message": "{% for m in messages %}{{ m.content[:4] }}{% endfor %}",
    "takes the last question alone": "<|user|>{{ messages[-1].content }}",
    "reads another name": "{% for m in messages %}{{ m.value }}{% endfor %}",
    "takes parts, and leaves out the answers": PARTS.replace("part.type == 'text'", "part.text and m.role == 'user'"),
    "writes the first letter of plain texts": "{% for m in messages %}{{ m.content[0] }}{% endfor %}",
}


@pytest.mark.parametrize("source", INCOMPLETE.values(), ids=INCOMPLETE)
def test_a_template_that_leaves_out_a_question_is_refused_as_in_training(source: str) -> None:
    template = own(source)
    with pytest.raises(TemplateError, match=r"leaves out a message of the role 'user'.*K2.*\n.*--apply-chat-template"):
        template.render(Request(QUESTIONS))
    with pytest.raises(TemplateError, match="leaves out a message of the role 'user'"):
        hash_rendered(template, [Request(QUESTIONS)])
    with pytest.raises(UnusableRowError, match="leaves out a message of the role 'user'"):
        ChatRenderer(template.tokenizer).render(QUESTIONS, opening=True)


@pytest.mark.parametrize("source", [PARTS, STRICT_PARTS])
def test_a_template_that_wants_lists_of_parts_gets_them(source: str) -> None:
    template, renderer = own(source), ChatRenderer(own(source).tokenizer)
    text = "<|user|>How tall is K2?<|end|><|assistant|>8,611 m.<|end|><|user|>  And Lhotse?\n<|end|><|assistant|>"
    assert template.render(Request(QUESTIONS)) == renderer.render(QUESTIONS, opening=True) == text
    turns = (Message("system", "Be brief."), QUESTIONS[0])
    system = "<|system|>Be brief.<|end|><|user|>How tall is K2?<|end|><|assistant|>"
    assert template.render(Request(turns, prefix="It is")) == f"{system}It is"
    assert template.render(Request(turns, prefix="It is", chat=True)) == f"{system}It is"
    assert renderer.render(turns, opening=True) == system


@pytest.mark.parametrize("change", ["{{ m.content | trim }}", "{{ m.content | tojson }}", "{{ m.content.strip() + '!' }}"])
def test_a_template_may_strip_messages_or_write_them_as_json(change: str) -> None:
    template = own("{% for m in messages %}<|{{ m.role }}|>" + change + "{% endfor %}")
    turns = (Message("user", ' Say "no" to\nall. '),)
    assert template.render(Request(turns)) == ChatRenderer(template.tokenizer).render(turns, opening=True)


def test_a_template_that_git_lfs_did_not_fetch_is_no_template() -> None:
    pointer = own("version https://git-lfs.github.com/spec/v1\noid sha256:ab12\nsize 4321\n")
    with pytest.raises(TemplateError, match=r"pointer of Git LFS.*git lfs pull"):
        pointer.render(Request("Hi"))
    assert pointer.render(Request("Hi", raw=True)) == "Hi"
    with pytest.raises(SkilldeltaError, match=r"pointer of Git LFS.*git lfs pull"):
        ChatRenderer(pointer.tokenizer).render((Message("user", "Hi"),), opening=True)


def test_the_hash_of_rendered_prompts() -> None:
    one, other = Request("Hi"), Request("Ho")
    assert hash_rendered(own(tiny.TEMPLATE), [one, other]) == hash_rendered(own(tiny.TEMPLATE), [one, other])
    assert hash_rendered(own(tiny.TEMPLATE), [one]) != hash_rendered(own(tiny.TEMPLATE), [other])
    assert hash_rendered(own(THINKING), [one]) != hash_rendered(own(tiny.TEMPLATE), [one])
    assert hash_rendered(own(tiny.TEMPLATE), [Request("raw", raw=True)]) == hash_rendered(ChatTemplate("none"), [one]) == ""


def test_what_a_tokenizer_appends_is_left_out_of_prompts() -> None:
    made = tiny.tokenizer()
    plain = WindowedTokenizer(made, 64).encode("What is 3+4?")
    ends = ("<|end|>", made.eos_token_id)
    made._tokenizer.post_processor = TemplateProcessing(
        single="<s> $A <|end|>", special_tokens=[("<s>", made.bos_token_id), ends]
    )
    windowed = WindowedTokenizer(made, 64)
    assert made.encode("What is 3+4?")[-1] == made.eos_token_id
    assert windowed.encode("What is 3+4?") == [made.bos_token_id, *plain]
    assert windowed.appended == 1
    pair = windowed.encode_pair("What is 3+4?", " 7")
    assert made.eos_token_id not in (*pair.context, *pair.continuation)
