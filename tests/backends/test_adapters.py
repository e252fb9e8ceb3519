"""Adapters of one base: the base is loaded once, and each adapter answers as it does alone."""

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers

from harness.backends import lm_eval
from harness.backends.transformers import BASES, TransformersModel, TransformersOptions, load
from harness.types import Checkpoint, Request, SkilldeltaError
from tests.support import tiny

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # peft's, on tied heads and unusual layers
TARGETS = ["q_proj", "v_proj"]
REQUESTS = [
    Request("What is 3 + 4?", choices=(" 7", " 12 apples", " the fox")),
    Request("What is 3 + 5?", choices=(" 7", " 12 apples")),
    Request("Say something.", max_tokens=6),
]
KINDS: dict[str, Any] = {
    "lora": lambda: peft.LoraConfig(r=4, target_modules=TARGETS, init_lora_weights=False),
    "dora": lambda: peft.LoraConfig(r=4, target_modules=TARGETS, use_dora=True, init_lora_weights=False),
    "rslora": lambda: peft.LoraConfig(r=4, target_modules=TARGETS, use_rslora=True, init_lora_weights=False),
    "lora with bias": lambda: peft.LoraConfig(r=4, target_modules=TARGETS, init_lora_weights=False, bias="lora_only"),
    "lora and head": lambda: peft.LoraConfig(r=4, target_modules=TARGETS, init_lora_weights=False, modules_to_save=["lm_head"]),
    "ia3": lambda: peft.IA3Config(
        target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"], init_ia3_weights=False
    ),
    "loha": lambda: peft.LoHaConfig(r=4, target_modules=TARGETS, init_weights=False),
    "lokr": lambda: peft.LoKrConfig(r=4, target_modules=TARGETS, init_weights=False),
    "vera": lambda: peft.VeraConfig(r=4, target_modules=["q_proj"], init_weights=False),
    "oft": lambda: peft.OFTConfig(oft_block_size=4, target_modules=TARGETS, init_weights=False),
    "layer norms": lambda: peft.LNTuningConfig(task_type="CAUSAL_LM", target_modules=["input_layernorm"]),
    "prompt": lambda: peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
    "prefix": lambda: peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama(tmp_path_factory.mktemp("base"))


def save_adapter(base: Path, folder: Path, config: Any, seed: int) -> Checkpoint:
    torch.manual_seed(seed)
    model = peft.get_peft_model(transformers.AutoModelForCausalLM.from_pretrained(base), config)
    for weights in model.parameters():
        if weights.requires_grad:
            weights.data.add_(0.1 * torch.randn(weights.shape))
    model.save_pretrained(str(folder))
    return Checkpoint(folder.name, str(folder), "peft", base=str(base))


@pytest.fixture
def base_loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources that transformers loaded a model from."""
    sources: list[str] = []
    original = transformers.AutoModelForCausalLM.from_pretrained

    def counted(source: str | None, *args: Any, **more: Any) -> Any:
        if source is not None:  # the contract builds an empty one from None
            sources.append(source)
        return original(source, *args, **more)

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", counted)
    return sources


def answers(model: TransformersModel) -> list[tuple[Any, ...]]:
    by_place = dict(model.answer(REQUESTS))
    return [(by_place[i].text, by_place[i].logprobs) for i in range(len(REQUESTS))]


def answers_alone(checkpoint: Checkpoint) -> list[tuple[Any, ...]]:
    """By a base of its own: equal options that the garbage collector has not found yet would share theirs."""
    BASES.clear()
    alone = answers(load(checkpoint, TransformersOptions(device="cpu", dtype="float32")))
    BASES.clear()
    return alone


def assert_near(some: list[tuple[Any, ...]], others: list[tuple[Any, ...]]) -> None:
    for (text, logprobs), (other_text, other_logprobs) in zip(some, others, strict=True):
        assert text == other_text
        assert logprobs == pytest.approx(other_logprobs, abs=2.2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [kind if kind in ("lora", "lora and head") else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
)
def test_checkpoints_of_one_run_load_their_base_once_and_answer_as_each_alone(
    kind: str, base: Path, tmp_path: Path, base_loads: list[str]
) -> None:
    checkpoints = [save_adapter(base, tmp_path / f"checkpoint-{n}", KINDS[kind](), n) for n in (1, 2, 3)]
    alone = [answers_alone(checkpoint) for checkpoint in checkpoints]
    assert alone[0] != alone[1]
    base_loads.clear()
    options = TransformersOptions(device="cpu", dtype="float32")
    for checkpoint, expected in zip([*checkpoints, checkpoints[0]], [*alone, alone[0]], strict=True):
        assert_near(answers(load(checkpoint, options)), expected)
    assert base_loads == [str(base)]


@pytest.mark.slow
def test_adapters_of_different_kinds_and_their_base_load_it_once(base: Path, tmp_path: Path, base_loads: list[str]) -> None:
    kinds = ("lora", "loha", "dora", "vera", "lora")
    checkpoints = [Checkpoint("base", str(base), "transformers")]
    checkpoints += [save_adapter(base, tmp_path / f"{n}", KINDS[kind](), n) for n, kind in enumerate(kinds)]
    alone = [answers_alone(checkpoint) for checkpoint in checkpoints]
    base_loads.clear()
    options = TransformersOptions(device="cpu", dtype="float32")
    for checkpoint, expected in zip(checkpoints, alone, strict=True):
        assert_near(answers(load(checkpoint, options)), expected)
    assert base_loads == [str(base)]


@pytest.mark.slow
def test_an_adapter_that_changes_the_base_itself_leaves_no_trace_in_the_next(base: Path, tmp_path: Path) -> None:
    kinds = ("lora and head", "lora", "lora with bias", "loha", "prompt", "lora")
    checkpoints = [save_adapter(base, tmp_path / f"{n}", KINDS[kind](), n) for n, kind in enumerate(kinds)]
    alone = [answers_alone(checkpoint) for checkpoint in checkpoints]
    options = TransformersOptions(device="cpu", dtype="float32")
    for checkpoint, expected in zip(checkpoints, alone, strict=True):
        assert_near(answers(load(checkpoint, options)), expected)


@pytest.mark.slow
def test_two_adapters_in_use_take_turns_even_within_an_answer(base: Path, tmp_path: Path) -> None:
    checkpoints = [save_adapter(base, tmp_path / f"{n}", KINDS["lora"](), n) for n in (1, 2)]
    alone = [answers_alone(checkpoint) for checkpoint in checkpoints]
    options = TransformersOptions(device="cpu", dtype="float32")
    first, second = (load(checkpoint, options) for checkpoint in checkpoints)
    assert first.model is second.model
    mixed: tuple[dict[int, Any], dict[int, Any]] = ({}, {})
    for one, other in zip(first.answer(REQUESTS), second.answer(REQUESTS), strict=True):
        mixed[0][one[0]], mixed[1][other[0]] = one[1], other[1]
    for by_place, expected in zip(mixed, alone, strict=True):
        assert_near([(by_place[i].text, by_place[i].logprobs) for i in range(len(REQUESTS))], expected)


@pytest.mark.slow
def test_an_adapter_of_another_kind_does_not_disturb_one_that_is_in_use(base: Path, tmp_path: Path) -> None:
    options = TransformersOptions(device="cpu", dtype="float32")
    checkpoints = [save_adapter(base, tmp_path / kind, KINDS[kind](), 1) for kind in ("lora", "loha")]
    alone = [answers_alone(checkpoint) for checkpoint in checkpoints]
    first, second = (load(checkpoint, options) for checkpoint in checkpoints)
    assert_near(answers(first), alone[0])
    assert_near(answers(second), alone[1])


@pytest.mark.slow
def test_the_base_is_freed_with_the_settings_of_its_run(base: Path, tmp_path: Path) -> None:
    options = TransformersOptions(device="cpu", dtype="float32", batch_size=5)
    load(save_adapter(base, tmp_path / "lora", KINDS["lora"](), 1), options)
    assert options in BASES
    del options
    assert TransformersOptions(device="cpu", dtype="float32", batch_size=5) not in BASES


@pytest.mark.slow
def test_an_adapter_with_values_that_are_no_numbers_is_refused_behind_a_good_one(base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    options = TransformersOptions(device="cpu", dtype="float32")
    good, bad = (save_adapter(base, tmp_path / f"{n}", KINDS["lora"](), n) for n in (1, 2))
    file = Path(bad.path) / "adapter_model.safetensors"
    tensors = load_file(file)
    tensors[next(iter(tensors))][0] = float("nan")
    save_file(tensors, file)
    expected = answers(load(good, options))
    with pytest.raises(SkilldeltaError, match="no numbers"):
        load(bad, options)
    assert_near(answers(load(good, options)), expected)


def test_lm_evals_backends_get_an_adapter_under_the_name_that_each_has_for_it(base: Path, tmp_path: Path) -> None:
    checkpoint = save_adapter(base, tmp_path / "dpo", KINDS["lora"](), 1)
    for backend, name in (("hf", "peft"), ("vllm", "lora_local_path")):
        arguments = lm_eval.model_arguments(checkpoint, lm_eval.LmEvalOptions(backend))
        assert arguments == {"pretrained": str(base), name: checkpoint.path}
    with pytest.raises(SkilldeltaError, match="lm-eval:sglang takes whole models"):
        lm_eval.model_arguments(checkpoint, lm_eval.LmEvalOptions("sglang"))


@pytest.mark.slow
def test_adapters_that_are_asked_in_turns_are_decoded_in_pages_as_each_alone(base: Path, tmp_path: Path) -> None:
    checkpoints = [save_adapter(base, tmp_path / f"checkpoint-{n}", KINDS["lora"](), n) for n in (1, 2)]
    requests = [Request(f"Say {word} again and again.", max_tokens=4 + n) for n, word in enumerate(("one", "two", "three"))]
    texts = []
    for engine in ("plain", "continuous"):
        BASES.clear()
        options = TransformersOptions(device="cpu", dtype="float32", engine=engine)  # type: ignore[arg-type]
        models = [load(checkpoint, options) for checkpoint in checkpoints]
        assert models[0].engine is models[1].engine
        assert models[0].engine.decodes_in_pages == (engine == "continuous")
        asking, found = [model.answer(requests) for model in models], [dict[int, str](), dict[int, str]()]
        for _ in requests:
            for number, responses in enumerate(asking):
                place, response = next(responses)
                found[number][place] = response.text
        texts.append(found)
    BASES.clear()
    assert texts[0] == texts[1]
    assert texts[0][0] != texts[0][1]
