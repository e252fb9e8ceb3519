"""The page in a real browser: filters work, links hold, and a hostile output does nothing."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from harness.comparison.compare import compare
from harness.comparison.number_format import format_number, format_p_value
from harness.comparison.result import Comparison
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.run import score_checkpoints
from harness.store import Results
from harness.types import Checkpoint, Request, Response, SkilldeltaError
from reports import page
from reports.layout import drawing
from tests.support import toys
from tests.support.browser import browser, inside, opened
from tests.support.training_runs import curve, store

HOSTILE = (
    "</script><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"
    "<style>body{display:none}</style> \u2028\u2029 \u202e right to left \ud800 <!-- <script> ${alert(1)} "
) + "long " * 2000
NAMES = ("sft", "dpo</script><b>")


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Sums that a baseline gets half right; the candidate says something hostile instead of the answer to 6+6."""
    folder = tmp_path_factory.mktemp("page") / "results"
    tasks = [replace(toys.adding(20, "sums"), skill="reasoning"), replace(toys.adding(300, "many"), skill="factuality")]

    def half(request: Request) -> Response:
        right = toys.answer_sum(request)
        return right if int(right.text) % 4 else Response("no")

    def hostile(request: Request) -> Response:
        return Response(HOSTILE) if "6+6" in str(request.prompt) else toys.answer_sum(request)

    results = Results.make(folder)
    for name, answer in zip(NAMES, (half, hostile), strict=True):
        score_checkpoints(
            [Checkpoint(name, "", "toy")], tasks, lambda _, a=answer: toys.model(a), results, EvaluationSettings()
        )
    spoil(results.examples_file("sums"))
    return compare(folder, "sft")


def spoil(examples: Path) -> None:
    """Rows are no more to be trusted than answers: each gets hostile fields, short and long, and a hostile name of one."""
    lines = [json.loads(line) for line in examples.read_text().splitlines()]
    for line in lines:
        line["row"] |= {"<img src=x onerror=\"document.title='pwned'\">": HOSTILE, "note": "<b>\u202e\u2028</script>"}
    examples.write_text("".join(json.dumps(line) + "\n" for line in lines))


