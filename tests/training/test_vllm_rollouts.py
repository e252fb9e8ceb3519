"""Answers sampled by vLLM in training: the policy's weights of every step, token for token.

A small engine stands in for vLLM in the ordinary suite.  vLLM itself is asked by `make test-vllm`, where it is installed.
"""

import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from harness import registry
from harness.trainers import grpo, ppo
from harness.training import parallel, policy_models, policy_prompts, vllm_rollouts
from harness.training.rollouts import PolicyItem
from harness.training.sampling import SampledAnswer, SamplingSettings, sample_answers
from harness.training.sampling_gap import GAP, check_gap
from harness.training.tokenization import load_tokenizer
from harness.types import Request, Response, Score, SkilldeltaError, Task
from harness.vllm_engine import VllmJob, VllmOptions, VllmOutput
from harness.vllm_package import has_vllm
from tests.support import tiny

HAS_VLLM = has_vllm()
pytestmark = [pytest.mark.filterwarnings("ignore")] if HAS_VLLM else []  # vLLM's own, also when its processes end
needs_vllm = pytest.mark.skipif(
    not HAS_VLLM, reason="vLLM is not installed here: make test-vllm makes an environment that has it"
)
ARGS = "enforce_eager=true;kv_cache_memory_bytes=200000000;max_num_seqs=16"
Log = list[dict[str, Any]]
TOY = Task(
    name="toy",
    skill="reasoning",
    version=1,
    source="here",
    rows=lambda _: [{"n": n} for n in range(4)],
    training_rows=lambda _: [{"n": n} for n in range(100, 132)],
    ask=lambda example: Request(f"How many apples are {example.row['n']}?", max_tokens=8, stop=("e", "is")),
    score=lambda example, response: Score(len(response.text) % 5 / 4),
    ideal=lambda example: Response("four"),
)


class SmallEngine:
    """What training needs of vLLM: weights of a folder, draws with a seed for each job, log-probabilities."""

    sources: ClassVar[list[str]] = []  # folders that were read

    def __init__(self, source: str, options: VllmOptions, max_rank: int) -> None:
        self.source, self.is_open = source, True
        self.read(source)

    def read(self, source: str) -> None:
        self.sources.append(source)
        self.model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)

    def load_weights(self, source: str) -> None:
        self.read(source)

    def close(self) -> None:
        self.is_open = False

    @torch.no_grad()
    def run(self, jobs: Sequence[VllmJob], adapter: str = "") -> Iterator[tuple[int, VllmOutput]]:
        assert self.is_open
        if adapter:
            self.read(self.source)  # peft changes the model that it is given
        model = PeftModel.from_pretrained(self.model, adapter) if adapter else self.model
        for place, job in reversed(list(enumerate(jobs))):
            output, generator = VllmOutput(finish="length"), torch.Generator().manual_seed(job.settings["seed"])
            while len(output.ids) < job.settings["max_tokens"] and output.finish == "length":
                logits = model(torch.tensor([[*job.ids, *output.ids]])).logits[0, -1] / (job.settings["temperature"] or 1e-6)
                token = int(torch.multinomial(logits.softmax(-1), 1, generator=generator))
                output.ids.append(token)
                output.logprobs.append({token: Entry(float(logits.log_softmax(-1)[token]))})
                if token in job.settings["stop_token_ids"] or (job.should_stop and job.should_stop(output.ids)):
                    output.finish = "stop"
            yield place, output


class Entry:
    def __init__(self, logprob: float) -> None:
        self.logprob = logprob


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    original = registry.task
    monkeypatch.setattr(registry, "task", lambda name: TOY if name == "toy" else original(name))


def llama(folder: Path, is_tied: bool = False) -> str:
    """A random Llama with heads of a size that vLLM's kernels have."""
    sizes = {"hidden_size": 128, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 64, "initializer_range": 0.1}
    return str(tiny.llama(folder, template=True, tie_word_embeddings=is_tied, **sizes))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return llama(tmp_path_factory.mktemp("vllm") / "base")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.vllm_engine.VllmEngine", SmallEngine)
    monkeypatch.setattr("harness.training.reward_settings.has_vllm", lambda: True)


@pytest.fixture(params=["small", pytest.param("vllm", marks=[needs_vllm, pytest.mark.slow])])
def engine(request: pytest.FixtureRequest) -> str:
    """The program behind `--sampler vllm`."""
    if request.param == "small":
        request.getfixturevalue("small")
    return str(request.param)


