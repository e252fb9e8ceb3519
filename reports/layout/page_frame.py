"""What every page that opens from disk has: its head with the policy of what may run, pictures for light and dark, lists."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable
from pathlib import Path
from string import Template
from typing import Any

from harness.visible_text import show_controls
from reports.layout import drawing

ASSETS = Path(__file__).parent.parent / "assets"
PICTURE = """<div class="plot"><picture>
<source media="(prefers-color-scheme: dark)" srcset="{dark}"><img alt="{alt}" width="{width}" src="{light}"></picture></div>"""
PIXELS_PER_INCH = 100  # of a picture's natural width: its small print has 10 pixels


def fill_page(asset: str, title: str, style: str, script: str = "", **parts: str) -> str:
    """The page of a template in assets/, whose other fields are `parts`: HTML that is escaped already."""
    template = Template((ASSETS / "head.html").read_text(encoding="utf-8") + (ASSETS / asset).read_text(encoding="utf-8"))
    policy = content_policy(style, script)
    return template.substitute(policy=policy, title=escape_html(title), style=style, script=script, **parts)


def content_policy(style: str, script: str = "") -> str:
    """Only the page's own style and script run; chunks come from its own folder; nothing else is loaded or sent."""
    style_hash, script_hash = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script))
    scripts = f"script-src 'self' 'sha256-{script_hash}'; " if script else ""
    return f"default-src 'none'; {scripts}style-src 'sha256-{style_hash}'; img-src data:; base-uri 'none'; form-action 'none'"


def escape_html(text: str) -> str:
    """Text of strangers that a page shows as it is."""
    return html.escape(show_controls(text))


def html_items(sentences: Iterable[str]) -> str:
    return "".join(f"<li>{escape_html(text)}</li>" for text in sentences)


def html_picture(figure: Any, alt: str) -> str:
    """A figure as images for light and for dark."""
    svg = drawing.render_svg(figure)
    width = round(PIXELS_PER_INCH * figure.get_size_inches()[0])
    light, dark = data_address(svg), data_address(drawing.darken_svg(svg))
    return PICTURE.format(light=light, dark=dark, alt=escape_html(alt), width=width)


def data_address(svg: str) -> str:
    """A picture as a data: address."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
