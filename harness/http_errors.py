"""What can become of a request to a server, other than a reply."""

from __future__ import annotations

from harness.types import SkilldeltaError


class RequestRefusedError(Exception):
    """The server refuses this one request, and says why."""


class ServerAwayError(SkilldeltaError):
    """The server did not answer in any of several tries."""


class UnsoundReplyError(Exception):
    """No reply that can be read came to this request, in several tries; another request may still be answered."""
