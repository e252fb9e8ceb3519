"""One file, one report.

`render(comparison, folder)` writes files and gives their paths; `render_study(report, folder)` does so for a study's claims.
A report with `PAGE_HEADING` and `draw_figure(comparison)` has its picture on the page.  `layout` has tables and drawing.
"""
