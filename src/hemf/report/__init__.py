"""An evaluation for people: a page, and tables for the terminal, Markdown and LaTeX."""
