"""skilldelta compare: from stored samples to tables and plots."""

VERBS = ()
