"""vLLM as a backend.  What needs vLLM itself runs by `make test-vllm`, in an environment of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM

from harness.backends import vllm as backend
from harness.backends.transformers import TransformersOptions
from harness.backends.transformers import load as load_transformers
from harness.config import parse_json_pairs
from harness.engine.plain import TokenPair
from harness.hub_cache import hub_place
from harness.types import Checkpoint, Message, Request, Response, SkilldeltaError
from harness.vllm_engine import VllmOptions, VllmOutput, same_shape
from tests.support import tiny

HAS_VLLM = "vllm" in metadata.packages_distributions()
pytestmark = [pytest.mark.filterwarnings("ignore")] if HAS_VLLM else []  # vLLM's own, also when its processes end
needs_vllm = pytest.mark.skipif(
    not HAS_VLLM, reason="vLLM is not installed here: make test-vllm makes an environment that has it"
)
OPTIONS = VllmOptions(dtype="float32", max_length=256, args="enforce_eager=true;kv_cache_memory_bytes=200000000;max_num_seqs=8")
QUESTIONS = ["What is 3+4?", "How many apples are left?", "Write a function.", "Is the dog lazy or quick, and why is it so?"]


def llama(folder: Path, seed: int) -> Path:
    """A random Llama with heads of a size that vLLM's kernels have."""
    return tiny.llama(
        folder,
        seed,
        template=True,
        hidden_size=128,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=64,
        initializer_range=0.1,
    )


def adapter(base: Path, folder: Path, seed: int, rank: int = 4) -> Checkpoint:
    torch.manual_seed(seed)
    settings = peft.LoraConfig(r=rank, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings).save_pretrained(folder)
    return Checkpoint(folder.name, str(folder), "peft", base=str(base))


def whole(folder: Path) -> Checkpoint:
    return Checkpoint(folder.name, str(folder), "transformers")


def test_an_unknown_type_of_numbers_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "packages_distributions", lambda: {"vllm": ["vllm"]})
    for name in ("float99", "int8", "nn"):
        with pytest.raises(SkilldeltaError, match=f"dtype '{name}'"):
            backend.load(whole(tmp_path), VllmOptions(dtype=name))


def ask(model: backend.VllmModel, requests: list[Request]) -> list[Response]:
    by_place = dict(model.answer(requests))
    return [by_place[i] for i in range(len(requests))]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llama(tmp_path_factory.mktemp("vllm") / "base", 0)


@pytest.fixture(scope="module")
def engines() -> Iterator[None]:
    yield
    backend.LAST_ENGINE.close()


def texts() -> list[Request]:
    greedy = [Request(q, max_tokens=20) for q in QUESTIONS]
    stopped = [Request((Message("user", q),), max_tokens=20, stop=("e", "is")) for q in QUESTIONS]
    return [*greedy, *stopped, Request("x" * 3000, max_tokens=4)]


def choices() -> list[Request]:
    return [
        Request("The answer is", choices=(" 7", " 12", " A. True B. False")),
        Request("Question: which?", choices=("A", "B", "C", "D"), raw=True),
        Request("Three contexts", choices=("yes", "yes"), contexts=("Is it? ", "Was it ever? ")),
        Request("", choices=("The quick brown fox jumps.",), rolling=True),
    ]


def assert_same_answers(checkpoint: Checkpoint) -> None:
    """vLLM answers what our own engine answers, within the rounding of float32."""
    ours = load_transformers(checkpoint, TransformersOptions(device="cpu", dtype="float32", max_length=255))
    theirs = backend.load(checkpoint, OPTIONS)
    requests = [*texts(), *choices()]
    expected = dict(ours.answer(requests))
    for place, response in enumerate(ask(theirs, requests)):
        wanted = expected[place]
        assert (response.text, response.finish, response.tokens_in, response.tokens_out) == (
            wanted.text,
            wanted.finish,
            wanted.tokens_in,
            wanted.tokens_out,
        )
        assert response.logprobs == pytest.approx(wanted.logprobs, abs=2e-3)
        assert response.greedy == wanted.greedy


