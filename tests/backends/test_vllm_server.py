"""vLLM's own OpenAI server with a base and two LoRA modules, against our own engine.  Runs by `make test-vllm`."""

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from harness import api
from harness.backends import openai
from harness.backends.transformers import TransformersOptions
from harness.backends.transformers import load as load_transformers
from harness.types import Checkpoint, Request, Response
from tests.backends.test_vllm import adapter, choices, llama, whole

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # vLLM's own
    pytest.mark.skipif(
        "vllm" not in metadata.packages_distributions(),
        reason="vLLM is not installed here: make test-vllm makes an environment that has it",
    ),
]
SERVER = [
    *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--dtype", "float32"),
    *("--max-model-len", "256", "--enforce-eager", "--max-num-seqs", "8", "--enable-lora", "--max-lora-rank", "8"),
    *("--kv-cache-memory-bytes", "200000000", "--served-model-name", "base", "--lora-modules"),
]
# vLLM 0.32 for processors ends where it weighs a prompt for an adapter in one batch with other requests: so one at a time.
ALONE = {"concurrency": 1}
QUESTIONS = ["What is 3+4?", "How many apples are left?", "Write a function.", "Ünïcode, naïve café?"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[Checkpoint]:
    folder = tmp_path_factory.mktemp("served")
    base = llama(folder / "base", 0)
    return [whole(base), *(adapter(base, folder / name, seed) for seed, name in enumerate(("dpo", "ppo"), start=1))]


@pytest.fixture(scope="module")
def url(checkpoints: list[Checkpoint], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running server with all of them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    base, *adapters = checkpoints
    words = [*SERVER, *(f"{a.name}={a.path}" for a in adapters), "--model", base.path, "--port", str(port)]
    log = tmp_path_factory.mktemp("log") / "server.txt"
    with log.open("w") as stream:
        process = subprocess.Popen(words, stdout=stream, stderr=stream, env=os.environ | {"HF_HUB_OFFLINE": "1"})
        try:
            while not is_ready(f"http://127.0.0.1:{port}/health"):
                assert process.poll() is None, log.read_text()[-4000:]
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(timeout=60)


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def ask(url: str, name: str, requests: list[Request], **changes: object) -> list[Response]:
    options = openai.OpenAIOptions(url, **changes)  # type: ignore[arg-type]
    by_place = dict(openai.load(Checkpoint(name, name, "server"), options).answer(requests))
    return [by_place[place] for place in range(len(requests))]


def test_each_model_behind_it_answers_as_our_own_engine_does(url: str, checkpoints: list[Checkpoint]) -> None:
    requests = [Request(q, max_tokens=12) for q in QUESTIONS] + [r for r in choices() if not r.rolling and not r.contexts]
    requests.append(Request("x" * 3000, max_tokens=4))
    texts = []
    for checkpoint in checkpoints:
        name = "base" if checkpoint is checkpoints[0] else checkpoint.name
        options = TransformersOptions(device="cpu", dtype="float32", max_length=255)
        expected = dict(load_transformers(checkpoint, options).answer(requests))
        plain = load_transformers(checkpoint, replace(options, chat_template="none"))  # a server weighs no rendered chat
        weighed = [place for place, request in enumerate(requests) if request.choices]
        expected |= {weighed[i]: response for i, response in plain.answer([requests[place] for place in weighed])}
        responses = ask(url, name, requests[:4]) + ask(url, name, requests[4:], **ALONE)
        for place, response in enumerate(responses):
            # A server leaves half a character at the end out.
            assert (response.text, response.finish, response.tokens_in) == (
                expected[place].text.rstrip("\ufffd"),
                expected[place].finish,
                expected[place].tokens_in if not response.logprobs and response.finish != "overlong" else response.tokens_in,
            )
            assert response.logprobs == pytest.approx(expected[place].logprobs, abs=2e-3)
            assert response.greedy == expected[place].greedy
        texts.append([r.text for r in responses])
    assert len({tuple(text) for text in texts}) == 3, "the server answered for another model"


def test_long_answers_in_pieces_are_those_that_come_whole(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai, "LONG", 12)
    requests = [Request(question, max_tokens=12, stop=("a",) * (place % 2)) for place, question in enumerate(QUESTIONS)]
    model = openai.load(Checkpoint("dpo", "dpo", "server"), openai.OpenAIOptions(url))
    model.report_tokens(lambda tokens, seconds_left: None)
    assert model.can_stream
    answers = dict(model.answer(requests))
    assert model.is_streaming
    assert [answers[place] for place in range(len(requests))] == ask(url, "dpo", requests)


HALF_CHARACTERS = pytest.mark.xfail(strict=True, reason="a server counts the offsets of half characters otherwise")


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(Request("Ünïcode:", choices=(" 你好", " 🙂 x")), marks=HALF_CHARACTERS),
        Request("", contexts=("Is it? ", "Was it? "), choices=("yes", "yes")),
    ],
)
def test_choices_at_borders_within_tokens(url: str, checkpoints: list[Checkpoint], request_: Request) -> None:
    options = TransformersOptions(device="cpu", dtype="float32", max_length=255, chat_template="none")
    ((_, expected),) = load_transformers(checkpoints[0], options).answer([request_])
    assert ask(url, "base", [request_], **ALONE)[0].logprobs == pytest.approx(expected.logprobs, abs=2e-3)


def test_models_behind_one_server_are_scored_and_compared_from_the_command_line(url: str, tmp_path: Path) -> None:
    tasks = tmp_path / "words.py"
    tasks.write_text(TASKS)
    (tmp_path / "dpo").mkdir()  # a folder of the same name is another thing
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "HF_HUB_OFFLINE": "1"}
    score = [
        *(sys.executable, "-m", "harness", "score", "base", "dpo", "ppo", "-t", "texts,options", "--include-path", str(tasks)),
        *("--backend", "openai", "--backend-args", f"url={url},concurrency=1", "-o", "results"),
    ]
    subprocess.run(score, cwd=tmp_path, env=environment, check=True)
    before = {path: path.read_bytes() for path in (tmp_path / "results").rglob("samples.jsonl")}
    assert len(before) == 6
    subprocess.run(score, cwd=tmp_path, env=environment, check=True)
    assert {path: path.read_bytes() for path in (tmp_path / "results").rglob("samples.jsonl")} == before
    assert list(api.compare(tmp_path / "results", "base").checkpoints) == ["base", "dpo", "ppo"]


TASKS = """
from harness.types import Request, Response, Score, Task
ROWS = [{"n": n} for n in range(20)]
TASKS = (
    Task(name="texts", skill="factuality", version=1, source="made here", rows=lambda folder: ROWS,
         ask=lambda example: Request(f"What is {example.row['n']}+4?", max_tokens=8),
         score=lambda example, response: Score(float("a" in response.text)), ideal=lambda example: Response("a")),
    Task(name="options", skill="reasoning", version=1, source="made here", rows=lambda folder: ROWS,
         ask=lambda example: Request(f"Question {example.row['n']}: which?", choices=(" A", " B"), raw=True),
         score=lambda example, response: Score(float(response.logprobs[0] > response.logprobs[1])),
         ideal=lambda example: Response(logprobs=(0.0, -1.0), greedy=(True, False))),
)
"""
