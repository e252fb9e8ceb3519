"""Parts of the bridge to lm-eval: the search in its task files, and what it asks and scores document by document."""
