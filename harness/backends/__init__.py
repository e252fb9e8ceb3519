"""One file per backend: load(checkpoint, options) -> Model."""
