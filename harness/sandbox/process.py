"""The sandbox's processes, seen from the harness: a template, and slots forked from it.

The harness never forks itself, as a child would hold its memory (tests, tokens, keys): it spawns a fresh interpreter.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.sandbox import container
from harness.sandbox.inside.channel import write_all
from harness.sandbox.inside.scratch import empty_folder
from harness.sandbox.interpreter_command import ENVIRONMENT, INTERPRETER_ARGUMENTS
from harness.sandbox.limits import ProgramLimits
from harness.sandbox.output_files import MAX_OUTPUT_BYTES, OutputFiles, create_file
from harness.sandbox.packages import package_setup
from harness.sandbox.verdict import SandboxError, Tests, Tier, UnavailableError

START_S = 60.0
HANG_UP_MS = 500
MAX_SLOTS = 2000  # at a time: each may have two user numbers of its own


class SlotTemplate:
    """The process that forks the slots."""

    def __init__(self, tier: Tier, packages: Sequence[str], limits: ProgramLimits, workers: int = 1) -> None:
        """`packages`: those to load; `workers`: programs at a time.  UnavailableError where the tier does not work."""
        self.tier, self.workers = tier, workers
        self.numbers: set[int] = set()  # of the slots that there are
        self.old_folders: list[str] = []  # folders of slots that have ended, for the template to delete
        self.lock = threading.Lock()
        self.base = tempfile.mkdtemp(prefix="skilldelta-")
        try:
            self.error_file = tempfile.TemporaryFile()  # noqa: SIM115  its standard error
            self.outputs = OutputFiles(workers, reuse=tier != "none")
        except BaseException:
            remove_folder(Path(self.base))
            raise
        try:
            setup = {"tier": tier, "base": self.base, **package_setup(packages)}
            setup |= {"scratch_mb": limits.scratch_mb, "scratch_files": limits.scratch_files}
            in_container = tier in container.ENGINES
            self.process, self.control = self.start_container(setup, limits) if in_container else self.spawn()
        except BaseException:
            self.remove_files()
            raise
        self.control.settimeout(START_S)
        try:
            self.control.send(json.dumps(setup).encode())
            self.file_user: int | None = self.expect_ready(self.control).get("file user")
        except BaseException:
            self.close()
            raise

    def spawn(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Starts the template as a child of this process."""
        Path(self.base).chmod(0o755)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                return self.popen([sys.executable, *INTERPRETER_ARGUMENTS, str(theirs.fileno())], (theirs.fileno(),)), ours
            except BaseException:
                ours.close()
                raise

    def popen(self, command: Sequence[str], descriptors: Sequence[int] = ()) -> subprocess.Popen[bytes]:
        environment = None if self.tier in container.ENGINES else ENVIRONMENT  # an engine's client needs the user's settings
        return subprocess.Popen(
            command, env=environment, cwd="/", pass_fds=descriptors, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.error_file,
        )  # fmt: skip

    def start_container(self, setup: dict[str, Any], limits: ProgramLimits) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """The template in a container, from where it connects to a socket; UnavailableError with the engine's message."""
        container.import_image(self.tier)
        folder = Path(self.base)
        container.make_cover(folder, setup["packages"])
        command = container.engine_command(self.tier, folder, setup["packages"], limits, self.workers)
        command += container.interpreter_command(ENVIRONMENT, [*INTERPRETER_ARGUMENTS, f"{container.SOCKET_FOLDER}/control"])
        setup["base"] = container.SCRATCH
        with container.open_listener(folder) as listener:
            process, deadline = self.popen(command), time.monotonic() + START_S
            while process.poll() is None and time.monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    return process, listener.accept()[0]
        process.kill()
        process.wait()
        raise UnavailableError(f"{self.tier} does not run the container: {self.error_output()}")

    def expect_ready(self, control: socket.socket) -> dict[str, Any]:
        """What a template or slot says when it is ready.

        UnavailableError where it reports an error, SandboxError where it does not answer.
        """
        try:
            message = control.recv(1 << 16)
        except OSError as error:
            raise SandboxError(f"The sandbox's process does not answer: {error}") from error
        if not message:
            raise SandboxError(f"The sandbox's process ended at once. {self.error_output()}")
        answer: dict[str, Any] = json.loads(message)
        if reason := answer.get("error"):
            raise UnavailableError(reason)
        return answer

    def error_output(self) -> str:
        """What its processes' standard error says last, in a line."""
        return last_words(os.pread(self.error_file.fileno(), MAX_OUTPUT_BYTES, 0).decode("utf-8", "replace"))

    def new_slot(self) -> Slot:
        """Forks a new slot; SandboxError where the template has ended."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(START_S)
        name = secrets.token_hex(8)  # a program must not guess the folder of another
        with theirs, self.lock:
            number = secrets.choice([n for n in range(MAX_SLOTS) if n not in self.numbers])
            self.numbers.add(number)
            request = {"number": number, "folder": name, "old folders": self.old_folders}
            self.old_folders = []
            try:
                socket.send_fds(self.control, [json.dumps(request).encode()], [theirs.fileno()])
            except OSError as error:
                self.numbers.discard(number)
                ours.close()
                raise SandboxError(f"The sandbox's template has ended ({error}). {self.error_output()}") from error
        try:
            self.expect_ready(ours)
        except BaseException:
            ours.close()
            self.release(number, name)
            raise
        return Slot(self, ours, number, name)

    def has_ended(self) -> bool:
        """Has the template ended?  Its slots end with it, and this process may hear of them first."""
        if self.process.poll() is not None or self.control.fileno() < 0:  # closed on this side
            return True
        hang_up = select.poll()
        hang_up.register(self.control, 0)
        return bool(hang_up.poll(HANG_UP_MS))

    def release(self, number: int, name: str) -> None:
        """Takes back what an ended slot had: its number, and the folder of its name."""
        with self.lock:
            self.numbers.discard(number)
            if self.tier in container.ENGINES:
                self.old_folders.append(name)
        folder = Path(self.base, name)
        if folder.is_dir():
            remove_folder(folder)

    def close(self) -> None:
        """Ends it and all that it forked."""
        self.control.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.remove_files()

    def remove_files(self) -> None:
        """Deletes its standard error, the programs' output and its folder."""
        self.error_file.close()
        self.outputs.close()
        remove_folder(Path(self.base))


