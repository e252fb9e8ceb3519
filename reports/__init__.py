"""One file, one report: render(comparison, folder)."""
