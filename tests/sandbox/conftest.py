"""A sandbox that the tests of this folder share."""

from collections.abc import Iterator

import pytest

from harness.sandbox import Sandbox, SandboxConfig
from harness.sandbox.tiers import ORDER, unavailable_reason


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """The strongest sandbox that this machine allows; the tests are skipped where it allows none."""
    reasons = {tier: unavailable_reason(tier) for tier in ORDER}
    if all(reasons.values()):
        pytest.skip(f"no sandbox can be had here: {reasons}")
    with Sandbox(SandboxConfig(workers=2)) as found:
        yield found
