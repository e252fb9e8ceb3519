"""Keys and passwords among the settings that other programs log: masked, and nothing else is."""

import base64
import codecs
import json
import textwrap
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest

from harness.backends import vllm
from harness.interchange.import_logs import import_logs
from harness.interchange.import_options import ImportOptions
from harness.redaction import MASK, Redactor, redact_settings
from harness.store import Results
from harness.vllm_engine import VllmOptions
from tests.support.lm_eval_run import line, write

KEY = "sk-proj-" + "Zq3" * 12
SECRET_SETTINGS: list[Any] = [
    {"api_key": "short"},
    {"OPENAI_API_KEY": "abc"},
    {"headers": {"Authorization": "Basic dXNlcjpwYXNzd29yZA=="}},
    {"hf_token": "abc", "token": "abc"},
    {"base_url": "http://bob:hunter2@host/v1"},
    {"base_url": "https://host/v1?api-version=1&api-key=abc"},
    {"base_url": f"https://gateway/{KEY}/v1"},
    {"args": "model=m;api_key=abc;dtype=auto"},
    {"command": f"run --key {KEY}"},
    {"header": f"Bearer {'x' * 20}"},
    [{"deep": [{"password": "abc"}]}],
]
PLAIN_SETTINGS: list[Any] = [
    {"eos_token": "</s>", "think_end_token": "</think>", "max_tokens": 12, "tokenizer": "org/name", "add_bos_token": True},
    {"pretrained": "org/sk-model", "dtype": "auto", "revision": "hf_main"},
    {"base_url": "http://host:8000/v1?api-version=2024"},
    {"token": True, "key": None, "authors": "a, b"},
    "until=\n\n,max_gen_toks=12",
]


@pytest.mark.parametrize("settings", SECRET_SETTINGS, ids=str)
def test_secrets_among_settings_are_masked(settings: Any) -> None:
    text = json.dumps(redact_settings(settings))
    assert MASK in text
    assert not any(secret in text for secret in ("abc", "short", "hunter2", KEY, "dXNl", "x" * 20))


@pytest.mark.parametrize("settings", PLAIN_SETTINGS, ids=str)
def test_other_settings_stay_as_they_are(settings: Any) -> None:
    assert redact_settings(settings) == settings


def test_the_keys_in_a_log_do_not_come_into_the_results(tmp_path: Path) -> None:
    arguments = f"pretrained=org/m,api_key={KEY},base_url=http://bob:hunter2@host/v1"
    lines = [line(place, {"acc": float(place)}) for place in range(2)]
    write(tmp_path / "logs", "sums", lines, {"acc,none": 0.5}, config={"model": "hf", "model_args": arguments})
    (outcome,) = import_logs([tmp_path / "logs"], Results.make(tmp_path / "out"), ImportOptions())
    assert outcome.state == "done"
    stored = "".join(file.read_text() for file in (tmp_path / "out").rglob("*") if file.is_file())
    assert MASK in stored
    assert KEY not in stored
    assert "hunter2" not in stored


def test_a_token_among_vllms_arguments_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "vllm_version", lambda: "0")
    options = VllmOptions(args='hf_token="hush-hush";max_num_seqs=8')
    config = SimpleNamespace(dtype="torch.float32")
    llm = SimpleNamespace(llm_engine=SimpleNamespace(model_config=config))
    model = SimpleNamespace(
        engine=SimpleNamespace(llm=llm, device="cpu", options=options),
        template=SimpleNamespace(name="none", settings={}),
        tokenizer=SimpleNamespace(window=8),
    )
    settings = vllm.VllmModel.settings.fget(model)  # type: ignore[attr-defined]
    assert "hush" not in str(settings)
    assert "max_num_seqs=8" in settings["args"]


SECRET = "sk-SECRET-7153xyzABCDEFGH"
LETTERS, NUMBERS = list(SECRET), SECRET.encode()
REDACTOR = Redactor([SECRET])
ECHOES = {
    "as it is": SECRET,
    "in capitals": SECRET.upper(),
    "in two lines": f"{SECRET[:9]}\n{SECRET[9:]}",
    "letter by letter": " ".join(LETTERS),
    "with invisible marks": "\u200b".join(LETTERS),
    "as a list": json.dumps(LETTERS),
    "as numbers": str(list(NUMBERS)),
    "in full width": "".join(chr(ord(letter) + 0xFEE0) for letter in LETTERS),
    "percent-encoded": "".join(f"%{n:02X}" for n in NUMBERS),
    "percent-encoded twice": quote("".join(f"%{n:02X}" for n in NUMBERS)),
    "quoted-printable": "".join(f"={n:02X}" for n in NUMBERS),
    "as Python's bytes": "".join(f"\\x{n:02x}" for n in NUMBERS),
    "in octal": "".join(f"\\{n:03o}" for n in NUMBERS),
    "as JavaScript's letters": "".join(f"\\u{{{n:x}}}" for n in NUMBERS),
    "as HTML's letters": "".join(f"&#{n};" for n in NUMBERS),
    "as HTML's letters by sixteen": "".join(f"&#x{n:04X};" for n in NUMBERS),
    "in hex with colons": NUMBERS.hex(":"),
    "in UTF-16": SECRET.encode("utf-16-le").hex(),
    "in base 32": base64.b32encode(NUMBERS).decode(),
    "in base 85": base64.b85encode(NUMBERS).decode(),
    "in base64 of more": base64.b64encode(b"Bearer " + NUMBERS).decode(),
    "in base64 twice": base64.b64encode(base64.b64encode(NUMBERS)).decode(),
    "turned by 13": codecs.encode(SECRET, "rot13"),
    "its end alone": SECRET[-14:],
    "in bold letters": "".join(chr(0x1D41A + ord(x) - 97) if x.islower() else x for x in LETTERS),
    "as invisible tags": "".join(chr(0xE0000 + n) for n in NUMBERS),
    "in binary": " ".join(f"{n:08b}" for n in NUMBERS),
    "backwards with spaces": " ".join(reversed(LETTERS)),
    "backwards in base64": base64.b64encode(NUMBERS[::-1]).decode(),
    "in base64 in short lines": "\n".join(textwrap.wrap(base64.b64encode(NUMBERS).decode(), 12)),
    "in base64 of hex": base64.b64encode(NUMBERS.hex().encode()).decode(),
}


