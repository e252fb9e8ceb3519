"""Fixtures of these tests."""

from tests.support.training_fixtures import chats, pairs, tiny, write

__all__ = ["chats", "pairs", "tiny", "write"]
