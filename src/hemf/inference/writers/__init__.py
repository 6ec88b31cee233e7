"""Predictions as files, in a format by the file's suffix; importing this package registers every format."""

from hemf.inference.writers import csv, jsonl
from hemf.inference.writers.registry import COLUMNS, FORMATS, OutputFormat, format_of

__all__ = ["COLUMNS", "FORMATS", "OutputFormat", "csv", "format_of", "jsonl"]
