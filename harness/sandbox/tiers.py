"""Which confinement this machine allows: tried in order, believed only after a program has attacked it in vain."""

from __future__ import annotations

import functools
import sys
from typing import Any, get_args

from harness.sandbox import probe
from harness.sandbox.container import RefusedError
from harness.sandbox.inside.calls import MACHINE, table
from harness.sandbox.inside.wire import decode
from harness.sandbox.limits import Limits
from harness.sandbox.process import Packages, Template
from harness.sandbox.verdict import Reading, SandboxError, Tier, outcome
from harness.types import SkilldeltaError

ORDER: tuple[Tier, ...] = ("namespaces", "landlock")
WAYS_OUT = """The ways out:
  - allow one of the two on this machine: user namespaces (sysctl kernel.unprivileged_userns_clone=1,
    user.max_user_namespaces above 0, on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0), or a kernel with Landlock
    (5.13 or later, `landlock` in the boot parameter lsm=);
  - `--sandbox docker` or `--sandbox podman`: one long-lived container, which shows this interpreter (no image is pulled);
  - run the whole harness in a container or a virtual machine that allows one of the two;
  - `--unsafe-local-code` (or SKILLDELTA_SANDBOX=none): runs the programs unconfined, as you, with your files and your network;
    every result says so."""
PROBE_LIMITS = Limits(cpu_s=10)


def choose(asked: str, limits: Limits) -> Tier:
    """The tier that was asked for, or the strongest one; SkilldeltaError with each one's own reason where none works."""
    if asked and asked not in get_args(Tier):
        raise SkilldeltaError(
            f"There is no sandbox {asked!r}.  There are: {', '.join(get_args(Tier))}; leave it out for the best one."
        )
    reasons = {}
    for tier in ORDER if not asked else tuple(t for t in get_args(Tier) if t == asked):
        reasons[tier] = why_not(tier)
        if not reasons[tier]:
            return tier
    told = "\n".join(f"  {tier}: {why}" for tier, why in reasons.items())
    raise SkilldeltaError(f"Programs that a model wrote cannot be run safely here.  Tried:\n{told}\n{WAYS_OUT}")


@functools.cache
def why_not(tier: Tier) -> str:
    """Why a tier cannot be used on this machine; "" when it can."""
    if sys.platform != "linux":
        return f"needs Linux; this is {sys.platform}"
    if not table(MACHINE):
        return f"the system calls of {MACHINE} are not known (x86-64 and aarch64 are)"
    try:
        template = Template(tier, Packages(), Limits())
    except (RefusedError, SandboxError) as error:
        return f"{error}"
    try:
        with probe.target() as target:
            return examined(template, target, tier)
    except (RefusedError, SandboxError) as error:
        return f"{error}"
    finally:
        template.close()


def examined(template: Template, target: probe.Target, tier: Tier) -> str:
    """Runs the probe in a slot; what it could do and must not, or could not and must."""
    found: list[Any] = []
    slot = template.slot()
    try:
        for tests in target.tests():
            report, record, _ = slot.run(probe.PROBE, tests, PROBE_LIMITS)
            what, detail = outcome(Reading(report, record, PROBE_LIMITS.cpu_s, PROBE_LIMITS.wall))
            if what != "pass" or not record:
                return f"the probe ended with {what}: {detail}"
            found.append(decode(record["outputs"][0]))
    finally:
        slot.close()
    leaks = probe.escaped(found[0]) if tier != "none" else []
    lost = probe.hindered(found[1])
    return "; ".join([*(f"a program could {leak}" for leak in leaks), *(f"a program could not {what}" for what in lost)])
