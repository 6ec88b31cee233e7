"""Coded concepts of a model's answers: standard ones where there are, else those of a scheme of its own."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept

from hemf.core.errors import HemfError
from hemf.core.registry import suggestion
from hemf.core.strict_csv import read_csv_table

SCHEME = "99HEMF"
LONGEST_CODE, LONGEST_MEANING = 16, 64
COLUMNS = ("class", "value", "scheme", "meaning")

YES = CodedConcept("373066001", "SCT", "Yes")
NO = CodedConcept("373067005", "SCT", "No")
PREDICTED = CodedConcept("PREDICTED-CLASS", SCHEME, "Predicted class")
IN_SET = CodedConcept("IN-SET", SCHEME, "Class in the prediction set")
ABSTAINS = CodedConcept("ABSTAINS", SCHEME, "The model abstains")
DISAGREEMENT = CodedConcept("DISAGREEMENT", SCHEME, "Disagreement of the models")
UNFAMILIARITY = CodedConcept("UNFAMILIARITY", SCHEME, "Unfamiliarity, above 1 unlike training")
UNFAMILIAR = CodedConcept("UNFAMILIAR", SCHEME, "Image unlike those of training")


def scheme() -> CodingSchemeIdentificationItem:
    """Return what says whose the scheme ``99HEMF`` is."""
    return CodingSchemeIdentificationItem(
        designator=SCHEME, name="Classes and measures of hemf models", responsible_organization="hemf"
    )


def read_codes(file: str | Path, classes: Sequence[str]) -> dict[str, CodedConcept]:
    """Read which standard concepts a model's classes are.

    Args:
        file: a CSV file with the columns class, value, scheme and meaning.
        classes: those of the model.

    Raises:
        HemfError: it cannot be read, lacks a column, names no class of the model, or one twice.
    """
    table = read_csv_table(file)
    if missing := [name for name in COLUMNS if name not in table.head]:
        raise HemfError(f"{file} has no column {missing[0]}; give the columns {', '.join(COLUMNS)}")
    found: dict[str, CodedConcept] = {}
    for row, line in zip(table.records(), table.lines, strict=True):
        name, value, designator, meaning = (row[column].strip() for column in COLUMNS)
        if name not in classes:
            raise HemfError(f"{file}, line {line}: no class {name!r}; {suggestion(name, classes)}")
        if name in found:
            raise HemfError(f"{file}, line {line}: {name!r} is there twice; leave one out")
        if not (value and designator and meaning) or max(len(designator), len(value)) > LONGEST_CODE:
            raise HemfError(
                f"{file}, line {line}: value and scheme must have 1 to {LONGEST_CODE} characters, and there "
                "must be a meaning; correct them"
            )
        found[name] = CodedConcept(value, designator, plain(meaning))
    return found


def class_concept(name: str, codes: Mapping[str, CodedConcept]) -> CodedConcept:
    """Return the concept of a class: the one given for it, else one of the scheme ``99HEMF``."""
    if name in codes:
        return codes[name]
    return CodedConcept(_short("C", name), SCHEME, plain(name))


def probability_concept(name: str) -> CodedConcept:
    """Return the concept of a class's probability."""
    return CodedConcept(_short("P", name), SCHEME, plain(f"Probability of {name}"))


def plain(text: str, most: int = LONGEST_MEANING) -> str:
    """Return a text that one value of DICOM's can hold: without backslashes, not too long."""
    return text.replace("\\", "/")[:most].strip()


def _short(letter: str, name: str) -> str:
    return f"{letter}-{hashlib.sha256(name.encode()).hexdigest()[:12].upper()}"
