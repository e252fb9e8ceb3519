"""Chat templates of strangers, tried before they are used: a process that can be ended renders what is to be rendered.

A template is a program.  transformers runs it in jinja2's sandbox, which keeps it from files and from Python, but not from
loops without end, nor from texts larger than the memory.  Templates draw no random numbers: what ended once ends again.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import resource
import select
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sized
from pathlib import Path
from typing import NoReturn

from harness.prompts.templates import ChatTemplate, TemplateError, as_messages
from harness.rust_panics import panics_as_errors
from harness.types import Request

SECONDS = 20.0  # of processor time for the first prompt; published templates take a ten-thousandth
SECONDS_EACH = 0.05  # for each further prompt
PATIENCE = 10  # times as long by the clock, for a machine that is busy
MEMORY = 1 << 30  # bytes beyond what the process has
LONGEST = 20_000_000  # letters of a prompt
DONE, LONG, FAILED = b"d", b"l", b"f"
TRIED: set[tuple[str, str]] = set()  # (template, request)


def try_requests(template: ChatTemplate, requests: Iterable[Request]) -> None:
    """Tries the model's own template on requests that it was not tried on before.  TemplateError where it cannot be used."""
    if template.kind != "own":
        return
    key = template.key
    new = [r for r in requests if (key, r.id) not in TRIED and (not r.raw or r.contexts)]
    if new:
        try_template(lambda: render_contexts(template, new), len(new))
        TRIED.update((key, r.id) for r in new)


def render_contexts(template: ChatTemplate, requests: Iterable[Request]) -> Iterator[str]:
    """Every text that the template makes of the requests."""
    for request in requests:
        for context in request.contexts or (as_messages(request),):
            yield template.render_context(request, context)


def try_template(render: Callable[[], Iterable[str]], count: int) -> None:
    """Renders `count` prompts in a process of their own.  TemplateError where that takes too long or too much memory.

    Errors of the template itself are left to the caller: it renders the same prompts, and says more.
    """
    seconds = SECONDS + SECONDS_EACH * count
    outcome = try_in_child(render, seconds)
    if outcome not in (DONE, FAILED):
        reason = {LONG: f"a prompt of more than {LONGEST:,} letters"}.get(
            outcome, f"no end within {seconds:.0f} s and {MEMORY >> 20} MiB"
        )
        raise TemplateError(
            f"The model's chat template cannot be used: it makes {reason} of {count} prompts.\n"
            "Render prompts in another way: --apply-chat-template tulu or none."
        )


def try_in_child(work: Callable[[], Iterable[Sized]], seconds: float) -> bytes:
    """How work on a stranger's file ends in a process of `seconds` of processor time and MEMORY.

    DONE; LONG where something that it makes is longer than LONGEST; FAILED where it raises; else it has no end.
    """
    reader, writer = os.pipe()
    child = fork_beside_threads()
    if not child:
        render_in_child(work, writer, seconds)
    os.close(writer)
    try:
        outcome = wait_for_byte(reader, seconds * PATIENCE)
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)  # it is there until it is waited for
        os.waitpid(child, 0)
    return outcome


def fork_beside_threads() -> int:
    """os.fork() without its warning of threads, for a child that calls none of their libraries."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def wait_for_byte(reader: int, seconds: float) -> bytes:
    """What the child says; b"" where it died, or said nothing in that time."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([reader], [], [], left)[0]:
            return os.read(reader, 1)
    return b""


def render_in_child(render: Callable[[], Iterable[Sized]], writer: int, seconds: float) -> NoReturn:
    """Renders within limits, says how it ended, and ends the process without the parent's own clean-up."""
    outcome = b""
    faulthandler.disable()  # that this process ends by a signal is what the parent wants to know
    gc.freeze()  # what the parent has left for the collector may be tensors on a device, which no child may touch
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) if Path("/proc").is_dir() else 0
        if pages:
            lower_limit(resource.RLIMIT_AS, pages * resource.getpagesize() + MEMORY)
        lower_limit(resource.RLIMIT_CPU, int(seconds) + 1)
        outcome = find_outcome(render)
    finally:  # without its limits nothing is rendered, and the template is refused
        os.write(writer, outcome)
        os._exit(0)


def find_outcome(render: Callable[[], Iterable[Sized]]) -> bytes:
    """What the rendering comes to; b"" where memory runs out."""
    try:
        with panics_as_errors():
            return LONG if any(len(text) > LONGEST for text in render()) else DONE
    except Exception as error:  # noqa: BLE001  the parent meets the same error, and reports it
        causes = (error, error.__cause__, error.__context__)
        return b"" if any(isinstance(cause, MemoryError) for cause in causes) else FAILED


def lower_limit(kind: int, amount: int) -> None:
    """Limits this process; one that it has already may be lower, and only root may raise it."""
    hard = resource.getrlimit(kind)[1]
    limit = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
    resource.setrlimit(kind, (limit, limit))
