"""skilldelta doctor: what this machine can do, and what is missing."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from harness.cli.options import Json
from harness.cli.screen import print_json, print_table
from harness.types import SkilldeltaError

PACKAGES = ("torch", "transformers", "lm-eval", "datasets", "peft", "accelerate", "vllm", "trl", "ray", "submitit")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def doctor(as_json: Json = False) -> None:
    """What this machine can do: device, sandbox, data and versions; and how to get what is missing."""
    facts = {name: describe() for name, describe in CHECKS.items()}
    if as_json:
        print_json(facts)
        return
    print_table(["subject", "state"], [[name, text] for name, text in facts.items()])


def describe_machine() -> str:
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    count = os.cpu_count()
    return f"{system}, {count} processor{'s' * (count != 1)}, Python {platform.python_version()}"


def describe_device() -> str:
    """The device that models run on, as the transformers backend chooses it."""
    from harness.engine.device_names import describe_devices

    return describe_devices()


def describe_sandbox() -> str:
    """How programs that a model wrote are confined here, by a self-test of the effect."""
    from harness.sandbox import Sandbox, SandboxConfig
    from harness.sandbox.tiers import OPEN_CHANNELS, describe_file_user

    try:
        with Sandbox(SandboxConfig(tier=os.environ.get("SKILLDELTA_SANDBOX", ""))) as sandbox:
            if sandbox.tier == "none":
                return "none: programs run UNCONFINED"
            channels = "; ".join(OPEN_CHANNELS[sandbox.tier])
            users = f"{remark}.  " if (remark := describe_file_user(sandbox.tier)) else ""
            confined = f"{sandbox.tier}: programs of coding tasks run confined.  {users}"
            return f"{confined}What they can still tell each other by: {channels}"
    except SkilldeltaError as error:
        return str(error)


def describe_data() -> str:
    """Where benchmark rows come from."""
    from harness.data import VARIABLE, default_folder

    folder = default_folder()
    if folder:
        state = "" if folder.is_dir() else ", WHICH DOES NOT EXIST"
        return f"the folder {folder} ({VARIABLE}){state}"
    offline = any(os.environ.get(v, "0") not in ("", "0") for v in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"))
    return f"the Hub's local cache (offline is set); name a folder with --data or {VARIABLE}" if offline else "the Hub"


def describe_browser() -> str:
    browser = next((b for b in BROWSERS if shutil.which(b)), "")
    return browser or "none found: the page opens in any browser; only its tests need Chromium"


def describe_packages() -> str:
    return ", ".join(f"{name} {package_version(name)}" for name in PACKAGES)


def package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def describe_cluster() -> str:
    """What --cluster can use from here."""
    from harness.cluster.description import describe_ray, describe_slurm

    return f"{describe_ray()}; {describe_slurm()}"


CHECKS: dict[str, Callable[[], str]] = {
    "machine": describe_machine,
    "device": describe_device,
    "sandbox": describe_sandbox,
    "rows": describe_data,
    "packages": describe_packages,
    "browser": describe_browser,
    "cluster": describe_cluster,
}
VERBS = (doctor,)
