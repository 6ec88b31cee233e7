"""The report of an evaluation: one page for people, and its tables as Markdown, LaTeX and text."""
