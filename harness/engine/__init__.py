"""Token ids in, log-probabilities and token ids out: how a causal language model is run."""
