"""Libraries without their own tables and progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import transformers


@contextmanager
def silent_transformers() -> Iterator[None]:
    """Without transformers' own tables and progress: what they say is said by the contract."""
    logging = transformers.utils.logging
    level, has_progress = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if has_progress:
            logging.enable_progress_bar()
