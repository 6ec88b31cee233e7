"""Look-up tables of DICOM files: grey values for grey values, and palettes of colours."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from hemf.data.dicom.header import DicomFault, element, numbers

CHANNELS = ("Red", "Green", "Blue")
DISCRETE, LINEAR, INDIRECT = 0, 1, 2  # kinds of segments, PS3.3 C.7.9.2


class Table:
    """One look-up table.

    Args:
        entries: entries of values that follow each other.
        first: the value of the first entry; those before it get that too, those behind the last the last.
        bits: bits of an entry, as the table's descriptor says.
    """

    def __init__(self, entries: np.ndarray, first: int, bits: int) -> None:
        self.entries, self.first, self.bits = entries, first, bits

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return the entries of values of any shape."""
        return self.entries[self._place(values)]

    def _place(self, values: np.ndarray) -> np.ndarray:
        first = self.first
        if first >= 2**15 and values.size and values.max() < first:
            first -= 2**16  # a negative value in an element that has no sign
        return np.clip(np.rint(values).astype(np.int64) - first, 0, len(self.entries) - 1)


def depth(tables: Sequence[Table]) -> int:
    """Return the bits of the range that the entries of tables that belong together span.

    The descriptor's, unless an entry needs more, or all are within a sixteenth of that range: such a table
    would show black, and is one of fewer bits (8 in words of 16) whose descriptor tells the word's.
    """
    claimed = tables[0].bits
    needed = int(max(table.entries.max() for table in tables)).bit_length()
    if needed > claimed or max(8, needed) <= claimed - 4:
        return max(8, needed)
    return claimed


def grey_table(item: Dataset, little: bool) -> Table:
    """Return a modality or VOI look-up table from its sequence's item.

    Raises:
        DicomFault: it has no descriptor or no data, or they differ in length.
    """
    count, first, bits = _descriptor(item, "LUTDescriptor")
    return Table(_entries(item.get("LUTData"), count, little, "LUTData"), first, bits)


def palette(header: Dataset, little: bool) -> list[Table]:
    """Return the tables of red, green and blue, plain or in segments.

    Raises:
        DicomFault: one is missing, or its data do not fit its descriptor.
    """
    return [_channel(header, name, little) for name in CHANNELS]


def _channel(header: Dataset, name: str, little: bool) -> Table:
    count, first, bits = _descriptor(header, f"{name}PaletteColorLookupTableDescriptor")
    plain, segmented = f"{name}PaletteColorLookupTableData", f"Segmented{name}PaletteColorLookupTableData"
    if data := header.get(plain):
        return Table(_entries(data, count, little, plain), first, bits)
    if not (data := header.get(segmented)):
        raise DicomFault(f"{element(plain)} is missing, which {element('PhotometricInterpretation')} needs")
    words = _words(data, little)
    forms = [(words, 2), (_bytes(words), 1)]
    for units, size in forms if bits > 8 else forms[::-1]:
        entries = Segments(units.tolist(), size, count).expanded()
        if entries is not None:
            return Table(entries, first, bits)
    raise DicomFault(f"{element(segmented)} does not make the {count} entries of its descriptor")


def _descriptor(item: Dataset, keyword: str) -> tuple[int, int, int]:
    """Return the number of entries, value of the first, bits of one."""
    found = numbers(item, keyword)
    if len(found) != 3 or None in found:
        raise DicomFault(f"{element(keyword)} is missing or has not three numbers")
    count, first, bits = (int(number or 0) for number in found)
    return count % 2**16 or 2**16, first, bits


def _words(data: Any, little: bool) -> np.ndarray:
    """Return data as unsigned 16-bit words."""
    if isinstance(data, bytes):
        return np.frombuffer(data[: len(data) // 2 * 2], "<u2" if little else ">u2").astype("<u2")
    return (np.atleast_1d(np.asarray(data, dtype=np.int64)) % 2**16).astype("<u2")


def _bytes(words: np.ndarray) -> np.ndarray:
    """Return the bytes in words, of which the lower is the first, in files of either byte order."""
    return words.view(np.uint8)


def _entries(data: Any, count: int, little: bool, keyword: str) -> np.ndarray:
    """Return entries in words of 16 bits, or two to a word; their number tells which."""
    try:
        words = _words(data, little)
    except (TypeError, ValueError):
        words = np.empty(0, "<u2")
    if len(words) >= count:
        return words[:count]
    if len(words) == -(-count // 2):
        return _bytes(words)[:count]
    raise DicomFault(
        f"{element(keyword)} has {2 * len(words)} bytes, expected {count} entries of 8 or 16 bits"
    )


class Segments:
    """A table given in segments (PS3.3 C.7.9.2), which may unfold to more than any memory holds.

    Args:
        units: the data, as bytes or words.
        size: bytes of a unit.
        count: how many entries it has to make.
    """

    def __init__(self, units: list[int], size: int, count: int) -> None:
        self.units, self.size, self.count = units, size, count
        self.entries: list[int] = []
        self.starts: set[int] = set()

    def expanded(self) -> np.ndarray | None:
        """Return the entries; None where the data make no table of their number."""
        place = 0
        try:
            while len(self.entries) < self.count:
                self.starts.add(place)
                place = self._segment(place, copied=False)
        except (IndexError, ValueError):
            return None
        return np.array(self.entries, np.uint16)

    def _segment(self, place: int, copied: bool) -> int:
        """Add what the segment at ``place`` makes; gives the place of the next."""
        kind, length = self.units[place], self.units[place + 1]
        place += 2
        if length == 0 or len(self.entries) + (length if kind != INDIRECT else 0) > self.count:
            raise ValueError("a segment without entries, or too many of them")
        if kind == DISCRETE:
            self.entries += self.units[place : place + length]
            return place + length
        if kind == LINEAR and self.entries:
            line = np.linspace(self.entries[-1], self.units[place], length + 1)[1:]
            self.entries += np.rint(line).astype(int).tolist()
            return place + 1
        if kind == INDIRECT and not copied:
            at, place = self._target(place)
            for _ in range(length):
                at = self._segment(at, copied=True)
            return place
        raise ValueError("a segment of another kind, or in a place where it cannot be")

    def _target(self, place: int) -> tuple[int, int]:
        """Where a segment to be repeated begins, given in bytes (or, by mistake, in units); and the next."""
        parts = 4 // self.size
        given = sum(unit << (8 * self.size * n) for n, unit in enumerate(self.units[place : place + parts]))
        for start in (given // self.size, given):
            if start in self.starts:
                return start, place + parts
        raise ValueError("no segment begins there")
