"""Runs over models behind a server: their names, what is stored, what is asked again, and secrets."""

import base64
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from harness import api, http
from harness.backends import openai
from harness.checkpoint_selection import Selection
from harness.cli.score import score_other_items
from harness.comparison.comparability import setting_differences
from harness.evaluation.questions import EvaluationSettings
from harness.records import CellRecord
from harness.redaction import Redactor, redact_urls
from harness.server_address import mask_user, parse_address, read_key
from harness.server_settings import make_settings, requested_settings
from harness.types import Checkpoint, Request, Response, Score, SkilldeltaError, Task
from tests.backends.test_openai import said, serve

ROWS = [{"n": n} for n in range(6)]
TEXTS = Task(
    "texts",
    "factuality",
    1,
    "made here",
    rows=lambda folder: ROWS,
    ask=lambda example: Request(f"number {example.row['n']}", max_tokens=8),
    score=lambda example, response: Score(float(response.text == "right")),
    ideal=lambda example: Response("right"),
)
OPTIONS = replace(
    TEXTS,
    name="options",
    ask=lambda example: Request(f"number {example.row['n']}", choices=(" a", " b"), raw=True),
    ideal=lambda example: Response(logprobs=(0.0, -1.0)),
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(http, "MAX_PAUSE", 0.0)
    monkeypatch.chdir(tmp_path)


def score(url: str, *names: str, tasks: tuple[Task, ...] = (TEXTS,), **options: Any) -> list[tuple[str, str, str, str]]:
    backend = api.Backend("openai", {"url": url, "concurrency": 2, "retries": 1, **options})
    outcomes = api.score(names, tasks, "results", backend=backend, settings=EvaluationSettings())
    return [(o.checkpoint, o.task, o.state, o.why) for o in outcomes]


def every_stored_byte() -> bytes:
    return b"".join(path.read_bytes() for path in sorted(Path("results").rglob("*")) if path.is_file())


def answer_by_model(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
    return 200, said("right" if content["model"] == "org/tuned" else "wrong")


class TestNames:
    def test_two_models_behind_one_server_are_compared(self) -> None:
        with serve(answer_by_model) as url:
            assert [o[:3] for o in score(url, "base", "org/tuned")] == [("base", "texts", "done"), ("tuned", "texts", "done")]
        row = api.compare("results", "base").row("tuned", "task", "texts")
        assert (row.score, row.n) == (pytest.approx(100.0), len(ROWS))

    def test_models_behind_two_servers_are_compared(self) -> None:
        with serve(answer_by_model) as one, serve(answer_by_model) as other:
            score(one, "base")
            score(other, "org/tuned")
        assert list(api.compare("results", "base").checkpoints) == ["base", "tuned"]

    def test_a_folder_of_the_same_name_is_another_thing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        Path("base").mkdir()
        Path("org/tuned").mkdir(parents=True)
        with serve(answer_by_model) as url:
            assert [o[2] for o in score(url, "base", "org/tuned")] == ["done", "done"]

    def test_a_part_of_the_items_is_asked_of_served_models_by_name_too(self) -> None:
        Path("base").mkdir()  # no checkpoint
        with serve(answer_by_model) as url:
            how = (api.Backend("openai", {"url": url}), EvaluationSettings(), Selection())
            outcomes = score_other_items(["base", "org/tuned"], [TEXTS], Path("results"), 0.5, how)
        assert [(o.checkpoint, o.state) for o in outcomes] == [("base", "done"), ("tuned", "done")]

    def test_names_that_end_alike_are_told_apart(self) -> None:
        with serve(answer_by_model) as url:
            assert [o[0] for o in score(url, "a/m", "b/m")] == ["a-m", "b-m"]

    def test_an_empty_name_and_a_base_are_refused(self) -> None:
        with pytest.raises(SkilldeltaError, match="is empty"):
            score("http://127.0.0.1:9/v1", " ")

    def test_the_same_answers_under_another_name_are_asked_again(self) -> None:
        contents: list[str] = []

        def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
            contents.append(content["messages"][0]["content"])
            return 200, said("right")

        with serve(answer) as url:
            for name in ("before", "after"):
                backend = api.Backend("openai", {"url": url})
                api.score(["m"], [TEXTS], "results", backend=backend, options=api.RunOptions(name))
        assert len(contents) == 2 * len(ROWS)  # the server may have loaded other weights in between

    def test_a_server_that_moved_goes_on_where_one_says_so(self) -> None:
        with serve(answer_by_model) as old:
            score(old, "base")
        with serve(answer_by_model) as new:
            ((*_, state, why),) = score(new, "base")
            assert state == "failed"
            assert "moved_from=" in why
            assert score(new, "base", moved_from=old)[0][2] == "already"

    @pytest.mark.parametrize(
        ("left", "right", "is_comparable"),
        [
            (
                {"backend": "openai", "model": "a", "url": "http://x"},
                {"backend": "openai", "model": "b", "url": "http://y"},
                True,
            ),
            ({"backend": "openai", "prefix": "drop"}, {"backend": "openai", "prefix": "continue"}, False),
            ({"backend": "transformers", "model": "a"}, {"backend": "transformers", "model": "b"}, False),
            (
                {"backend": "lm-eval:local-completions", "args": "model=a;base_url=http://x;max_length=9"},
                {"backend": "lm-eval:local-completions", "args": "base_url=http://y;max_length=9;model=b"},
                True,
            ),
            (
                {"backend": "lm-eval:local-completions", "args": "model=a;max_length=9"},
                {"backend": "lm-eval:local-completions", "args": "model=a;max_length=10"},
                False,
            ),
            ({"backend": "lm-eval:hf", "args": "pretrained=a"}, {"backend": "lm-eval:hf", "args": "pretrained=b"}, False),
        ],
    )
    def test_which_model_a_server_is_asked_for_is_no_setting(
        self, left: dict[str, Any], right: dict[str, Any], is_comparable: bool
    ) -> None:
        records = [CellRecord.from_json({"task": {"name": "t", "skill": "s"}, "backend": b}) for b in (left, right)]
        assert (not setting_differences("t", records[0], {"c": records[1]})) == is_comparable


class TestWhatIsAsked:
    def test_what_a_server_cannot_give_is_said_first_and_the_rest_is_scored(self) -> None:
        contents: list[dict[str, Any]] = []

        def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
            contents.append(content)
            return 200, said("right")

        ends: list[str] = []

        class Listener(api.SilentProgress):
            def end(self, outcome: api.Outcome) -> None:
                ends.append(f"{outcome.task} {outcome.state}")

        with serve(answer) as url:
            backend, options = api.Backend("openai", {"url": url}), api.RunOptions(progress=Listener())
            outcomes = api.score(["m"], [TEXTS, OPTIONS], "results", backend=backend, options=options)
            assert ends == ["options failed", "texts done"]
            assert [o.task for o in outcomes] == ["texts", "options"]
            assert "need log-probabilities" in outcomes[1].why
            assert sum("echo" in content for content in contents) == 1
            api.score(["m"], [TEXTS], "results", backend=backend)
        assert sum("echo" in content for content in contents) == 1  # what is done needs no look at the server

    def test_a_prefix_is_refused_before_anything_is_asked(self) -> None:
        prefixed = replace(TEXTS, ask=lambda example: Request(f"number {example.row['n']}", prefix="It is"))
        with serve(answer_by_model) as url:
            ((*_, state, why),) = score(url, "m", tasks=(prefixed,))
        assert state == "failed"
        assert "prefix=continue" in why

    @pytest.mark.parametrize(("extra", "is_continued"), [(1, True), (6, False), (None, True)])
    def test_a_server_that_does_not_go_on_from_a_prefix_is_refused_before_the_task_is_asked(
        self, extra: int | None, is_continued: bool
    ) -> None:
        contents: list[str] = []

        def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
            contents.append(content["messages"][0]["content"])
            tokens = 20 + (extra or 0) * (content["messages"][-1]["role"] == "assistant")
            return 200, said("right") | {"usage": {"prompt_tokens": tokens} if extra else {}}

        prefixed = replace(TEXTS, ask=lambda example: Request(f"number {example.row['n']}", prefix="It is"))
        with serve(answer) as url:
            ((*_, state, why),) = score(url, "m", tasks=(prefixed,), prefix="continue")
        assert (state == "done") == is_continued
        assert ("does not go on" in why) != is_continued
        assert any(content.startswith("number") for content in contents) == is_continued

    def test_answers_without_a_sound_reply_are_asked_again_where_the_cell_fails(self) -> None:
        contents: list[str] = []
        broken = {f"number {n}" for n in range(1, 6)}

        def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
            contents.append(content["messages"][0]["content"])
            if contents[-1] in broken:
                return (200, [1]) if contents[-1] != "number 5" else (401, {"error": "the key has run out"})
            return 200, said("right")

        with serve(answer) as url:
            ((*_, state, why),) = score(url, "m", concurrency=1)
            assert (state, "run out" in why) == ("failed", True)
            broken.clear()
            contents.clear()
            assert score(url, "m")[0][2] == "done"
        assert len(contents) == 5  # all but the one answer that there was

    def test_one_request_without_a_sound_reply_is_unscored_among_the_others(self) -> None:
        def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
            is_broken = content["messages"][0]["content"] == "number 3"
            return (500, {"error": "cannot sample"}) if is_broken else (200, said("right"))

        with serve(answer) as url:
            ((*_, state, why),) = score(url, "m", backoff=0)
        assert state == "done"
        assert "cannot sample" in why

    def test_a_server_that_gives_nothing_sound_ends_the_cell(self) -> None:
        counts: list[int] = []

        def answer(*_: Any) -> tuple[int, Any]:
            counts.append(1)
            return 200, {"choices": "none today"}

        with serve(answer) as url:
            model = openai.load(Checkpoint("m", "m", "server"), openai.OpenAIOptions(url, concurrency=1, retries=0))
            with pytest.raises(SkilldeltaError, match="no sound answer, 8 times in a row"):
                list(model.answer([Request(f"{n}") for n in range(100)]))
        assert len(counts) < 100

    @pytest.mark.parametrize(
        ("text", "low", "high"),
        [("7", 7, 7), ("0.5", 0.5, 0.5), ("-5", 0, 0), ("nan", 0, 0), ("inf", 0, 0), ("²", 0, 0), ("soon", 0, 0),
         ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0), ("Fri, 31 Dec 2100 23:59:59 GMT", 1e9, 1e10)],
    )  # fmt: skip
    def test_a_pause_is_read_in_seconds_or_as_a_date(self, text: str, low: float, high: float) -> None:
        assert low <= http.pause_seconds(text) <= high


class TestSecrets:
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r", " ", "\0", "’", "\udcff", "\t", "\x1b"])
    def test_a_key_that_cannot_be_sent_is_refused_without_it(self, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("os.environ", {"MY_KEY": f"sk-very-secret{end}"})
            with pytest.raises(SkilldeltaError, match="MY_KEY has") as caught:
                read_key("MY_KEY")
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize("key", ["sk-very-secret", "0123secret", "verysecretkey"])
    def test_a_key_in_place_of_its_variable_is_not_shown(self, key: str) -> None:
        with pytest.raises(SkilldeltaError) as caught:
            openai.load(Checkpoint("m", "m", "server"), openai.OpenAIOptions("http://x/v1", key=key))
        assert "secret" not in str(caught.value)

    def test_a_password_in_the_address_is_sent_and_stored_nowhere(self) -> None:
        heads: list[str] = []

        def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
            heads.append(f"{path} {headers.get('Authorization')}")
            return (
                (400, {"error": f"no such user: {headers}"}) if "3" in content["messages"][0]["content"] else (200, said("x"))
            )

        with serve(answer) as url:
            address = url.replace("http://", "http://me:pass%40word1@") + "?api-version=2&api_key=very-secret"
            score(address, "m")
        pair = base64.b64encode(b"me:pass@word1").decode()
        assert heads[0] == f"/v1/chat/completions?api-version=2&api_key=very-secret Basic {pair}"
        stored = every_stored_byte()
        assert b"http://***@127.0.0.1" in stored
        assert b"api-version=2" in stored
        assert not [word for word in (b"pass@word1", b"pass%40word1", b"very-secret", pair.encode()) if word in stored]

    @pytest.mark.parametrize("scheme", ["http://", ""])
    def test_a_password_of_a_proxy_is_sent_to_it_and_stored_nowhere(self, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
        heads: list[str] = []

        def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
            heads.append(f"{path} {headers.get('Proxy-Authorization')}")
            echo = f"{headers} {base64.b64decode(headers['Proxy-Authorization'].split()[1]).decode()}"
            return (407, echo) if "3" in content["messages"][0]["content"] else (200, said(echo))

        with serve(answer) as url:
            monkeypatch.setenv("no_proxy", "")
            monkeypatch.setenv("http_proxy", f"{scheme}me:pass%40word1@{url.split('/')[2]}")
            score("http://model.invalid/v1", "m")
        pair = base64.b64encode(b"me:pass@word1").decode()
        assert heads[0] == f"http://model.invalid/v1/chat/completions Basic {pair}"
        stored = every_stored_byte()
        assert b"Proxy-Authorization" in stored
        assert not [word for word in (b"pass@word1", b"pass%40word1", pair.encode()) if word in stored]

    @pytest.mark.parametrize(
        "proxy",
        [
            *("socks5://me:PASSWORD@host:1", "http://me:PASSWORD@", "http://me:PASSWORD@host:x", "http://me:PASS#WORD@host:1"),
            *("http://me:PASS/WORD@host:1", "http://me:PASS WORD@host:1", "me:PASSWORD@", "http:/me:PASSWORD@host"),
        ],
    )
    def test_a_proxy_that_is_none_is_refused_without_its_password(self, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", proxy)
        with pytest.raises(SkilldeltaError, match="http_proxy holds") as caught:
            openai.load(Checkpoint("m", "m", "server"), openai.OpenAIOptions("http://model.invalid/v1"))
        assert "PASS" not in str(caught.value)
        assert "WORD" not in str(caught.value)
        assert openai.load(Checkpoint("m", "m", "server"), openai.OpenAIOptions("http://127.0.0.1:1/v1"))

    @pytest.mark.parametrize(
        "url",
        [
            *("http://me:PASSWORD@", "ftp://me:PASSWORD@host/v1", "http://me:PASS/WORD@host", "http://me:PASSWORD@host:x/v1"),
            *("me:PASSWORD@host/v1", "http:me:PASSWORD@host/v1", "http:/me:PASS WORD@host", "//me:PASS@WORD@host/v1"),
        ],
    )
    def test_an_address_that_is_none_is_refused_without_its_password(self, url: str) -> None:
        with pytest.raises(SkilldeltaError, match="no address of a server") as caught:
            parse_address(url)
        assert "PASS" not in str(caught.value)

    @pytest.mark.parametrize("key", ["sk-Quartz/91+zeta=Umbra77", "pass"])
    @pytest.mark.parametrize("form", ["http://127.0.0.1:1/{}/v1", "http://127.0.0.1:1/v1?x={}", "http://127.0.0.1:1/v1/{}"])
    def test_a_key_in_an_address_is_neither_shown_nor_stored(
        self, form: str, key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", key)
        for text in (key, quote(key, safe="")):
            options = openai.OpenAIOptions(form.format(text))
            shown = [parse_address(options.url, key).label, str(make_settings("m", options)), str(requested_settings(options))]
            assert [text in each for each in shown] == [False] * 3
            assert [form.format("***") in each for each in shown] == [True] * 3
            assert parse_address(options.url, key).url("/x").count(text) == 1  # sent nevertheless

    @pytest.mark.parametrize("url", ["{}", "http://host/v1#{}", "host:{}/v1"])
    def test_a_key_that_stands_for_an_address_is_not_shown(self, url: str) -> None:
        with pytest.raises(SkilldeltaError, match="no address of a server") as caught:
            parse_address(url.format("sk-Quartz/91+zeta=Umbra77"), "sk-Quartz/91+zeta=Umbra77")
        assert "Umbra77" not in str(caught.value)

    def test_an_address_keeps_the_letters_that_a_short_key_shares_with_it(self) -> None:
        assert parse_address("http://localhost:8000/local/v1", "loca").label == "http://localhost:8000/local/v1"
        assert mask_user("http://host/v1#x") == "http://host/v1#***"

    @pytest.mark.slow
    def test_nothing_of_a_key_that_is_echoed_reaches_the_screen_or_the_results(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MY_KEY", "sk-very-secret-7153")

        def answer(path: str, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
            number = int(content["messages"][0]["content"][-1])
            if number % 2:
                return 400, {"error": {"message": f"bad: {headers['Authorization']}"}}
            return 200, said(f"you sent {headers['Authorization']}")

        Path("texts.py").write_text("from tests.backends.test_server_runs import TEXTS\nTASKS = (TEXTS,)\n", encoding="utf-8")
        with serve(answer) as url:
            words = ["score", "m", "-t", "texts", "--include-path", "texts.py", "--backend", "openai", "--backend-args"]
            root = Path(__file__).parents[2]
            run = subprocess.run(
                [sys.executable, "-m", "harness", *words, f"url={url},key=MY_KEY"],
                env=os.environ | {"PYTHONPATH": str(root)},
                capture_output=True,
                text=True,
                check=True,
            )
        assert "secret" not in run.stdout + run.stderr
        stored = every_stored_byte()
        assert b"secret" not in stored
        assert b"you sent Bearer ***" in stored

    @pytest.mark.parametrize("key", ["sk-very-secret-7153", "a+b/c=d?e f", 'quo"te\\s', "ünïcödé-key"])
    @pytest.mark.parametrize("before", ["", "x", "xy", "xyz"])
    def test_a_key_is_found_in_every_form(self, key: str, before: str) -> None:
        data = before.encode() + key.encode()
        encoded = base64.b64encode(data + b"z").decode()
        redactor = Redactor([key])
        shown = redactor.redact(f"{before}{key} {encoded} {data.hex()} {json.dumps(key)}")
        assert key not in shown
        assert key.encode().hex() not in shown
        assert encoded[4:-4] not in shown

    def test_words_that_happen_to_be_keys_stay_in_answers(self) -> None:
        server = http.JsonServer(parse_address("http://x/v1", "EMPTY"))
        assert server.answers.redact("The set is EMPTY.") == "The set is EMPTY."
        assert Redactor([""]).redact("x") == "x"

    def test_addresses_in_texts_lose_their_secrets(self) -> None:
        text = "http://me:word@host/v1?token=abc&page=2 and https://host?x=1"
        assert redact_urls(text) == "http://***@host/v1?token=***&page=2 and https://host?x=1"
