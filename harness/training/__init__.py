"""What trainers stand on: losses, data, tokenization, models, optimizer, run folders, costs."""
