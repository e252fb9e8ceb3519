"""Pure statistics: arrays in, numbers out.  Imports nothing of the project but its types."""
