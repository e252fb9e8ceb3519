"""Runs one checkout's commands, each in a process that can be ended: `python command_runner.py CHECKOUT [MODULE...]`.

Requests are lines of JSON on standard input, replies lines of JSON on standard output, of which the first says that all is
imported.  This file imports nothing of the tests: the checkout may be an older one, whose modules have other names.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

CPU = 20  # seconds of processor time for one command
IDLE = 10.0  # seconds in which a command uses no processor time at all: it waits for what never comes
WALL = 600.0  # by the clock, of a machine that may be busy
MEMORY = 4 << 30  # bytes beyond what the runner has
SOUND = "a sound question"  # is answered as it should be, whatever the others get
VARIABLE = "HOSTILE_SERVER_KEY"
TICKS = os.sysconf("SC_CLK_TCK")


def use_checkout(folder: str, modules: Sequence[str]) -> None:
    """Imports the checkout's program, and libraries that it will need, once for all commands."""
    sys.path[0] = folder  # in place of this file's own folder
    for name in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    package = importlib.import_module("harness.types")
    assert Path(str(package.__file__)).is_relative_to(folder), package.__file__
    gc.collect()
    gc.freeze()


def run_command_line(request: dict[str, Any]) -> None:
    main = importlib.import_module("harness.cli").main
    sys.argv = ["skilldelta", *request["arguments"]]
    main(request["arguments"])


def ask_server(url: str, key: str, choices: Sequence[str], timeout: float) -> dict[str, Any]:
    """How two requests end: one that is answered well, one that gets the attack.

    `choices`: a prompt and its continuation, where log-probabilities are asked for; else a text is.
    """
    types = importlib.import_module("harness.types")
    try:
        openai = importlib.import_module("harness.backends.openai")
    except ImportError:
        openai = importlib.import_module("harness.models.openai")
    os.environ[VARIABLE] = key
    options = getattr(openai, "OpenAIOptions", None) or openai.Options
    if choices:
        prompts = [(SOUND, " yes"), tuple(choices)]
        requests = [types.Request(prompt, choices=(choice,), raw=True) for prompt, choice in prompts]
    else:
        requests = [types.Request(SOUND, max_tokens=5), types.Request("a question", max_tokens=5)]
    responses: dict[int, Any] = {}
    try:
        settings = options(url, key=VARIABLE, concurrency=1, timeout=timeout, retries=1, backoff=0.0)
        model = openai.load(types.Checkpoint("m", "m", "server"), settings)
        responses.update(model.answer(requests))
        last = responses[1]
        kind = "error" if last.finish in ("error", "overlong") else "answer"
        text = f"{last.error} {last.text} {getattr(last, 'reasoning', '')}"
    except types.SkilldeltaError as error:
        kind, text = "cell", "".join(traceback.format_exception(error))
    except Exception as error:  # noqa: BLE001  which one it is, is the finding
        kind, text = type(error).__name__, "".join(traceback.format_exception(error))
    return {"kind": kind, "sound": 0 in responses and responses[0].finish in ("stop", "length"), "text": text}


def run_server_request(request: dict[str, Any]) -> None:
    shorten_pauses()
    ending = ask_server(request["url"], request["key"], request["choices"], request["timeout"])
    sys.stdout.write(json.dumps(ending) + "\n")


def shorten_pauses() -> None:
    """A server that asks for a long pause is given a short one: the pause itself is not what is tried."""
    for module in ("harness.http", "harness.models.http"):
        with contextlib.suppress(ImportError):
            http = importlib.import_module(module)
            for name in ("MAX_PAUSE", "MAX_PAUSE_SECONDS", "LONGEST"):
                if hasattr(http, name):
                    setattr(http, name, 0.05)


def run_programs(request: dict[str, Any]) -> None:
    """The outcome of each program (its text, its tests, the names that the tests use) in the checkout's sandbox."""
    sandbox = importlib.import_module("harness.sandbox")
    limits = (getattr(sandbox, "ProgramLimits", None) or sandbox.Limits)(**request["limits"])
    options = (getattr(sandbox, "SandboxConfig", None) or sandbox.Options)(workers=1)
    with sandbox.Sandbox(options) as box:
        for name, program, tests, names in request["programs"]:
            verdict = box.run(program, sandbox.Asserts(tests, tuple(names)), limits)
            sys.stdout.write(json.dumps([name, verdict.outcome]) + "\n")
            sys.stdout.flush()


KINDS: dict[str, Callable[[dict[str, Any]], None]] = {
    "command": run_command_line, "server": run_server_request, "programs": run_programs,
}  # fmt: skip


def run_child(request: dict[str, Any], output: int) -> None:
    """The request in a process of its own, in a session of its own; never returns."""
    code = 1
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if request["kind"] != "programs":  # whose processes have limits of their own
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limit = pages * resource.getpagesize() + MEMORY
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            resource.setrlimit(resource.RLIMIT_CPU, (CPU, CPU + 5))
        os.chdir(request.get("folder", "/"))
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
        KINDS[request["kind"]](request)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1 if end.code else 0
    except BaseException:  # noqa: BLE001  the parent is told of everything
        traceback.print_exc()
        code = 10
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def processor_time(session: int) -> float:
    """Seconds of processor time of all processes of a session."""
    total = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            values = file.read_bytes().rpartition(b")")[2].split()
            if int(values[3]) == session:
                total += sum(map(int, values[11:15]))
    return total / TICKS


def wait_for(child: int, idle: float) -> str:
    """Waits for the child's end; says why it was not waited for any longer, "" where it ended."""
    begin = change = time.monotonic()
    spent = 0.0
    watch = os.pidfd_open(child)
    try:
        while not select.select([watch], [], [], 1.0)[0]:
            now = time.monotonic()
            if (used := processor_time(child)) > spent + 0.02:
                spent, change = used, now
            if now - change > idle:
                return f"hangs: no processor time in {idle:.0f} s"
            if now - begin > WALL:
                return f"has not ended after {WALL:.0f} s"
        return ""
    finally:
        os.close(watch)


def run_request(request: dict[str, Any]) -> dict[str, Any]:
    """Exit code, output, fault ("" where it ended by itself) and seconds of processor time of one request."""
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if not child:
            run_child(request, output.fileno())
        fault = wait_for(child, WALL if request["kind"] == "programs" else request.get("idle", IDLE))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        _, status, usage = os.wait4(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if not fault and code < 0:
            names = {-signal.SIGXCPU: f"uses more than {CPU} s of processor time"}
            fault = names.get(code, f"is ended by {signal.Signals(-code).name}")
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    return {"code": code, "output": text, "fault": fault, "seconds": usage.ru_utime + usage.ru_stime}


def serve_requests() -> None:
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints while it is imported is no reply
    use_checkout(sys.argv[1], sys.argv[2:])
    replies.write("{}\n")  # ready
    replies.flush()
    for line in sys.stdin:
        replies.write(json.dumps(run_request(json.loads(line))) + "\n")
        replies.flush()


if __name__ == "__main__":
    serve_requests()