def settings(model: str, out: Path, **more: Any) -> dict[str, Any]:
    return {
        "model": model, "out": str(out), "reward": "task:toy", "lr": 1e-2, "batch": 8, "rollouts": 4, "max_new": 6,
        "warmup": 0.0, "max_steps": 3, "log_steps": 1, "temperature": 1.0, "device": "cpu", "sampler": "vllm",
        "vllm_args": ARGS,
    } | more  # fmt: skip


def read_log(path: str) -> Log:
    log: Log = json.loads((Path(path) / "trainer_state.json").read_text())["log_history"]
    return log


def assert_same_weights(one: str, other: str) -> None:
    (first_file, *_), (second_file, *_) = (sorted(Path(path).glob("*model.safetensors")) for path in (one, other))
    first, second = load_file(first_file), load_file(second_file)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


class TestAnswers:
    @pytest.mark.slow
    def test_they_are_the_engines_under_the_weights_of_the_moment(self, engine: str, model: str, tmp_path: Path) -> None:
        config = grpo.GRPOConfig(**settings(model, tmp_path, max_new=12))
        policy, tokenizer = policy_models.trainable_policy(config), load_tokenizer(model)
        prompts = policy_prompts.load_policy_prompts(config, tokenizer)
        with ExitStack() as resources:
            sampler = vllm_rollouts.choose_sampler(config, policy, prompts, resources)
            self.check(sampler, policy, prompts, tokenizer)
        assert not (tmp_path / vllm_rollouts.FOLDER).exists()

    def check(self, sampler: Any, policy: Any, prompts: policy_prompts.PolicyPrompts, tokenizer: Any) -> None:
        ids, stops = [item.ids for item in prompts.training[:6]], [item.should_stop for item in prompts.training[:6]]
        ends = frozenset(sample_answers(policy, ids, SamplingSettings(-7, 4, 0.0))[0].ids[3:])  # a token that some answers say
        greedy = SamplingSettings(tokenizer.eos_token_id, 12, 0.0, ends=ends)
        before = self.compare(sampler, policy, ids, greedy, stops)
        assert {answer.has_end for answer in before} == {True, False}
        with torch.no_grad():
            for weight in policy.parameters():
                weight.mul_(1 + 0.2 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(3)))
        assert self.compare(sampler, policy, ids, greedy, stops) != before
        seeds = [sampler(policy, ids, SamplingSettings(tokenizer.eos_token_id, 12, 1.0, seed)) for seed in (1, 1, 2)]
        assert seeds[0] == seeds[1]
        assert [a.ids for a in seeds[0]] != [a.ids for a in seeds[2]]
        again = sampler(policy, ids[:3], SamplingSettings(tokenizer.eos_token_id, 12, 1.0, 1))
        assert [a.ids for a in again] == [a.ids for a in seeds[0][:3]]  # a place and a seed decide, not the others

    def compare(self, sampler: Any, policy: Any, ids: Any, greedy: SamplingSettings, stops: Any) -> list[SampledAnswer]:
        """Both engines' greedy answers, with and without stop strings."""
        answers: list[SampledAnswer] = []
        for checks in ((), stops):
            expected = sample_answers(policy, ids, greedy, checks)
            answers += sampler(policy, ids, greedy, checks)
            assert [(a.ids, a.has_end) for a in answers[-len(ids) :]] == [(a.ids, a.has_end) for a in expected]
        return answers


