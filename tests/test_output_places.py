"""Places that nothing can be written to: every command that writes says so, and none calls it an error of its own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli import report_error
from tests.support.forked import run_command
from tests.support.sources import store_sources

PLACES: dict[str, Callable[[Path], Path]] = {
    "where the system takes no names": lambda folder: Path("/proc/new"),
    "below where it takes none": lambda folder: Path("/proc/new/er"),
    "a file": lambda folder: folder / "file",
    "below a file": lambda folder: folder / "file" / "new",
    "a device": lambda folder: Path("/dev/full"),
    "a link to nothing": lambda folder: folder / "dangling",
    "a link to itself": lambda folder: folder / "circle",
    "a name of 300 letters": lambda folder: folder / ("x" * 300),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("places")
    store_sources(place, "sums")
    (place / "file").write_text("x")
    (place / "dangling").symlink_to("/proc/nowhere/x")
    (place / "circle").symlink_to("circle")
    return place


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", ["compare", "export --to csv", "export --to nel", "import", "gate"])
def test_a_place_that_cannot_be_written_to_is_refused(command: str, place: str, folder: Path) -> None:
    output = str(PLACES[place](folder))
    results, pair = str(folder / "results"), ["--baseline", "base"]
    arguments = {
        "compare": ["compare", results, *pair, "-o", output],
        "import": ["import", str(folder / "logs"), "-o", output],
        "gate": ["gate", results, *pair, "--candidate", "cand", "--summary", output],
    }.get(command) or [*command.split(), results, "-o", output]
    is_appended = command == "gate" and place == "a file"  # a summary is added to what is there
    code, text = run_command(arguments)
    assert code in ((0, 2) if is_appended else (3, 4)), text
    assert "Traceback" not in text


def test_a_file_that_the_program_itself_misses_is_its_own_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = FileNotFoundError(2, "No such file or directory", str(tmp_path / "inside"))
    assert report_error(missing, ["compare", str(tmp_path)]) == 10
    assert report_error(missing, ["compare", str(tmp_path / "inside")]) == 3
    assert report_error(FileNotFoundError("no name"), ["compare", str(tmp_path)]) == 10
    assert "Name another file or folder" in capsys.readouterr().err