def pictured(index: Path, profile: Path, dark: bool) -> set[str]:
    """The colours, #rrggbb, of enough pixels to be seen on a picture of the page in the browser."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    shot = profile.with_suffix(".png")
    more = ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if dark else []
    size = ["--window-size=1300,2600", "--virtual-time-budget=8000", f"--user-data-dir={profile}", f"--screenshot={shot}"]
    subprocess.run([browser(), *flags, *more, *size, index.resolve().as_uri()], capture_output=True, check=True)
    with Image.open(shot) as image:
        counted = image.convert("RGB").getcolors(2**24) or []
    return {"#{:02x}{:02x}{:02x}".format(*colour) for count, colour in counted if count > 30}


@pytest.mark.slow
def test_no_text_of_a_model_stands_in_the_page_unescaped(comparison: Comparison, tmp_path: Path) -> None:
    index, *beside = page.render(comparison, tmp_path)
    text = index.read_text()
    assert not beside
    assert "pwned" not in text
    assert "dpo</script>" not in text
    assert len(re.findall(r"<script", text)) == len(re.findall(r"</script>", text))
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_samples_that_are_no_file_are_named(comparison: Comparison, tmp_path: Path) -> None:
    (chunk, *_) = next(iter(page.list_chunks(comparison)[0].values())).values()
    unreadable = tmp_path / "samples.jsonl"
    unreadable.mkdir()
    with pytest.raises(SkilldeltaError, match=r"samples\.jsonl is a folder"):
        replace(chunk, path=unreadable).encode(1)


@pytest.mark.slow
def test_the_same_comparison_gives_the_same_page(comparison: Comparison, tmp_path: Path) -> None:
    (one,), (other,) = page.render(comparison, tmp_path / "a"), page.render(comparison, tmp_path / "b")
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("beside", [False, True])
def test_filters_work_and_a_hostile_output_does_nothing(
    comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    if beside:
        monkeypatch.setattr(page, "MAX_INLINE_BYTES", 0)
    index, *files = page.render(comparison, tmp_path / "report")
    assert bool(files) == beside
    dom, console = opened(index, tmp_path / "profile", task="sums", against=NAMES[1], show="all")
    assert console == ""
    assert "<title>What moved against sft</title>" in dom
    assert inside(dom, "count") == "20 of 20 items"
    counts = {name: int(n) for name, n in re.findall(r">([a-z ]+) \((\d+)\)</option>", dom)}
    changed = {"lost or gained": 9, "lost": 0, "gained": 9}
    assert counts == {"all items": 20, **changed, "both wrong": 1, "both right": 10, "unscored": 0}
    assert "dpo</script><b>" in inside(dom, "matrix")


@pytest.mark.slow
def test_a_link_opens_an_item_and_shows_the_hostile_output_as_text(comparison: Comparison, tmp_path: Path) -> None:
    index, *_ = page.render(comparison, tmp_path / "report")
    dom, console = opened(index, tmp_path / "profile", task="sums", against=NAMES[1], show="wrong", search="6+6")
    assert console == ""
    assert inside(dom, "count") == "1 of 20 items"
    assert dom.count("&lt;/script&gt;&lt;script&gt;document.title='pwned'&lt;/script&gt;") == 3, (
        "the answer, what it was read as, and the row"
    )
    assert "&lt;img src=x onerror=" in dom[dom.index("<dt>") : dom.index("</dt>")]
    assert "<title>What moved against sft</title>" in dom
    dom, _ = opened(index, tmp_path / "profile", task="many", against=NAMES[1], show="gained")
    assert inside(dom, "count") == "148 of 300 items", "150 that the baseline has wrong, less 6+6 and 66+66"


def test_a_page_of_many_samples_keeps_them_beside_itself(
    comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MAX_INLINE_BYTES", 0)
    monkeypatch.setattr(page, "plot_sections", lambda *_, **__: [])
    index, *files = page.render(comparison, tmp_path)
    assert len(files) == 6
    assert all(re.fullmatch(r'skilldelta\(\d+,"[A-Za-z0-9+/=]*"\)\n', f.read_text()) for f in files)
    assert index.stat().st_size < 60_000


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_the_plots_are_shown_for_light_and_dark_and_the_policy_lets_them_pass(tmp_path: Path, dark: bool) -> None:
    rising = {"reward": curve("objective/scores", [0.1 * i for i in range(12)])}
    for name, run, step, rate in (("sft", "", None, 0.8), ("ppo@9", "ppo<b>", 9, 0.6), ("ppo@90", "ppo<b>", 90, 0.3)):
        store(tmp_path / "results", name, {"reasoning": rate, "coding": rate}, run, step, rising if run else None)
    (index,) = page.render(compare(tmp_path / "results", "sft"), tmp_path / "report")
    dom, console = opened(index, tmp_path / "profile")
    assert console == ""
    assert dom.count('src="data:image/svg+xml;base64,') == 2
    assert "Reward up, skills down: ppo<b>'s reward rises" in inside(dom, "warnings")
    seen = pictured(index, tmp_path / "other", dark)
    run = drawing.RUN_COLOURS[0]
    assert (drawing.DARK_THEME[run] in seen, run in seen) == (dark, not dark)


@pytest.mark.slow
def test_the_differences_of_the_chosen_checkpoint_stand_with_what_would_have_been_found(tmp_path: Path) -> None:
    for name, rate in (("sft", 0.5), ("dpo", 0.3), ("ppo", 0.51)):
        store(tmp_path / "results", name, {"reasoning": rate, "coding": rate})
    comparison = compare(tmp_path / "results", "sft")
    (index,) = page.render(comparison, tmp_path / "report")
    dom, console = opened(index, tmp_path / "profile", against="ppo")
    assert console == ""
    cells = inside(dom, "forest").split()
    row = comparison.row("ppo", "skill", "reasoning").difference
    assert row is not None
    assert row.verdict == "unclear"
    for shown in (format_number(row.delta, signed=True), format_number(row.mde), format_p_value(row.p_adjusted)):
        assert shown in cells
    assert "0 / 2" in " ".join(cells)
    assert "corrected for the selection" in dom[dom.index("The best of the candidates") : dom.index('id="samples"')]
    sections = dom[dom.index('id="nav"') : dom.index("</nav>")]
    assert sections.count("<button>") == dom.count("<h2") == 7
    assert "<button>Behaviour</button>" in sections


@pytest.mark.slow
def test_the_matrix_is_filtered_by_name_and_sorted_by_a_column_with_the_baseline_first(tmp_path: Path) -> None:
    for name, rate in (("sft", 0.5), ("dpo@1", 0.3), ("dpo@2", 0.7), ("ppo@1", 0.6)):
        store(tmp_path / "results", name, {"reasoning": rate, "coding": 1 - rate})
    (index,) = page.render(compare(tmp_path / "results", "sft"), tmp_path / "report")
    typed = """$("rows").value = "DPO"; $("rows").dispatchEvent(new Event("input"));
    [...document.querySelectorAll("#matrix th button")].find((b) => b.textContent === "reasoning").click();"""
    dom, console = opened(index, tmp_path / "profile", script=typed)
    assert console == ""
    assert re.findall(r'<th scope="row"><span class="name">([^<]*)', dom[dom.index('id="matrix"') : dom.index("</table>")]) == [
        "sft",
        "dpo@2",
        "dpo@1",
    ]
    assert "3 of 4 checkpoints" in inside(dom, "rowcount")
    assert "reasoning ↓" in inside(dom, "matrix")