@pytest.mark.parametrize("name", ECHOES)
def test_a_key_is_masked_in_whatever_form_a_server_echoes_it(name: str) -> None:
    shown = REDACTOR.redact(f"Your key: {ECHOES[name]} is wrong.")
    assert shown.startswith("Your key: ")
    assert MASK in shown
    assert len(shown) < len(f"Your key: {MASK} is wrong.") + 16


def test_texts_that_share_letters_and_numbers_with_a_key_stay_as_they_are() -> None:
    text = "sk-SECRET is what begins it, 7153 is in it; 115, 107, 45, 83; %73%6B%2D; s k - S E C R E T - 7 1 5 4 x y z\n" * 50
    assert Redactor([SECRET]).redact(text) == text


LINES = ("2026-11-28 12:00:00 ERROR bad key {}\n2026-11-28 12:00:00 ERROR {} refused", "{}\n{}", "'{}' + '{}'", "{} and {}")
TREES: tuple[Any, ...] = (
    lambda first, second: [{"type": "text", "text": first}, {"type": "text", "text": second}],
    lambda first, second: [{"thinking": [{"type": "text", "text": first}]}, {"type": "thinking", "thinking": second}],
    lambda first, second: {"reasoning_content": first, "content": second},
    lambda first, second: {"content": second, "reasoning_content": first},
    lambda first, second: [first[:2], first[2:], second[:3], second[3:]],
)


@pytest.mark.parametrize("secret", ["sk-Short-7153", SECRET, "sk-proj-" + "aB3dE5gH7jK9mN1p" * 3])
def test_a_key_in_two_parts_is_masked_wherever_it_is_cut(secret: str) -> None:
    redactor = Redactor([secret])
    for cut in range(1, len(secret)):
        parts = secret[:cut], secret[cut:]
        shown = [redactor.redact(line.format(*parts)) for line in LINES]
        shown += [json.dumps(redactor.redact_value(tree(*parts))) for tree in TREES]
        for text in shown:
            assert MASK in text
            assert not [start for start in range(len(secret) - 4) if secret[start : start + 5] in text], text
    assert redactor.redact(LINES[0].format(secret[:7], secret[7:])) == LINES[0].format(MASK, MASK)


THREE_LINES = ("{}\n{}\n{}", "12:00 WARN {}\n12:01 WARN {}\n12:02 WARN {}", "It begins with {}, then {}, then {}.")


@pytest.mark.parametrize("secret", [SECRET, "gw_0a7Xk-4421-PPrst"])
def test_a_key_in_three_parts_is_masked_in_lines_fields_and_texts_of_any_order(secret: str) -> None:
    redactor = Redactor([secret])
    for first, second in ((4, 9), (7, 12), (5, len(secret) - 4)):
        parts = secret[:first], secret[first:second], secret[second:]
        for order in permutations(parts):
            shown = [redactor.redact(line.format(*order)) for line in THREE_LINES]
            fields: list[Any] = [dict(zip("abc", order, strict=True)), ["user", order[0], "said", order[1], {"x": [order[2]]}]]
            shown += [json.dumps(redactor.redact_value(value)) for value in fields]
            shown.append(redactor.redact(json.dumps(fields[0])))
            assert all(text.count(MASK) == 3 or text.count(MASK) == 1 for text in shown[:3]), shown
            assert not [part for part in parts for text in shown if part in text]


def test_two_of_three_parts_are_no_key() -> None:
    text = f"{SECRET[:7]}\n{SECRET[7:14]}\n"
    assert Redactor([SECRET]).redact(text) == text


def test_one_part_of_a_key_is_no_key() -> None:
    values: list[Any] = ["sk-Sh is all there is", ["Short-715", "4"], {"a": "sk-S" + "x" * 200, "b": "hort-7153"}]
    redactor = Redactor(["sk-Short-7153"])
    assert [redactor.redact_value(value) for value in values] == values


@pytest.mark.parametrize("secret", ["abcd", "hunter2!", "elevenchars", "twelve-chars", KEY])
def test_a_text_that_is_passed_over_as_too_short_holds_no_form_of_a_secret(secret: str) -> None:
    """Most of a reply's millions of texts are shorter than any form of the key: they are not searched."""
    redactor = Redactor([secret])
    assert redactor.least_letters >= 4
    for form in (*redactor.forms, secret[:12], secret[-12:], secret[3:], secret[:-3], "-".join(secret)):
        short = form[: redactor.least_letters - 1]
        thorough = Redactor([secret])
        thorough.least_letters = 0  # type: ignore[misc]
        assert redactor.redact(short) == thorough.redact(short) == short
        assert redactor.redact(form) == thorough.redact(form)