class TestRuns:
    @pytest.mark.slow
    @pytest.mark.parametrize(("lora", "is_tied"), [(0, False), (0, True), (4, True)])
    def test_every_step_samples_from_its_own_weights(self, lora: int, is_tied: bool, engine: str, tmp_path: Path) -> None:
        """vLLM on a processor starts anew for tied weights, which it does not load in place."""
        model = llama(tmp_path / "base", is_tied)
        run = grpo.train(grpo.GRPOConfig(**settings(model, tmp_path / "run", lora=lora)))
        assert [row[GAP] < 1e-3 for row in read_log(run.path)] == [True] * 3  # older weights give 1.5: see TestGap
        assert not (tmp_path / "run" / vllm_rollouts.FOLDER).exists()

    @pytest.mark.slow
    def test_ppo_trains_on_its_own_log_probabilities_and_resumes(self, engine: str, model: str, tmp_path: Path) -> None:
        config = settings(model, tmp_path / "run", lr=1e-3, minibatch=8, max_steps=4, save_steps=2)
        whole = ppo.train(ppo.PPOConfig(**config))
        log = read_log(whole.path)
        assert [row[GAP] < 1e-3 for row in log] == [True] * 4
        assert [row["val/ratio"] for row in log] == [pytest.approx(1.0, abs=1e-6)] * 4
        shutil.copytree(tmp_path / "run", tmp_path / "killed")
        (tmp_path / "killed" / vllm_rollouts.FOLDER / "7").mkdir(parents=True)  # what a killed run leaves
        shutil.rmtree(tmp_path / "killed/checkpoint-4")
        state = json.loads((tmp_path / "run/run.json").read_text())
        (tmp_path / "killed/run.json").write_text(json.dumps(state | {"status": "running"}))
        again = ppo.train(ppo.PPOConfig(**config | {"out": str(tmp_path / "killed")}))
        assert_same_weights(whole.path, again.path)
        assert not (tmp_path / "killed" / vllm_rollouts.FOLDER).exists()


