"""What tests share: the folder with real data, and small tasks and models made on the spot."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"  # no network in tests; huggingface_hub reads it once, when it is imported
os.environ.pop("COLUMNS", None)  # tables and help are as wide as it says
os.environ["SKILLDELTA_JUDGE_CACHE"] = "none"  # what a judge replied in one test is no reply in another
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    # Threads of workers side by side would wait for one another: that takes three times the processor time.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))

# Times vary with the machine, and the same tests run every time.
settings.register_profile("skilldelta", deadline=None, derandomize=True, database=None)
settings.load_profile("skilldelta")

ROOT = Path(__file__).resolve().parent.parent


def data_folder() -> Path | None:
    folder = Path(os.environ.get("SKILLDELTA_DATA") or ROOT.parent / "shared" / "data")
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real benchmark rows and recorded outputs; the test is skipped where there is none."""
    folder = data_folder()
    if folder is None:
        pytest.skip("needs the real benchmark data: set SKILLDELTA_DATA to a folder that holds it")
    return folder
