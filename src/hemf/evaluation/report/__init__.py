"""The report of an evaluation: one page for people, and its tables as Markdown and LaTeX."""

from hemf.evaluation.report.mistakes import Mistake, picture_mistakes, worst
from hemf.evaluation.report.write import write_report

__all__ = ["Mistake", "picture_mistakes", "worst", "write_report"]
