"""Libraries in Rust (tokenizers, safetensors) that give up: `panic!`.

Python meets it as an exception that is no Exception, as if the process were to end.  Here it is an error of what was read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.types import SkilldeltaError

MODULE = "pyo3_runtime"  # of PanicException; each library has a class of its own, which none exports


class LibraryPanicError(SkilldeltaError):
    """A library could not go on with what it was given, as a rule a tokenizer.json that is damaged or made to hurt."""


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """A context, or a decorator, in which a library's panic is a LibraryPanicError."""
    try:
        yield
    except BaseException as error:
        if type(error).__module__ != MODULE:
            raise
        raise LibraryPanicError(
            f"A library gave up ({str(error)[:300]}): a file of the checkpoint is damaged, tokenizer.json as a rule.\n"
            "Copy it anew from where the checkpoint comes from."
        ) from error