@needs_vllm
@pytest.mark.slow
@pytest.mark.usefixtures("engines")
class TestAgainstOurEngine:
    def test_a_base_two_adapters_of_it_and_another_checkpoint_of_its_shape(self, base: Path, tmp_path: Path) -> None:
        adapters = [adapter(base, tmp_path / name, seed) for seed, name in enumerate(("dpo", "ppo"), start=1)]
        first = backend.load(adapters[0], OPTIONS).engine
        for checkpoint in (*adapters, whole(base), adapters[0]):
            assert_same_answers(checkpoint)
            assert backend.LAST_ENGINE.engine is first  # one base in memory for all of them

    def test_checkpoints_of_one_shape_whether_loaded_in_place_or_anew(self, base: Path, tmp_path: Path) -> None:
        for checkpoint in (whole(base), *(whole(llama(tmp_path / f"seed-{seed}", seed)) for seed in (5, 6))):
            assert_same_answers(checkpoint)
        assert backend.LAST_ENGINE.is_faithful is not None

    def test_draws_depend_on_the_request_alone(self, base: Path) -> None:
        model = backend.load(whole(base), OPTIONS)
        draws = [Request(QUESTIONS[0], max_tokens=12, temperature=1.0, draw=draw) for draw in range(4)]
        together = ask(model, draws)
        assert len({r.text for r in together}) > 1
        assert [ask(model, [draw])[0].text for draw in reversed(draws)] == [r.text for r in reversed(together)]

    def test_a_setting_that_vllm_lacks_is_refused_by_name(self, base: Path) -> None:
        model = backend.load(whole(base), OPTIONS)
        with pytest.raises(SkilldeltaError, match="num_beams"):
            ask(model, [Request("x", generation=(("num_beams", 4),))])
        assert ask(model, [Request("x", max_tokens=5, generation=(("repetition_penalty", 1.3),))])[0].text

    def test_a_killed_run_goes_on(self, base: Path, tmp_path: Path) -> None:
        tasks = tmp_path / "capitals.py"
        tasks.write_text(TASK)
        words = [
            *(sys.executable, "-m", "harness", "score", str(base), "-t", "capitals", "--include-path", str(tasks)),
            *("--backend", "vllm", "--backend-args", f"dtype=float32,max_length=256,args={OPTIONS.args}", "--name", "m"),
            "--exact-resume",
        ]
        killed, whole_run = tmp_path / "killed", tmp_path / "whole"
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        process = subprocess.Popen([*words, "-o", str(killed)], env=environment, start_new_session=True)
        samples = killed / "m" / "capitals" / "samples.jsonl"
        while process.poll() is None and not (samples.exists() and samples.read_bytes().count(b"\n") >= 3):
            pass
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for folder in (killed, whole_run):
            subprocess.run([*words, "-o", str(folder)], env=environment, check=True)
        lines = [
            [json.loads(line) for line in (f / "m/capitals/samples.jsonl").read_text().splitlines()]
            for f in (killed, whole_run)
        ]
        assert len(lines[0]) == 40
        assert lines[0] == lines[1]


TASK = """
from harness.types import Request, Response, Score, Task
TASKS = (Task(
    name="capitals", skill="factuality", version=1, source="made here", rows=lambda folder: [{"n": n} for n in range(40)],
    ask=lambda example: Request(f"What is {example.row['n']}+4?", max_tokens=100),
    score=lambda example, response: Score(float("7" in response.text)), ideal=lambda example: Response("7"),
),)
"""


class TestWithoutVllm:
    @pytest.mark.skipif(HAS_VLLM, reason="vLLM is installed here")
    def test_it_says_how_to_get_vllm(self, base: Path) -> None:
        with pytest.raises(SkilldeltaError, match=r"pip install 'skilldelta\[vllm\]'"):
            backend.load(whole(base), VllmOptions())

    def test_every_token_is_asked_once_behind_its_prefix(self) -> None:
        pairs = [TokenPair([1, 2], [3]), TokenPair([1, 2], [4]), TokenPair([1, 2], [3, 6]), TokenPair([9], [3])]
        assert backend.tokens_by_prefix(pairs) == [
            ([1, 2], [(0, 0, 3), (1, 0, 4), (2, 0, 3)]),
            ([1, 2, 3], [(2, 1, 6)]),
            ([9], [(3, 0, 3)]),
        ]

    def test_nan_is_an_error_and_no_score(self) -> None:
        class Entry:
            logprob = float("nan")

        with pytest.raises(SkilldeltaError, match="NaN"):
            backend.token_logprob(3, VllmOutput([3], logprobs=[{3: Entry()}]))

    def test_further_arguments_are_read_as_json_where_they_are(self) -> None:
        assert parse_json_pairs("a=true;b=2;c=mp;d=[1]") == {"a": True, "b": 2, "c": "mp", "d": [1]}

    def test_a_revision_in_the_name_goes_before_the_option(self, base: Path) -> None:
        assert hub_place("org/model@step_1000", "main") == ("org/model", "step_1000")
        assert hub_place("org/model", "v2") == ("org/model", "v2")
        assert hub_place(str(base), "v2") == (str(base), "")

    def test_checkpoints_of_one_shape_differ_in_weights_alone(self, base: Path, tmp_path: Path) -> None:
        shutil.copytree(base, tmp_path / "same")
        llama(tmp_path / "seed", 3)
        assert same_shape(str(base), str(tmp_path / "same"))
        assert same_shape(str(base), str(tmp_path / "seed"))
        file = tmp_path / "same" / "config.json"
        file.write_text(file.read_text().replace('"max_position_embeddings": 256', '"max_position_embeddings": 512'))
        assert not same_shape(str(base), str(tmp_path / "same"))
        assert not same_shape(str(base), "org/on-the-hub")
