"""A chat template that loops or allocates without end is an error of its checkpoint, in time and within memory."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness import api
from harness.prompts import template_trial
from harness.prompts.templates import TemplateError, TemplateSettings, choose_template
from harness.types import Request
from tests.support import tiny, toys

LOOP = "{% for i in range(90000) %}{% for j in range(90000) %}{% for k in range(90000) %}{% endfor %}{% endfor %}{% endfor %}"
ENDLESS = {
    "loops": (LOOP, "no end within"),
    "loops for one prompt alone": (
        "{% if 'evil' in messages[0].content %}" + LOOP + "{% endif %}{{ messages[0].content }}",
        "no end within",
    ),
    "allocates": ("{{ 'a' * 100000000000 }}", "no end within"),
    "doubles a text": (
        "{% set ns = namespace(t='a') %}{% for i in range(60) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}{{ ns.t }}",
        "",
    ),
    "writes much": (
        "{{ messages[0].content }}{% for i in range(50000) %}" + "x" * 1000 + "{% endfor %}",
        "a prompt of more than 20,000,000 letters",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ENDLESS)
def test_a_template_without_end_is_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # What writes much ends by its length, however slowly.
    monkeypatch.setattr(template_trial, "SECONDS", 60 if kind == "writes much" else 0.5)
    source, words = ENDLESS[kind]
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = source
    template = choose_template("auto", tokenizer, TemplateSettings())
    with pytest.raises(TemplateError, match=f"cannot be used: it makes {words}"):
        template_trial.try_requests(template, [Request("harmless"), Request("evil")])


@pytest.mark.slow
def test_limits_of_the_machine_do_not_keep_the_trial_from_its_own() -> None:
    program = """
import encodings.ascii, itertools, os, resource
from harness.prompts import template_trial
resource.setrlimit(resource.RLIMIT_AS, (1 << 42, 1 << 42))
if os.geteuid() == 0:
    os.setuid(65534)  # root may raise limits
template_trial.SECONDS = 0.5
template_trial.try_template(lambda: itertools.repeat("x"), 1)
"""
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "cannot be used: it makes no end within" in process.stderr


def test_a_template_that_fails_says_so_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    template = choose_template("auto", tokenizer)
    template_trial.try_requests(template, [Request("Hello")])
    with pytest.raises(TemplateError, match="roles must alternate"):
        template.render(Request("Hello"))


def test_each_request_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tiny.tokenizer(template=True)
    counts: list[int] = []
    monkeypatch.setattr(template_trial, "try_template", lambda render, count: counts.append(count))
    monkeypatch.setattr(template_trial, "TRIED", set())
    template = choose_template("auto", tokenizer)
    for requests in ([Request("a"), Request("b")], [Request("b")], [Request("b"), Request("c")]):
        template_trial.try_requests(template, requests)
    assert counts == [2, 1]


@pytest.mark.slow
def test_scoring_such_a_checkpoint_is_a_failed_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_trial, "SECONDS", 0.5)
    folder = tiny.llama(tmp_path / "model", template=True)
    (folder / "chat_template.jinja").write_text(LOOP)
    (outcome,) = api.score(
        [str(folder)], [toys.adding(3)], tmp_path / "results", backend=api.Backend(options={"device": "cpu"})
    )
    assert outcome.state == "failed"
    assert "chat template cannot be used" in outcome.why
