"""Grey values of DICOM images: from stored ones to the modality's, and by a window to black ... white."""

from collections.abc import Callable, Iterator

import numpy as np
from pydicom.dataset import Dataset

from hemf.data.dicom.header import DicomFault, element, number, word
from hemf.data.dicom.lookup_tables import depth, grey_table
from hemf.data.dicom.pixel_format import PixelFormat

# Level and width in Hounsfield units, as Radiopaedia's article on windowing gives them.
WINDOWS = {
    "lung": (-600, 1500),
    "mediastinum": (50, 350),
    "bone": (400, 1800),
    "brain": (40, 80),
    "abdomen": (50, 400),
    "liver": (30, 150),
}
FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
PADDING = {
    "PixelData": ("PixelPaddingValue", "PixelPaddingRangeLimit"),
    "FloatPixelData": ("FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit"),
    "DoubleFloatPixelData": ("DoubleFloatPixelPaddingValue", "DoubleFloatPixelPaddingRangeLimit"),
}
STRIP = 2**20  # pixels whose values are worked out at a time, so that memory stays near the picture's own

Mapping = Callable[[np.ndarray], np.ndarray]


def strips(values: np.ndarray) -> Iterator[slice]:
    """Yield the rows of an image, some at a time."""
    rows = max(1, STRIP // values.shape[1])
    for top in range(0, len(values), rows):
        yield slice(top, top + rows)


def grey_picture(
    header: Dataset, stored: np.ndarray, form: PixelFormat, window: str, little: bool
) -> np.ndarray:
    """Return height x width uint8: the window's picture, MONOCHROME1 turned over, padding black.

    Args:
        header: whose tables, rescale and window are applied.
        stored: height x width, as stored.
        form: how they were stored.
        window: ``auto``, or a name in ``WINDOWS``.
        little: whether the file's words have their lower byte first.

    Raises:
        DicomFault: an element that is needed cannot be used.
    """
    is_padding, modality = padding(header, form), modality_values(header, little)
    shown = _window(header, form, window, little) or _full_range(header, stored, form, is_padding, modality)
    picture = np.empty(stored.shape, np.uint8)
    for rows in strips(stored):
        values = modality(stored[rows])
        if not np.isfinite(values).all():
            raise DicomFault("it holds values that are not finite numbers")
        grey = shown(values)
        picture[rows] = np.rint(255 * (1 - grey if form.kind == "MONOCHROME1" else grey))
        picture[rows][is_padding(stored[rows])] = 0
    return picture


def padding(header: Dataset, form: PixelFormat) -> Mapping:
    """Mark stored values that only fill the picture up to a rectangle; their limits may have a wrong sign."""
    first, last = (number(header, keyword) for keyword in PADDING[form.keyword])
    if first is None:
        return lambda stored: np.zeros(stored.shape, bool)
    limits = sorted(_as_stored(limit, form) for limit in (first, first if last is None else last))
    return lambda stored: (stored >= limits[0]) & (stored <= limits[1])


def _as_stored(value: float, form: PixelFormat) -> float:
    if form.keyword != "PixelData":
        return value
    value %= 2**form.allocated
    return value - 2**form.allocated if form.signed and value >= 2 ** (form.allocated - 1) else value


def modality_values(header: Dataset, little: bool) -> Mapping:
    """Return the map from stored values to the modality's unit, such as Hounsfield's for CT (PS3.3 C.11.1).

    Raises:
        DicomFault: a slope of 0, which would make all values one.
    """
    if tables := header.get("ModalityLUTSequence"):
        table = grey_table(tables[0], little)
        return lambda stored: table(stored).astype(np.float64)
    slope, intercept = _rescale(header)
    if slope == 0:
        raise DicomFault(f"{element('RescaleSlope')} is 0, expected another number")
    return lambda stored: stored.astype(np.float64) * slope + intercept


def _rescale(header: Dataset) -> tuple[float, float]:
    slope, intercept = number(header, "RescaleSlope"), number(header, "RescaleIntercept")
    return 1 if slope is None else slope, intercept or 0


def _window(header: Dataset, form: PixelFormat, window: str, little: bool) -> Mapping | None:
    """From modality values to shares of the way from black to white; None where nothing says how."""
    if window != "auto":
        if "ModalityLUTSequence" not in header and number(header, "RescaleIntercept") is None:
            raise DicomFault(
                f"{element('RescaleIntercept')} is missing, so its values have no unit for a CT window",
                "give --window auto, or leave it out",
            )
        return lambda values: windowed(values, *WINDOWS[window])
    if tables := header.get("VOILUTSequence"):
        table = grey_table(tables[0], little)
        top = 2 ** depth([table]) - 1
        return lambda values: table(values) / top
    center, width = number(header, "WindowCenter"), number(header, "WindowWidth")
    function = word(header, "VOILUTFunction") or "LINEAR"
    if center is None or width is None or not (width >= 1 or (width > 0 and function != "LINEAR")):
        return None
    if function not in FUNCTIONS:
        raise DicomFault(f"{element('VOILUTFunction')} is unknown, expected one of {', '.join(FUNCTIONS)}")
    return lambda values: windowed(values, center, width, function)


def windowed(values: np.ndarray, center: float, width: float, function: str = "LINEAR") -> np.ndarray:
    """Map values to 0 (black) to 1 (white) by PS3.3 C.11.2.1.2 and C.11.2.1.3.

    With center c and width w: LINEAR is (x - (c - 0.5)) / (w - 1) + 0.5 and LINEAR_EXACT (x - c) / w + 0.5,
    both clipped to 0 and 1; SIGMOID is 1 / (1 + exp(-4 (x - c) / w)).

    Args:
        values: values of any shape.
        center: centre in the values' unit.
        width: width in the values' unit; at least 1 for LINEAR, else above 0.
        function: ``LINEAR``, ``LINEAR_EXACT`` or ``SIGMOID``.

    Raises:
        ValueError: no such function.
    """
    if function == "SIGMOID":
        from scipy.special import expit

        return expit(4 * (values - center) / width)
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    elif function != "LINEAR_EXACT":
        raise ValueError("no such VOI LUT function")
    if width == 0:
        return (values > center).astype(np.float64)
    return np.clip((values - center) / width + 0.5, 0, 1)


def _full_range(
    header: Dataset, stored: np.ndarray, form: PixelFormat, is_padding: Mapping, modality: Mapping
) -> Mapping:
    """Values of at most 8 bits as they are, others from the least to the greatest that is no padding."""
    plain = "ModalityLUTSequence" not in header and _rescale(header) == (1, 0)
    if form.stored <= 8 and not form.signed and plain:
        top = 2**form.stored - 1
        return lambda values: values / top
    found = [modality(stored[rows][~is_padding(stored[rows])]) for rows in strips(stored)]
    inside = [limit(values) for values in found if values.size for limit in (np.min, np.max)]
    if not inside:
        return np.zeros_like
    low, high = min(inside), max(inside)
    if low == high:
        return np.zeros_like
    return lambda values: np.clip((values - low) / (high - low), 0, 1)
