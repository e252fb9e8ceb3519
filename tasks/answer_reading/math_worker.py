"""A process that decides with math-verify whether two expressions are equal: a line of JSON in, a line of JSON out.

It is run by its path and imports nothing of this project.  Expressions come from models: one of them may cost more time or
memory than there is (9^{9^{9^9}}), so each question has limits, at which the kernel ends the process.
"""

from __future__ import annotations

import json
import logging
import math
import os
import resource
import sys

CPU_S = 10  # seconds of processor time for one question
MEMORY_BYTES = 4 << 30


def limit_time() -> None:
    """Lets the kernel end this process after CPU_S more seconds of processor time."""
    used = math.ceil(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
    resource.setrlimit(resource.RLIMIT_CPU, (used + CPU_S, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def main() -> None:
    # What the libraries print must not stand between two answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    logging.disable(logging.CRITICAL)
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    configs = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
    for line in sys.stdin:
        question = json.loads(line)
        limit_time()
        # No timeout of its own: that is an alarm by the wall clock, which a long multiplication does not hear.
        gold, answer = (parse(question[name], configs, parsing_timeout=None) for name in ("gold", "answer"))
        is_equal = verify(gold, answer, timeout_seconds=None)
        text = next((part for part in reversed(answer) if isinstance(part, str)), "")
        answers.write(json.dumps({"is_equal": is_equal, "extracted": text}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
