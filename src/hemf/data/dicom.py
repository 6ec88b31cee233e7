"""DICOM files as 8-bit pictures: modality values, then a window of them, then grey or colour.

A header holds names and dates of birth. Nothing of it goes further, neither in an image's ``info`` nor in a
message: pydicom's own errors and warnings quote what they stumble over, so they are replaced and silenced.
"""

import logging
import os
import warnings
from collections.abc import MutableSequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pydicom
from PIL import Image

from hemf.data.image import UnreadableImage

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

# Level and width in Hounsfield units, as Radiopaedia's article on windowing gives them.
WINDOWS = {
    "lung": (-600, 1500),
    "mediastinum": (50, 350),
    "bone": (400, 1800),
    "brain": (40, 80),
    "abdomen": (50, 400),
    "liver": (30, 150),
}
COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")  # all of which pydicom gives as RGB
GREYS = ("MONOCHROME1", "MONOCHROME2")

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
warnings.filterwarnings("ignore", module="pydicom")
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)


def dicom_image(file: BinaryIO, path: str | os.PathLike, window: str = "auto") -> Image.Image:
    """The picture in a DICOM file, in mode ``L`` or ``RGB``.

    Grey: stored values become modality values (modality LUT, or rescale slope and intercept), the window maps
    these to black ... white, and MONOCHROME1 is turned over. ``auto`` is the file's first VOI LUT, else its
    first window (PS3.3 C.11.2), else the full range: values of at most 8 bits stay as they are, others are
    stretched from the least to the greatest that is no padding. Colour and palettes keep their upper 8 bits.

    Args:
        file: opened for reading, at its beginning.
        path: its name, for messages.
        window: ``auto``, or a name in ``WINDOWS`` for a CT image.

    Raises:
        UnreadableImage: no image, several frames, no CT image though a CT window is asked for, compressed as
            no installed library decodes, or damaged.
        PIL.Image.DecompressionBombError: too large to decode safely.
    """
    try:
        header = pydicom.dcmread(file, force=True)
        _flatten(header)
        _check(header, path, window)
        _name_encoding(header)
    except (UnreadableImage, Image.DecompressionBombError):
        raise
    except Exception:  # its words may be the header's
        raise UnreadableImage(_damaged(path)) from None
    try:
        return Image.fromarray(_picture(header, window))
    except Exception:
        raise UnreadableImage(_undecoded(header, path)) from None


def _flatten(header: "Dataset") -> None:
    """Put rescale and window of an enhanced image of one frame where those of a plain one are."""
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in header.get(groups) or ():
            for macro in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
                for item in group.get(macro) or ():
                    header.update(item)


