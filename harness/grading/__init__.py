"""What judges are made of: questions, criteria in words, prompts that cannot be forged, and how far to trust one."""
