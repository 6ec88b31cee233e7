"""Finds what each column of a user's CSV says: above all which one names the patient.

An overlooked patient column means a random split with patients on both sides. So the usual names are known,
every unused column is named, and the user is asked about one that may hold patients.
"""

import math
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hemf.core.errors import HemfError
from hemf.core.strict_csv import CsvTable
from hemf.core.text import counted

NONE = "none"
GROUP, PATIENT = 0, 1  # ranks
NEEDED = ("path", "label")
PLACED = (*NEEDED, "split", "fold")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# coarsest first: what keeps a patient together keeps their lesions together, but not the other way round
GROUP_WORDS = (
    ("group",),
    _words(
        "patient patients patienten paciente pat pt pid mrn subject subjects subj sub participant person "
        "individual case donor animal"
    ),
    _words("lesion lesions nodule tumor tumour mole polyp wound ulcer"),
    _words(
        "study exam examination accession visit encounter session series video clip sequence volume slide"
    ),
)
BEFORE = "anonymised|anonymized|anon|pseudonymised|pseudo|deidentified|deid|hashed|unique|id"
AFTER = "instance|identifier|ids?|no|nr|num|number|code|key|uuid|uid|guid|pseudonym|name|hash|index|idx"
NAMED = [
    re.compile(f"(?:{BEFORE})?(?:{'|'.join(sorted(words, key=len, reverse=True))})(?:{AFTER})*")
    for words in GROUP_WORDS
]
UNKNOWN = frozenset({"", "na", "n/a", "nan", "none", "null", "nil", "-", "--", "?", "unknown", "missing"})
ANSWERS = frozenset(_words("0 1 0.0 1.0 y n yes no true false case control cases controls"))
TELLING = frozenset(_words("id ids uid uuid code key name identifier hash pseudonym"))
NO_IDENTITY = frozenset(
    _words(
        "age sex gender date time year width height size view laterality side site location localization "
        "localisation device scanner camera model manufacturer hospital centre center dx diagnosis icd "
        "snomed zip class label colour color license licence note notes comment"
    )
)
LEAST_SHARED, LEAST_VALUES = 0.5, 5


@dataclass(frozen=True)
class Columns:
    """Where in a row each thing is.

    Args:
        places: index of ``path``, ``label``, and where there are such, ``group``, ``split`` and ``fold``.
        group: the name of the column that gives the groups, as written; empty without one.
        unused: names of the columns that say nothing to hemf.
        kept: index of each of those that become metadata, by name.
    """

    places: dict[str, int]
    group: str = ""
    unused: tuple[str, ...] = ()
    kept: dict[str, int] = field(default_factory=dict)


def find_columns(table: CsvTable, group_column: str | None = None) -> Columns:
    """Return what each column of a user's CSV says.

    Args:
        table: the CSV.
        group_column: the column whose values keep images together; ``none`` for no such column; by default
            the one with a usual name: group, else patient, subject or case, else lesion, else study or exam,
            with or without ``id`` and the like, however it is written.

    Raises:
        HemfError: a column that is needed is missing, or it cannot be told which column names the patients.
    """
    places = places_of(table, PLACED)
    names = [name.strip() for name in table.head]
    free = [i for i, name in enumerate(names) if name and i not in places.values()]
    if group_column is not None:
        group = _asked_group(table, names, free, group_column)
    else:
        group = _usual_group(table, names, free)
        of_patients = group is not None and rank_of(names[group]) in (GROUP, PATIENT)
        if not of_patients and not places.keys() & {"split", "fold"}:
            _ask_about_content(table, names, free, group)
    if group is not None:
        places["group"] = group
    unused = tuple(names[i] for i in free if i != group)
    return Columns(places, "" if group is None else names[group], unused)


def places_of(table: CsvTable, wanted: Sequence[str]) -> dict[str, int]:
    """Return the index of each of the ``wanted`` columns that are there, whatever their case.

    Raises:
        HemfError: path or label is missing, or two columns have one name but for case, spaces and Unicode
            form.
    """
    names = [name.strip().lower() for name in table.head]
    _check_names(table)
    for needed in NEEDED:
        if needed not in names:
            have = ", ".join(filter(None, names)) or "none"
            raise HemfError(f"{table.path} has no column {needed!r}; it has {have}")
    return {name: names.index(name) for name in wanted if name in names}


def _check_names(table: CsvTable) -> None:
    """Refuse columns that cannot be told apart; several may have no name at all."""
    seen: dict[str, str] = {}
    for name in filter(str.strip, table.head):
        key = unicodedata.normalize("NFKC", name).strip().casefold()
        if key in seen:
            both = f"{seen[key]!r} and {name!r}"
            raise HemfError(f"{table.path} has the columns {both}, which are one name; rename or remove one")
        seen[key] = name


def rank_of(name: str) -> int | None:
    """Rank the groups that a column of this name gives: 0 group, 1 patient, 2 lesion, 3 study; or None.

    Case, separators and camelCase do not count, nor do additions such as ``id``, ``no`` and ``anonymised``.
    """
    joined = re.sub(r"[\W_]+", "", name).casefold()
    return next((rank for rank, pattern in enumerate(NAMED) if pattern.fullmatch(joined)), None)


