"""The sandbox in a container: its command line, what is said without an engine, and the real thing where there is one."""

import os
import stat
from pathlib import Path

import pytest

from harness.sandbox import Asserts, ProgramLimits, Sandbox, SandboxConfig, container, tiers
from harness.types import SkilldeltaError
from tests.sandbox import outer
from tests.sandbox.attacks import REACH

# The container's own, where the kernel has no Landlock; and an ordinary user's container may know no user but root, who is he.
ITS_OWN = ("reads the table of users", "lists the processes", *(("is root",) if os.geteuid() else ()))
ADD, ADDS = "def add(a, b): return a + b", Asserts("assert add(1, 2) == 3", ("add",))


@pytest.mark.parametrize("engine", container.ENGINES)
def test_the_container_has_no_network_no_writable_file_and_few_rights(engine: str, tmp_path: Path) -> None:
    package = tmp_path / "site-packages/numpy"
    words = container.engine_command(engine, tmp_path, [str(package)], ProgramLimits(memory_mb=512), 3)
    told = " ".join(words)
    assert told.startswith(f"{engine} run --rm --network none ")
    assert words[-1] == container.IMAGE
    for wanted in ("--cap-drop ALL", "--read-only", "--security-opt no-new-privileges", "--memory 3072m", "--pids-limit 424"):
        assert f" {wanted} " in told
    volumes = [word.removeprefix("--volume=") for word in words if word.startswith("--volume")]
    assert f"{package}:{package}:ro" in volumes
    assert all(volume.endswith(":ro") for volume in volumes)
    assert not any(volume.split(":")[0] in ("/", "/home", "/root", "/etc", "/var/run/docker.sock") for volume in volumes)
    assert {word for word in words if "cap-add" in word} == {f"--cap-add={name}" for name in container.CAPABILITIES}


def test_other_peoples_packages_are_covered(tmp_path: Path) -> None:
    words = container.engine_command("docker", tmp_path, [], ProgramLimits(), 1)
    shown, hidden = container.choose_mounts([])
    assert "/usr" in shown
    assert all(f"--volume={tmp_path}/empty:{folder}:ro" in words for folder in hidden)
    assert all(Path(folder).name in ("site-packages", "dist-packages") for folder in hidden)


def test_without_the_engine_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    tiers.examine_tier.cache_clear()
    with pytest.raises(SkilldeltaError, match=r"(?s)docker: there is no command `docker` here.*--sandbox docker.*unsafe"):
        Sandbox(SandboxConfig(tier="docker"))
    tiers.examine_tier.cache_clear()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo no daemon >&2; exit 1", "podman: `podman import` fails: no daemon"),
        ("[ $1 = image ] || { echo no runtime >&2; exit 125; }", "podman: podman does not run the container: no runtime"),
    ],
)
def test_an_engine_that_fails_is_told_in_its_own_words(
    script: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine = tmp_path / "podman"
    engine.write_text(f"#!/bin/sh\n{script}\n")
    engine.chmod(engine.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    tiers.examine_tier.cache_clear()
    with pytest.raises(SkilldeltaError, match=said):
        Sandbox(SandboxConfig(tier="podman"))
    tiers.examine_tier.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("engine", container.ENGINES)
def test_a_program_in_a_container_reaches_nothing_and_leaves_nothing(engine: str) -> None:
    if reason := tiers.unavailable_reason(engine):  # type: ignore[arg-type]
        pytest.skip(f"{engine} cannot be used here: {reason}")
    with Sandbox(SandboxConfig(tier=engine, workers=2)) as sandbox:
        seen = outer.reach(sandbox, None, [])
        for attack in REACH:
            if attack.hidden and attack.name not in ITS_OWN:
                found = seen[attack.name]
                assert not found["reached"], (attack.name, found)
                assert not found["heard"] + found["changed"], attack.name
        assert sandbox.run("import numpy\n" + ADD, ADDS).passed
        assert sandbox.run("open('left', 'w').close()\n" + ADD, ADDS).passed
        assert sandbox.run("import os\ndef f(): return os.listdir()", Asserts("assert f() == []", ("f",))).passed
        verdict = sandbox.run(ADD, ADDS)
        assert (verdict.outcome, verdict.tier) == ("pass", engine)
        templates = [pool.template for pool in sandbox.pools.values()]
    assert [template.process.returncode for template in templates] == [0] * len(templates)
    assert not any(Path(template.base).exists() for template in templates)
