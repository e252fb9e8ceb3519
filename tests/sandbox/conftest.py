"""A sandbox that the tests of this folder share."""

from collections.abc import Iterator

import pytest

from harness.sandbox import Options, Sandbox
from harness.sandbox.tiers import ORDER, why_not


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """The strongest sandbox that this machine allows; the tests are skipped where it allows none."""
    reasons = {tier: why_not(tier) for tier in ORDER}
    if all(reasons.values()):
        pytest.skip(f"no sandbox can be had here: {reasons}")
    with Sandbox(Options(workers=2)) as found:
        yield found
