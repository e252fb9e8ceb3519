"""lm-eval's backends render a model's chat template as every other backend does: on a fixed day, with the user's variables."""

from dataclasses import replace

import pytest

from harness.backends import lm_eval
from harness.backends import transformers as own
from harness.types import Checkpoint, Message, Request, SkilldeltaError
from tests.support import tiny

DATED = "{{ strftime_now('%d %B %Y') }}{% if effort %}effort {{ effort }}{% endif %}" + tiny.TEMPLATE
REQUESTS = [
    Request("What is 3 + 4?", max_tokens=4),
    Request((Message("system", "Be short."), Message("user", "How many apples?")), prefix="Answer:", max_tokens=4),
    Request("What is 3 + 5?", choices=(" 7", " 12 apples"), raw=True),
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tiny.llama(tmp_path_factory.mktemp("model"), template=True)
    (folder / "chat_template.jinja").write_text(DATED)
    return Checkpoint("model", str(folder), "transformers")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_prompts_are_those_of_our_own_backend(checkpoint: Checkpoint) -> None:
    options = lm_eval.LmEvalOptions(device="cpu", dtype="float32", template_args="effort=low", template_date="2025-01-02")
    model = lm_eval.load(checkpoint, options)
    ours = own.load(
        checkpoint,
        own.TransformersOptions(device="cpu", dtype="float32", template_args="effort=low", template_date="2025-01-02"),
    )
    assert model.render(REQUESTS[0]).startswith("02 January 2025effort low<s><|user|>What is 3 + 4?<|end|>")
    assert [model.render(r) for r in REQUESTS] == [ours.template.render(r) for r in REQUESTS]
    assert model.rendered_hash(REQUESTS) == ours.rendered_hash(REQUESTS) != ""
    assert {name: model.settings[name] for name in ("template", "template_args", "template_date")} == {
        name: ours.settings[name] for name in ("template", "template_args", "template_date")
    }
    texts = [dict(m.answer(REQUESTS))[0].text for m in (model, ours)]
    assert texts[0] == texts[1]


@pytest.mark.filterwarnings("ignore")
def test_without_a_template_nothing_is_rendered_and_variables_are_refused(checkpoint: Checkpoint) -> None:
    options = lm_eval.LmEvalOptions(device="cpu", dtype="float32", chat_template="none")
    model = lm_eval.load(checkpoint, options)
    assert model.render(REQUESTS[0]) == "What is 3 + 4?"
    assert (model.settings["template"], model.rendered_hash(REQUESTS)) == ("none", "")
    with pytest.raises(SkilldeltaError, match="--template-args effort"):
        lm_eval.LmEvalModel(model.model, replace(options, template_args="effort=low"))
