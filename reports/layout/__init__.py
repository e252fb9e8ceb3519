"""Parts that several reports share: tables as text, Markdown, HTML and LaTeX, and the drawing of plots."""
