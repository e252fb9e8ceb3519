"""Trainers, one file per method: a frozen `Config` and `train(config) -> Checkpoint`.  Formulas are in `losses`."""
