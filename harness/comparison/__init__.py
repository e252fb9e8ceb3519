"""From stored samples to a Comparison: comparability, pairing, intervals, families of tests, power, sequential decisions.

Named `comparison`, so that `harness.compare` can be the function.
"""
