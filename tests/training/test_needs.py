"""What each trainer's file says of its needs, read without importing it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import registry
from harness.own_packages import ROOT
from harness.training.needs import read_needs
from harness.types import SkilldeltaError

TRAINERS = ROOT / "harness" / "trainers"


@pytest.mark.parametrize("method", registry.modules("trainers"))
def test_every_trainer_says_what_it_needs_as_its_module_does(method: str) -> None:
    needs = read_needs(method)
    assert needs == registry.module("trainers", method).NEEDS
    assert needs.stage
    assert needs.cost > 0
    assert (needs.reward_cost > 0) == needs.reward_model


def test_needs_are_read_without_torch() -> None:
    program = (
        "import sys; from harness.training.needs import read_needs; read_needs('ppo'); "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_the_needs_of_a_new_file_are_read_from_it(tmp_path: Path) -> None:
    shutil.copy(TRAINERS / "dpo.py", tmp_path / "kto.py")
    assert read_needs("kto", tmp_path) == read_needs("dpo")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not say what the method needs"),
        ("NEEDS = Needs('tune')", "not of the form"),
        ("NEEDS = Needs(stage=STAGE)", "no literal"),
    ],
)
def test_a_file_without_readable_needs_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "kto.py").write_text(text, encoding="utf-8")
    with pytest.raises(SkilldeltaError, match=message):
        read_needs("kto", tmp_path)


def test_an_unknown_method_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(SkilldeltaError, match=r"no method 'dpoo'.*Did you mean 'dpo'"):
        read_needs("dpoo")
