# ruff: noqa: E501  programs stand on one line each
"""What a program returns holds no chance: two runs store the same bytes."""

from collections.abc import Collection
from typing import Any

import pytest

from harness.sandbox import Sandbox, SandboxConfig
from tests.sandbox.test_collusion import HEAD, result

# Values with addresses, numbers of processes, names of files and other chance: each the same in every run.
CHANCE = {
    "objects": "class A: pass\ndef f():\n    return repr([A(), object(), {A(): 1}, lambda: 0, (i for i in ()), map(str, [])])",
    "a set of objects": "class A:\n    def __init__(self, i): self.i = i\ndef f():\n    return [a.i for a in {A(i) for i in range(50)}]",
    "id and hash": "def f():\n    return id([]), id('x' * 50), hash(object()), sorted(range(20), key=lambda i: id(str(i) * 9))",
    "an error with objects": "class A: pass\ndef f(): raise KeyError(A(), {A()}, id(A()), {object(): 1}.items())",
    "names of its own": "import uuid, secrets, tempfile\ndef f():\n    return str(uuid.uuid4()), secrets.token_hex(), tempfile.mktemp(), os.urandom(3)",
    "generators without a seed": "import random\nrandom.seed()\ndef f():\n    return random.random(), random.Random().random(), random.SystemRandom().random()",
    "numpy without a seed": "import numpy\ndef f():\n    return numpy.random.default_rng().random(), repr(numpy.random.default_rng())",
    "threads": "import threading\ndef f():\n    seen = []\n    t = threading.Thread(target=lambda: seen.append((threading.get_ident(), threading.get_native_id(), repr(t)))); t.start(); t.join()\n    return seen",
    "a folder of its own": "import tempfile\ndef f(): open(tempfile.mkdtemp() + '/no/file')",
    "its surroundings": "def f(): raise ValueError(os.getpid(), os.getcwd(), sorted(os.environ.items()))",
    "tasks of an event loop": "import asyncio\nasync def g(): return repr(asyncio.current_task()), id(asyncio.get_running_loop())\ndef f(): return asyncio.run(g())",
    "code and frames": "import sys\ndef f(): raise ValueError(f.__code__, sys._getframe())",
}  # fmt: skip
WITHOUT_ADDRESS = ("names of its own", "generators without a seed", "a folder of its own", "its surroundings")


@pytest.mark.slow
def test_what_a_program_returns_holds_no_chance(sandbox: Sandbox) -> None:
    """In another sandbox too, as a second command has.  One that is set up otherwise may have other addresses."""
    if sandbox.tier != "namespaces":
        pytest.skip("other tiers share process numbers and folders with the machine")

    def results(each: Sandbox, names: Collection[str] = CHANCE) -> dict[str, Any]:
        return {name: repr(result(each, HEAD + CHANCE[name])) for name in names}

    with Sandbox(SandboxConfig(workers=1)) as one, Sandbox(SandboxConfig(workers=1)) as other:
        first = results(one)
        assert first == results(one) == results(other)
    assert results(sandbox, WITHOUT_ADDRESS) == {name: first[name] for name in WITHOUT_ADDRESS}
    assert not [name for name in first if "ModuleNotFoundError" in first[name] or "NameError" in first[name]]


def test_no_name_of_a_folder_is_stored(sandbox: Sandbox) -> None:
    with Sandbox(SandboxConfig(workers=1, tier="none")) as unconfined:
        for each in (sandbox, unconfined):
            assert (
                result(
                    each,
                    "def f(): open('/tmp/no') if __import__('os').getcwd() == '/tmp' else open(__import__('os').getcwd() + '/no')",
                )
                == "error: call 0: FileNotFoundError: [Errno 2] No such file or directory: '/tmp/no'"
            )
