"""The page on wide and narrow screens: what fits, what is opened first, how rows are ordered, and keys."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harness.comparison.compare import compare
from harness.comparison.decision import decide, order_by_decision
from harness.comparison.result import Comparison
from harness.types import SKILLS
from reports import page
from tests.support.browser import inside, opened
from tests.support.results_folder import store_scores
from tests.support.training_runs import store

LONG = "meta-llama-3.1-8b-tulu-3-dpo-ultrafeedback-lr5e-7-beta0.1-ep3"
MEASURE = """const width = (e) => [e.scrollWidth, e.clientWidth];
const edges = [...document.querySelectorAll("#forest tbody td:nth-child(6)")].map((e) => e.getBoundingClientRect().right);
document.title = JSON.stringify({ page: width(document.scrollingElement), matrix: width($("matrix").parentElement),
  forest: width($("forest").parentElement), window: innerWidth, difference: Math.max(...edges) });"""


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Eight checkpoints of two runs with long names and six skills, the last but one the best by far."""
    folder = tmp_path_factory.mktemp("layout")
    store(folder, f"{LONG}-sft", dict.fromkeys(SKILLS, 0.5))
    for i in range(8):
        rate = 0.95 if i == 6 else 0.5 - 0.1 * (i == 1)
        run = f"{LONG}-{'ab'[i % 2]}"
        store(folder, f"{run}@{100 * (i + 1)}", dict.fromkeys(SKILLS, rate), run, 100 * (i + 1))
    return compare(folder, f"{LONG}-sft")


def title(dom: str) -> Any:
    """What the test's script has left in the title."""
    match = re.search(r"<title>(.*?)</title>", dom)
    assert match
    return json.loads(match.group(1).replace("&quot;", '"'))


def row_names(dom: str) -> list[str]:
    return re.findall(r'<th scope="row"><span class="name">([^<]*)', dom[dom.index('id="matrix"') : dom.index("</table>")])


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 500])
def test_no_screen_scrolls_sideways_and_six_skills_fit_a_wide_one(comparison: Comparison, tmp_path: Path, width: int) -> None:
    index, *_ = page.render(comparison, tmp_path / "report")
    dom, console = opened(index, tmp_path / "profile", MEASURE, width)
    sizes = title(dom)
    assert console == ""
    assert sizes["window"] == width
    assert sizes["page"][0] <= width
    assert sizes["difference"] <= width, "the differences are seen without scrolling"
    if width == 1280:
        assert sizes["matrix"][0] <= sizes["matrix"][1]
        assert sizes["forest"][0] <= sizes["forest"][1]


@pytest.mark.slow
def test_the_page_opens_on_the_checkpoint_of_the_decision(comparison: Comparison, tmp_path: Path) -> None:
    index, *_ = page.render(comparison, tmp_path / "report")
    decision = decide(comparison)
    read = "document.title = JSON.stringify([$('who').value, $('candidate').value])"
    dom, console = opened(index, tmp_path / "profile", read)
    assert console == ""
    assert decision.checkpoint == f"{LONG}-a@700"
    assert title(dom) == [decision.checkpoint] * 2
    assert f"{decision.checkpoint} to ship" in " ".join(inside(dom, "matrix").split())
    first, others = re.findall(r'<h1 id="decision"><strong>(.*?)</strong> (.*?)</h1>', dom)[0]
    assert f"{first} {others}".replace("&lt;", "<") == decision.sentence


@pytest.mark.slow
@pytest.mark.parametrize("by_decision", [False, True])
def test_rows_stand_in_the_order_that_the_list_names(comparison: Comparison, tmp_path: Path, by_decision: bool) -> None:
    table = order_by_decision(comparison) if by_decision else comparison
    index, *_ = page.render(table, tmp_path / "report")
    dom, _ = opened(index, tmp_path / "profile")
    assert row_names(dom) == list(table.checkpoints)
    other = "steps" if by_decision else "decision"
    choose = f"$('order').value = '{other}'; $('order').dispatchEvent(new Event('change'))"
    dom, _ = opened(index, tmp_path / "again", choose)
    assert row_names(dom) == list((comparison if by_decision else order_by_decision(comparison)).checkpoints)


@pytest.mark.slow
def test_arrows_lead_from_cell_to_cell_and_tab_stops_once(comparison: Comparison, tmp_path: Path) -> None:
    index, *_ = page.render(comparison, tmp_path / "report")
    walk = """const cells = [...document.querySelectorAll("#matrix td")]; cells[0].focus();
    for (const key of ["ArrowDown", "ArrowRight", "ArrowRight", "ArrowUp", "ArrowUp"])
      document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    document.title = JSON.stringify([cells.indexOf(document.activeElement), cells.filter((c) => c.tabIndex === 0).length]);"""
    dom, console = opened(index, tmp_path / "profile", walk)
    assert console == ""
    assert title(dom) == [2, 1]


@pytest.mark.slow
def test_what_is_incomplete_stands_at_the_top_and_in_its_cell_and_many_warnings_are_folded(tmp_path: Path) -> None:
    for task in SKILLS:
        store_scores(tmp_path / "results", "sft", task, [1.0, 0.0] * 30)
        store_scores(tmp_path / "results", "dpo", task, [1.0] * 20 + [None] * 40)
    index, *_ = page.render(compare(tmp_path / "results", "sft"), tmp_path / "report")
    dom, _ = opened(index, tmp_path / "profile")
    warnings = dom[dom.index('id="warnings"') : dom.index("</header>")]
    top, hint = warnings.split("<details>")
    assert top.count("of 60 items, 40 without a score on one side") == page.MAX_OPEN_WARNINGS
    assert f"<summary>{len(SKILLS) - page.MAX_OPEN_WARNINGS} more warnings</summary>" in hint
    assert "20 of 60 items" in inside(dom, "matrix")
