"""One file per producer of checkpoints: finds them, orders them by step, proves that they are whole."""