@pytest.mark.usefixtures("small")
class TestPlumbing:
    @pytest.mark.slow
    @pytest.mark.parametrize("lora", [0, 4])
    @pytest.mark.parametrize("method", ["grpo", "ppo"])
    def test_training_sees_the_tokens_and_nothing_else(
        self, method: str, lora: int, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same answers from the trainers' own engine give the same weights, bit for bit."""
        kind, train = {"grpo": (grpo.GRPOConfig, grpo.train), "ppo": (ppo.PPOConfig, ppo.train)}[method]
        more = {"lora": lora, "minibatch": 4, "inner_epochs": 2, "max_steps": 2}
        answers: list[list[SampledAnswer]] = []
        sample = vllm_rollouts.VllmSampler.__call__

        def record(*arguments: Any) -> list[SampledAnswer]:
            sampled = sample(*arguments)
            answers.extend([sampled] * (len(sampled) > 1))  # one: the trial
            return sampled

        def replay(*arguments: Any) -> list[SampledAnswer]:
            return [SampledAnswer(a.ids, a.has_end) for a in answers.pop(0)]

        monkeypatch.setattr(vllm_rollouts.VllmSampler, "__call__", record)
        first = train(kind(**settings(model, tmp_path / "vllm", **more)))  # type: ignore[arg-type]
        monkeypatch.setattr(vllm_rollouts, "sample_answers", replay)
        second = train(kind(**settings(model, tmp_path / "engine", sampler="engine", **more)))  # type: ignore[arg-type]
        assert not answers
        assert_same_weights(first.path, second.path)
        assert GAP not in read_log(second.path)[0]

    @pytest.mark.slow
    def test_weights_that_cannot_be_loaded_in_place_start_vllm_anew(
        self, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(SmallEngine, "load_weights", lambda *_: None)
        monkeypatch.setattr(SmallEngine, "sources", sources := list[str]())
        run = grpo.train(grpo.GRPOConfig(**settings(model, tmp_path / "run", max_steps=2)))
        assert [row[GAP] < 1e-3 for row in read_log(run.path)] == [True] * 2
        assert [Path(source).name for source in sources] == ["start", "2", "3"]
        assert "starts anew for every batch" in caplog.text

    def test_auto_is_the_engine_on_a_processor(self, model: str, tmp_path: Path) -> None:
        config = grpo.GRPOConfig(**settings(model, tmp_path, sampler="auto"))
        sampler = vllm_rollouts.choose_sampler(config, policy_models.trainable_policy(config), items(8), ExitStack())
        assert sampler is sample_answers

    @pytest.mark.slow
    def test_keys_among_the_arguments_are_not_stored(self, model: str, tmp_path: Path) -> None:
        run = grpo.train(grpo.GRPOConfig(**settings(model, tmp_path / "run", max_steps=1, vllm_args="hf_token=abc123;a=1")))
        text = (Path(run.run) / "run.json").read_text()
        assert "abc123" not in text
        assert ";a=1" in text


def items(length: int) -> policy_prompts.PolicyPrompts:
    return policy_prompts.PolicyPrompts([PolicyItem(tuple(range(3, 3 + length)))], [], [])


@pytest.mark.usefixtures("small")
class TestRefusals:
    def choose(self, model: str, out: Path, length: int = 8, **more: Any) -> Any:
        config = grpo.GRPOConfig(**settings(model, out, **more))
        return vllm_rollouts.choose_sampler(config, policy_models.trainable_policy(config), items(length), ExitStack())

    def test_sequences_beyond_the_window(self, model: str, tmp_path: Path) -> None:
        with pytest.raises(SkilldeltaError, match=r"251.*need 257 tokens.*256"):
            self.choose(model, tmp_path, length=6, max_new=251)
        assert self.choose(model, tmp_path, length=6, max_new=250)

    def test_several_processes(self, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parallel, "process_count", lambda: 2)
        with pytest.raises(SkilldeltaError, match="one process, and these are 2"):
            self.choose(model, tmp_path)

    def test_a_rank_that_vllm_has_no_buffers_for(self, model: str, tmp_path: Path) -> None:
        with pytest.raises(SkilldeltaError, match="--lora is 513, and vLLM takes up to 512"):
            self.choose(model, tmp_path, lora=513)

    def test_an_engine_that_does_not_start(self, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any) -> None:
            raise SkilldeltaError("vLLM does not load it: no memory\nUse --backend transformers.")

        monkeypatch.setattr("harness.vllm_engine.VllmEngine", fail)
        with pytest.raises(SkilldeltaError, match=r"no memory\nUse --sampler engine, or change --vllm-memory"):
            self.choose(model, tmp_path)

    def test_an_engine_that_ends(self, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any) -> None:
            raise RuntimeError("the core died")

        monkeypatch.setattr(SmallEngine, "run", fail)
        with pytest.raises(SkilldeltaError, match=r"RuntimeError: the core died\nThe same command goes on"):
            grpo.train(grpo.GRPOConfig(**settings(model, tmp_path / "run")))

    def test_a_share_of_memory_that_is_none(self, model: str, tmp_path: Path) -> None:
        with pytest.raises(SkilldeltaError, match=r"--vllm-memory 30: .* for 30 % write 0.3"):
            grpo.train(grpo.GRPOConfig(**settings(model, tmp_path, vllm_memory=30)))


@pytest.mark.skipif(HAS_VLLM, reason="vLLM is installed here")
def test_a_missing_vllm_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match=r"pip install 'skilldelta\[vllm\]'.*--sampler engine"):
        grpo.train(grpo.GRPOConfig(**settings(str(tmp_path / "nothing"), tmp_path / "run")))


class TestGap:
    @pytest.mark.slow
    @pytest.mark.usefixtures("small")
    def test_the_weights_of_the_step_before_end_the_run(
        self, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        load, loads = SmallEngine.load_weights, list[str]()

        def load_twice(engine: SmallEngine, source: str) -> None:
            loads.append(source)
            if len(loads) < 3:  # the trial, the first step
                load(engine, source)

        monkeypatch.setattr(SmallEngine, "load_weights", load_twice)
        with pytest.raises(SkilldeltaError, match="does not compute this policy"):
            grpo.train(grpo.GRPOConfig(**settings(model, tmp_path / "run", save_steps=1)))
        assert len(loads) == 3
        assert [path.name for path in (tmp_path / "run").glob("checkpoint-*")] == ["checkpoint-1"]

    @pytest.mark.slow
    @pytest.mark.usefixtures("small")
    @pytest.mark.parametrize("method", ["grpo", "ppo"])
    def test_another_model_ends_the_run(self, method: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        kind, train = {"grpo": (grpo.GRPOConfig, grpo.train), "ppo": (ppo.PPOConfig, ppo.train)}[method]
        monkeypatch.setattr(Entry, "__init__", lambda entry, logprob: setattr(entry, "logprob", logprob - 0.6))
        with pytest.raises(SkilldeltaError, match="does not compute this policy"):
            train(kind(**settings(model, tmp_path / "run")))  # type: ignore[arg-type]

    def test_a_large_one_is_said_and_a_small_one_is_not(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, "skilldelta"):
            check_gap(0.02, 1.0)
            check_gap(0.5, 0.1)  # the temperature enlarges it ten times
            assert not caplog.messages
            check_gap(0.2, 1.0)
        assert "differ from the policy's by 0.2" in caplog.text
        with pytest.raises(SkilldeltaError):
            check_gap(float("nan"), 1.0)