def _check(header: "Dataset", path: str | os.PathLike, window: str) -> None:
    """Refuse what is no single picture, or no picture of what the window is for."""
    if not any(name in header for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise UnreadableImage(f"{path} is no DICOM image but a report, plan or directory; leave it out")
    frames = int(header.get("NumberOfFrames") or 1)
    if frames > 1:
        raise UnreadableImage(f"{path} holds {frames} frames; save the one to classify as its own file")
    if int(header.Rows) * int(header.Columns) > 2 * (Image.MAX_IMAGE_PIXELS or np.inf):
        raise Image.DecompressionBombError
    if window != "auto" and header.get("Modality") != "CT":
        raise UnreadableImage(f"{path} is no CT image, so a CT window cannot show it; give --window auto")


def _name_encoding(header: "FileDataset") -> None:
    """Say how the pixels of a file without the usual preamble are encoded."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if "TransferSyntaxUID" not in header.file_meta:
        implicit, little = header.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit


def _damaged(path: str | os.PathLike) -> str:
    return f"{path} is a damaged or unusual DICOM file; export it again, or leave it out"


def _undecoded(header: "FileDataset", path: str | os.PathLike) -> str:
    """What to tell of pixels that could not be decoded."""
    syntax = header.file_meta.TransferSyntaxUID
    if not (syntax.is_transfer_syntax and syntax.is_compressed and not syntax.is_private):
        return _damaged(path)
    more = "" if find_spec("gdcm") else "install hemf[dicom], which reads more, or "
    return (
        f"{path} is compressed as {syntax.name} and cannot be decoded; {more}export it uncompressed, or "
        "decompress it (gdcmconv --raw, dcmdjpeg)"
    )


def _picture(header: "FileDataset", window: str) -> np.ndarray:
    """Height x width grey, or height x width x 3 colour, uint8."""
    from pydicom.pixels import apply_color_lut, pixel_array

    stored = pixel_array(header)
    kind = header.PhotometricInterpretation
    if kind == "PALETTE COLOR":
        colours = apply_color_lut(stored, header)[..., :3]
        return colours if colours.dtype == np.uint8 else (colours >> 8).astype(np.uint8)
    if kind in COLOURS:
        return (stored >> max(0, header.BitsStored - 8)).astype(np.uint8)
    if kind not in GREYS:
        raise ValueError("colours of another kind")
    grey = _shown(header, stored, window)
    return np.rint(255 * (1 - grey if kind == "MONOCHROME1" else grey)).astype(np.uint8)


def _shown(header: "Dataset", stored: np.ndarray, window: str) -> np.ndarray:
    """Stored values as shares of the way from the window's low end to its high end."""
    values = _modality_values(header, stored)
    if not np.isfinite(values).all():
        raise ValueError("some values are not finite")
    if window != "auto":
        return windowed(values, *WINDOWS[window])
    if tables := header.get("VOILUTSequence"):
        bits = int(tables[0].LUTDescriptor[2])
        return np.clip(_looked_up(values, tables[0], header) / (2**bits - 1), 0, 1)
    center, width = _first(header.get("WindowCenter")), _first(header.get("WindowWidth"))
    function = str(header.get("VOILUTFunction") or "LINEAR").upper()
    if center is not None and width is not None and (width >= 1 or (width > 0 and function != "LINEAR")):
        return windowed(values, center, width, function)
    return _full_range(header, stored, values)


def _modality_values(header: "Dataset", stored: np.ndarray) -> np.ndarray:
    """Values in the modality's unit, such as Hounsfield's for CT (PS3.3 C.11.1)."""
    values = stored.astype(np.float64)
    if tables := header.get("ModalityLUTSequence"):
        return _looked_up(values, tables[0], header)
    slope, intercept = _first(header.get("RescaleSlope")), _first(header.get("RescaleIntercept"))
    return values * (1 if slope is None else slope) + (intercept or 0)


def windowed(values: np.ndarray, center: float, width: float, function: str = "LINEAR") -> np.ndarray:
    """Values as 0 (black) to 1 (white) by PS3.3 C.11.2.1.2 and C.11.2.1.3.

    With center c and width w: LINEAR is (x - (c - 0.5)) / (w - 1) + 0.5 and LINEAR_EXACT (x - c) / w + 0.5,
    both clipped to 0 and 1; SIGMOID is 1 / (1 + exp(-4 (x - c) / w)).

    Args:
        values: of any shape.
        center: in the values' unit.
        width: in the values' unit; at least 1 for LINEAR, else above 0.
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


def _full_range(header: "Dataset", stored: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values of at most 8 bits as they are, others from the least to the greatest that is no padding."""
    bits = int(header.get("BitsStored") or 64)
    if bits <= 8 and not header.get("PixelRepresentation") and np.array_equal(stored, values):
        return values / (2**bits - 1)
    padding = header.get("PixelPaddingValue")
    limit = header.get("PixelPaddingRangeLimit", padding)
    inside = values
    if padding is not None:
        low, high = sorted((padding, limit))
        inside = values[(stored < low) | (stored > high)]
    if not inside.size:
        inside = values
    low, high = inside.min(), inside.max()
    return np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros(values.shape)


def _looked_up(values: np.ndarray, table: "Dataset", header: "Dataset") -> np.ndarray:
    """Entries of a modality or VOI look-up table; values before its first or behind its last get those."""
    entries, first, _ = (int(number) for number in table.LUTDescriptor)
    data: Any = table.LUTData
    if isinstance(data, bytes):
        wide = "<u2" if header.file_meta.TransferSyntaxUID.is_little_endian else ">u2"
        data = np.frombuffer(data, wide if len(data) >= 2 * (entries or 2**16) else np.uint8)
    lut = np.asarray(data, dtype=np.float64)[: entries or 2**16]
    return lut[np.clip(np.rint(values).astype(np.int64) - first, 0, len(lut) - 1)]


def _first(value: Any) -> float | None:
    """The first of several values, or the only one; None where there is none."""
    values = value if isinstance(value, MutableSequence) else [value]
    return float(values[0]) if values and values[0] not in (None, "") else None
