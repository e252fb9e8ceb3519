"""The confinement that this machine allows: tiers are tried in order, and used only after an attack on them has failed."""

from __future__ import annotations

import contextlib
import functools
import resource
import sys
from typing import Any, get_args

from harness.sandbox import probe
from harness.sandbox.inside.calls import MACHINE, system_calls
from harness.sandbox.inside.wire import decode_value
from harness.sandbox.interpreter_command import environment_names
from harness.sandbox.limits import MIB, ProgramLimits
from harness.sandbox.process import SlotTemplate
from harness.sandbox.verdict import SandboxError, Tier, UnavailableError, decide_outcome
from harness.system_errors import explain_system_error
from harness.types import SkilldeltaError

ORDER: tuple[Tier, ...] = ("namespaces", "landlock")
WAYS_OUT = """The ways out:
  - allow one of the two on this machine: user namespaces (sysctl kernel.unprivileged_userns_clone=1,
    user.max_user_namespaces above 0, on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0), or a kernel with Landlock
    (5.13 or later, `landlock` in the boot parameter lsm=);
  - `--sandbox docker` or `--sandbox podman`: one long-lived container, with this interpreter (no image is pulled);
  - run the whole harness in a container or a virtual machine that allows one of the two;
  - `--unsafe-local-code` (or SKILLDELTA_SANDBOX=none): runs the programs unconfined, as you, with your files and your network;
    every result says so."""
# How programs that run at once, or one after another, might still tell each other something, by tier.
EVERYWHERE = (
    "how fast the processor, the memory and the disk answer (other programs' load)",
    "the time of day, and how many pipes and sockets the machine has made (no program makes any)",
    "how many files in memory the machine had made before a run (other runs' programs make some)",
)
SHARED_HOST = (
    "process numbers, which all programs count up together",
    "names, sizes and times of files and processes (/proc), which programs see though they may not open them",
    "numbers and free space of the file system that holds the scratch folders",
    "times at which files of the library were first read on a day, where the file system keeps them",
)
OPEN_CHANNELS: dict[Tier, tuple[str, ...]] = {
    "namespaces": (*EVERYWHERE, "the free space of the file system that holds Python (no program writes there)"),
    "landlock": (*EVERYWHERE, *SHARED_HOST, "limits on threads and pipes, which programs of one user share"),
    "docker": (*EVERYWHERE, *SHARED_HOST[:3]),
    "podman": (*EVERYWHERE, *SHARED_HOST[:3]),
    "none": ("everything that the user may do",),
}
PROBE_LIMITS = ProgramLimits(cpu_s=10)


def choose_tier(name: str, limits: ProgramLimits) -> Tier:
    """The tier `name`, for "" the strongest one; SkilldeltaError with the reason of each where none works."""
    if name and name not in get_args(Tier):
        raise SkilldeltaError(
            f"There is no sandbox {name!r}.  There are: {', '.join(get_args(Tier))}; leave it out for the best one."
        )
    reasons = {}
    for tier in ORDER if not name else tuple(t for t in get_args(Tier) if t == name):
        reasons[tier] = unavailable_reason(tier)
        if not reasons[tier]:
            return tier
    attempts = "\n".join(f"  {tier}: {why}" for tier, why in reasons.items())
    raise SkilldeltaError(f"Programs that a model wrote cannot be run safely here.  Tried:\n{attempts}\n{WAYS_OUT}")


def unavailable_reason(tier: Tier) -> str:
    """Why this machine cannot use a tier; "" where it can."""
    return examine_tier(tier)[0]


def describe_file_user(tier: Tier) -> str:
    """As whom programs of a tier open files, where Python lies in a folder that they may not enter themselves; else ""."""
    file_user = examine_tier(tier)[1]
    if file_user is None:
        return ""
    return (
        f"Python lies in a closed folder: programs open files as its owner (user {file_user}), without rights of root.  "
        "They can tell which files of that user exist, and read none outside of the library"
    )


@functools.cache
def examine_tier(tier: Tier) -> tuple[str, int | None]:
    """Why this machine cannot use a tier ("" where it can), and as whom its programs open files, if not as themselves."""
    if sys.platform != "linux":
        return f"needs Linux; this is {sys.platform}", None
    if not system_calls(MACHINE):
        return f"the system calls of {MACHINE} are not known (x86-64 and aarch64 are)", None
    try:
        template = SlotTemplate(tier, (), ProgramLimits())
        with contextlib.closing(template), probe.make_target() as target:
            reason = run_probe(template, target, tier)
            return f"{reason}{explain_low_limits()}" if reason else "", template.file_user
    except (UnavailableError, SandboxError) as error:
        return f"{error}{explain_low_limits()}", None
    except OSError as error:  # of the start of a process
        return explain_system_error(error) or str(error), None


def explain_low_limits() -> str:
    """Which limits of this process are below those that a program gets, which no process may then set; "" for none."""
    defaults = ProgramLimits()
    limits = {
        "-u": (resource.RLIMIT_NPROC, defaults.threads + 1, "processes and threads"),
        "-f": (resource.RLIMIT_FSIZE, defaults.file_mb * MIB, "bytes in a file"),
        "-s": (resource.RLIMIT_STACK, defaults.stack_mb * MIB, "bytes of stack"),
        "-v": (resource.RLIMIT_AS, defaults.memory_mb * MIB, "bytes of memory"),
        "-n": (resource.RLIMIT_NOFILE, defaults.open_files, "open files"),
        "-t": (resource.RLIMIT_CPU, defaults.grader_cpu_s + 1, "seconds of processor time"),
    }
    texts = []
    for flag, (limit, needed, what) in limits.items():
        bound = resource.getrlimit(limit)[1]
        if bound != resource.RLIM_INFINITY and bound < needed:
            texts.append(f"{bound:,} {what} are allowed here and {needed:,} needed: raise `ulimit {flag}`")
    return "".join(f"; {text}" for text in texts)


def run_probe(template: SlotTemplate, target: probe.ProbeTarget, tier: Tier) -> str:
    """Runs the probe in a slot: the attacks that succeeded and the honest uses that failed, in one line; "" for none."""
    results: list[Any] = []
    for tests in target.tests():
        with contextlib.closing(template.new_slot()) as slot:
            report, record, _ = slot.run(probe.PROBE, tests, PROBE_LIMITS)
            outcome, detail = decide_outcome(report, record, PROBE_LIMITS)
            if outcome != "pass":
                return f"the probe ended with {outcome}: {detail}"
            results.append(decode_value(record["outputs"][0]))
    leaks = probe.find_leaks(results[0]) if tier != "none" else []
    hindrances = probe.find_hindrances(results[1], environment_names())
    return "; ".join([*(f"a program could {leak}" for leak in leaks), *(f"a program could not {use}" for use in hindrances)])
