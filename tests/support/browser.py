"""A page in a headless browser: its DOM after its scripts, and what a script of the test did to it."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlencode

import pytest

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --enable-logging=stderr --virtual-time-budget=8000 --dump-dom"""


def browser() -> str:
    """The path of Chromium; the test is skipped where there is none."""
    found = next((b for name in ("chromium", "chromium-browser", "google-chrome") if (b := shutil.which(name))), None)
    if not found:
        pytest.skip("needs Chromium")
    return found


def opened(index: Path, profile: Path, script: str = "", width: int = 1300, **link: str) -> tuple[str, str]:
    """The page's DOM after its script has run, as text, and what the console said.

    `script`: runs after the page's own, in a copy of the page without its policy.  `width`: of the window, in pixels.
    """
    if script:
        text = re.sub(r"<meta http-equiv[^>]*>", "", index.read_text(encoding="utf-8"))
        index = index.with_name(f"{profile.name}.html")
        index.write_text(text.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    address = f"{index.resolve().as_uri()}#{urlencode(link)}"
    command = [browser(), *FLAGS.split(), f"--window-size={width},1000", f"--user-data-dir={profile}", address]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    console = "\n".join(line for line in ran.stderr.splitlines() if "CONSOLE" in line)
    return ran.stdout, console


def inside(dom: str, name: str) -> str:
    """The text of the element with an id, tags taken off."""
    match = re.search(rf'<(\w+)[^>]* id="{name}"[^>]*>(.*?)</\1>', dom, re.DOTALL) or re.search(
        rf'<(\w+) id="{name}"[^>]*>(.*?)</\1>', dom, re.DOTALL
    )
    assert match, f"no {name}"
    return html.unescape(re.sub(r"<[^>]*>", " ", match.group(2)))