class Slot:
    """One place where programs run, one at a time."""

    def __init__(self, template: SlotTemplate, control: socket.socket, number: int, name: str) -> None:
        self.template, self.control, self.number, self.name = template, control, number, name
        self.reusable = True  # it may run another program

    @property
    def folder(self) -> str:
        """The scratch folder of a program, where it is not called the same in every slot."""
        base = container.SCRATCH if self.template.tier in container.ENGINES else self.template.base
        return f"{base}/{self.name}"

    def run(self, program: str, tests: Tests, limits: ProgramLimits) -> tuple[dict[str, Any], dict[str, Any], str]:
        """The slot's report, the grader's record (see read_record), and the beginning of the program's output."""
        contents = (program.encode("utf-8", "surrogatepass"), tests.text, b"")
        with self.template.outputs.lend() as output, contextlib.ExitStack() as stack:
            files = [create_file() for _ in contents]
            for file in files:
                stack.callback(os.close, file)
            for file, content in zip(files, contents, strict=True):
                write_all(file, content)
            request = json.dumps({"limits": limits.settings(), "patience": limits.patience}).encode()
            try:
                self.control.settimeout(limits.wall * limits.patience + 30)
                socket.send_fds(self.control, [request], [*files[:2], output, files[2]])
                answer = self.control.recv(1 << 16)
            except OSError as error:
                raise SandboxError(f"A slot does not answer: {error}") from error
            if not answer:
                raise SandboxError(f"A slot ended.  {self.template.error_output()}")
            return json.loads(answer), read_record(files[2]), os.pread(output, MAX_OUTPUT_BYTES, 0).decode("utf-8", "replace")

    def close(self) -> None:
        """Ends it and deletes its scratch folder."""
        self.control.close()
        self.template.release(self.number, self.name)


def last_words(output: str) -> str:
    """The error in which a process ended, without the lines of code before it; of any other output the end."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if not any(line.startswith("Traceback") for line in lines):
        return " ".join(lines)[-500:]
    is_refused_process = lines[-1].startswith("BlockingIOError")
    hint = (
        "  The system lends no further process: raise `ulimit -u`, or pids.max of the container." if is_refused_process else ""
    )
    return lines[-1][:500] + hint


def read_record(descriptor: int) -> dict[str, Any]:
    """The last line that the grader finished: its record, or the groups that had passed by then; {} where there is none."""
    text = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    for line in reversed(text.split(b"\n")):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        return record if isinstance(record, dict) else {}
    return {}


def remove_folder(folder: Path) -> None:
    """Deletes a folder, however deep it is."""
    empty_folder(str(folder))
    folder.rmdir()
