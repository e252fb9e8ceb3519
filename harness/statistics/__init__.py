"""Pure statistics: arrays in, numbers out; shares are in 0..1.  Imports nothing of the project but its types."""
