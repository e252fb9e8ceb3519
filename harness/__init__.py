"""skilldelta: what preference tuning did to a language model."""
