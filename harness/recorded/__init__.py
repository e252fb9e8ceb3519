"""Outputs that some other program recorded: reading its files, and finding the example that each output answers."""