def known(value: str) -> str:
    """Strip a group's name; return "" where it only says that none is known, such as NA."""
    value = value.strip()
    return "" if value.casefold() in UNKNOWN else value


def looks_like_groups(name: str, values: Sequence[str], classes: int) -> bool:
    """Judge by its values whether a column may name patients: identifiers, most of which rows share.

    Args:
        name: name of the column; ``id``, ``code`` or ``name`` in it make up for plain words or numbers.
        values: values of the column, one a row.
        classes: number of classes; a column of no more values is another one of the kind.
    """
    words = set(re.split(r"[\W_\d]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold()))
    named = [value for value in map(known, values) if value]
    counts = Counter(named)
    shared = sum(n for n in counts.values() if n > 1)
    least = max(LEAST_VALUES, classes + 1, math.isqrt(len(values)) // 2)
    if words & NO_IDENTITY or len(counts) < least or shared < LEAST_SHARED * len(values):
        return False
    return bool(words & TELLING) or sum(map(_is_identifier, named)) > 0.9 * len(named)


def _is_identifier(value: str) -> bool:
    """Return one word of letters and digits, or a number written as no measure is: padded, or long."""
    return bool(
        re.fullmatch(r"[\w./:#-]+", value)
        and re.search(r"\d", value)
        and (re.search(r"[^\W\d_]", value) or re.fullmatch(r"0\d+|\d{5,}", value))
    )


def _asked_group(table: CsvTable, names: list[str], free: list[int], asked: str) -> int | None:
    for same in (str, str.casefold):
        found = [i for i in free if same(names[i]) == same(asked.strip())]
        if found:
            return found[0]
    if asked.casefold() == NONE:
        return None
    have = ", ".join(names[i] for i in free) or "no further columns"
    raise HemfError(f"{table.path} has no column {asked!r} for --group-column; it has {have}")


def _usual_group(table: CsvTable, names: list[str], free: list[int]) -> int | None:
    """Return the coarsest column with a usual name that holds groups."""
    by_rank: dict[int, list[int]] = {}
    for i in free:
        rank = rank_of(names[i])
        if rank is not None and _holds_groups([row[i] for row in table.rows], rank):
            by_rank.setdefault(rank, []).append(i)
    if not by_rank:
        return None
    ranks = [rank for rank in sorted(by_rank) if any(_is_shared(table, i) for i in by_rank[rank])]
    rank = (ranks or sorted(by_rank))[0]
    first, *more = by_rank[rank]
    rivals = [i for i in more if not _same_parts(table, first, i)]
    if rank == GROUP:  # which may be anything, an arm of a trial too
        rivals += [i for i in by_rank.get(PATIENT, []) if not _keeps_together(table, first, i)]
    if rivals:
        both = ", ".join(names[i] for i in (first, *rivals))
        raise HemfError(
            f"{table.path} has several columns that may name the patients ({both}); "
            f"{_ask(table, names[first])}"
        )
    return first


def _holds_groups(values: Sequence[str], rank: int) -> bool:
    """Judge whether a column of a usual name holds groups, not measures or answers (case or control)."""
    named = [value for value in map(known, values) if value]
    different = set(named)
    if not named or any(re.fullmatch(r"-?\d*\.\d*[1-9]\d*", value) for value in different):
        return False
    if len(named) > 2 * len(different) and {value.casefold() for value in different} <= ANSWERS:
        return False
    return rank <= PATIENT or 1 < len(different) < len(named)


def _is_shared(table: CsvTable, column: int) -> bool:
    named = [known(row[column]) for row in table.rows if known(row[column])]
    return len(set(named)) < len(named)


def _keeps_together(table: CsvTable, column: int, finer: int) -> bool:
    """Return whether images that share a value of ``finer`` share that of ``column`` too."""
    pairs = {(known(row[finer]), known(row[column])) for row in table.rows if known(row[finer])}
    return len(pairs) == len({one for one, _ in pairs})


def _same_parts(table: CsvTable, one: int, other: int) -> bool:
    return _keeps_together(table, one, other) and _keeps_together(table, other, one)


def _ask_about_content(table: CsvTable, names: list[str], free: list[int], group: int | None) -> None:
    """Ask where a column without a usual name may hold patients, of whom the groups are at most parts."""
    label = places_of(table, PLACED)["label"]
    classes = len({row[label] for row in table.rows})
    for i in free:
        values = [row[i] for row in table.rows]
        if rank_of(names[i]) is not None or not looks_like_groups(names[i], values, classes):
            continue
        if group is None or (_keeps_together(table, i, group) and not _keeps_together(table, group, i)):
            number = len(set(map(known, values)) - {""})
            raise HemfError(
                f"column {names[i]!r} of {table.path} looks like patients ({counted(len(values), 'row')} "
                f"share {number} values, such as {values[0]!r}), and a split that ignores them leaks; "
                f"{_ask(table, names[i])}"
            )


def _ask(table: CsvTable, name: str) -> str:
    return (
        f"say which with hemf data prepare csv --root {shlex.quote(str(table.path))} "
        f"--group-column {shlex.quote(name)}, or with --group-column none"
    )
