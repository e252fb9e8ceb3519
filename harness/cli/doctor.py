"""skilldelta doctor: what this machine can do, and what is missing."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from harness.cli.inspect import Json
from harness.cli.screen import say_json, table
from harness.types import SkilldeltaError

PACKAGES = ("torch", "transformers", "lm-eval", "datasets", "peft", "accelerate", "vllm", "trl", "ray")


def doctor(as_json: Json = False) -> None:
    """What this machine can do: device, sandbox, data, versions; and how to get what is missing."""
    found = {name: look() for name, look in LOOKS.items()}
    if as_json:
        say_json(found)
        return
    table(["what", "found"], [[name, text] for name, text in found.items()])


def machine() -> str:
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    return f"{system}, {os.cpu_count()} processors, Python {platform.python_version()}"


def device() -> str:
    """The device that models run on, as the transformers backend chooses it."""
    from harness import registry

    return str(registry.module("backends", "transformers").devices())


def sandbox() -> str:
    """The tier in force for programs that a model wrote, by a self-test of its effect."""
    from harness.sandbox import Options, Sandbox

    try:
        with Sandbox(Options(tier=os.environ.get("SKILLDELTA_SANDBOX", ""))) as found:
            return (
                f"{found.tier}: programs of coding tasks run confined"
                if found.tier != "none"
                else "none: programs run UNCONFINED"
            )
    except SkilldeltaError as error:
        return str(error)


def rows() -> str:
    """Where benchmark rows come from."""
    from harness.data import VARIABLE, default_folder

    folder = default_folder()
    if folder:
        state = "" if folder.is_dir() else ", WHICH DOES NOT EXIST"
        return f"the folder {folder} ({VARIABLE}){state}"
    offline = any(os.environ.get(v, "0") not in ("", "0") for v in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"))
    return f"the Hub's local cache (offline is set); name a folder with --data or {VARIABLE}" if offline else "the Hub"


def browser() -> str:
    found = next((b for b in ("chromium", "chromium-browser", "google-chrome") if shutil.which(b)), "")
    return found or "none found: the page opens in any browser; only its tests need Chromium"


def packages() -> str:
    return ", ".join(f"{name} {installed(name)}" for name in PACKAGES)


def installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def cluster() -> str:
    return "one machine; several are not built yet"


LOOKS: dict[str, Callable[[], str]] = {
    "machine": machine,
    "device": device,
    "sandbox": sandbox,
    "rows": rows,
    "packages": packages,
    "browser": browser,
    "cluster": cluster,
}
VERBS = (doctor,)
