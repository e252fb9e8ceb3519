"""How a request becomes token ids: chat templates, tokenization, boundaries, stop strings."""
