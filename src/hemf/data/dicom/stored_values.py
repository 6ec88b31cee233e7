"""Reads the stored values of a DICOM image, decompressed to the header's size, without unused bits."""

from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataelem import RawDataElement
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder
from pydicom.uid import UID, JPEGBaseline8Bit, RLELossless

from hemf.data.dicom.codecs import PLUGIN
from hemf.data.dicom.codestream import codestream
from hemf.data.dicom.header import BoundedFile, DicomFault, element
from hemf.data.dicom.pixel_format import JPEG_2000, PixelFormat
from hemf.data.image.effort import QUICK_PIXELS
from hemf.data.image.limits import max_pixels

UNDEFINED = 0xFFFFFFFF  # length of what is compressed
SUBSAMPLED = "YBR_FULL_422"  # two pixels share their colour
PACKBITS = "packbits"  # Pillow's name of the run-length code that DICOM takes from TIFF
DECODERS = ("pillow", PLUGIN)
DECODER_BYTES = 4  # that decoders need for a sample beside the sample itself
MAX_SCANS = 10  # of a JPEG picture of the largest size, each of which costs the time of the whole


def working_bytes(syntax: UID, form: PixelFormat) -> int:
    """Return what a pixel takes in memory while its picture is read."""
    decoded = syntax.is_encapsulated and syntax != RLELossless
    return form.pixel_bytes + (DECODER_BYTES * form.samples if decoded else 0)


def is_laborious(syntax: UID, form: PixelFormat) -> bool:
    """Say whether reading may take long, or needs a decoder that damaged pixels might crash."""
    quick = not syntax.is_encapsulated or syntax in (RLELossless, JPEGBaseline8Bit)
    return not quick or form.rows * form.columns > QUICK_PIXELS


def stored_values(
    stream: BoundedFile, pixels: RawDataElement, end: int, syntax: UID, form: PixelFormat
) -> tuple[np.ndarray, str]:
    """Read the values as they were stored, and what they are.

    Args:
        stream: the file, inflated.
        pixels: the element that holds them.
        end: where it ends.
        syntax: the transfer syntax of the file.
        form: how they are stored.

    Returns:
        Height x width, or that x 3, of the format's type; and the photometric interpretation that they have
        once they are decompressed.

    Raises:
        DicomFault: too few bytes, more than one picture, or compressed as cannot be decoded.
    """
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise _undecoded(syntax) from None
    if syntax.is_encapsulated != (pixels.length == UNDEFINED):
        names = f"{element(form.keyword)} and TransferSyntaxUID (0002,0010)"
        raise DicomFault(f"{names} differ on whether its pixels are compressed")
    stream.seek(pixels.value_tell)
    if not syntax.is_encapsulated:
        value, kind = _native(stream, pixels.length, form)
        options: dict[str, Any] = {"pixel_vr": pixels.VR or "OW", "correct_unused_bits": False}
        options |= _options(form) | {"photometric_interpretation": kind}
        values, found = decoder.as_array(value, raw=True, **options)
        return _stored_bits(values, form), str(found["photometric_interpretation"])
    value = stream.read(end - pixels.value_tell)
    frame = get_frame(value, 0, number_of_frames=1)
    if syntax == RLELossless:
        return _stored_bits(_run_lengths(frame, form), form), form.kind
    bits = _checked_bits(frame, form)
    for plugin in DECODERS:
        try:
            options = _options(form) | {"bits_stored": bits, "decoding_plugin": plugin}
            values, found = decoder.as_array(value, raw=True, **options)
            return values >> (bits - form.stored), str(found["photometric_interpretation"])
        except Exception:  # which may quote the header
            continue
    raise _undecoded(syntax)


def _options(form: PixelFormat) -> dict[str, Any]:
    """Return the format in pydicom's words."""
    return {
        "rows": form.rows,
        "columns": form.columns,
        "number_of_frames": 1,
        "samples_per_pixel": form.samples,
        "photometric_interpretation": form.kind,
        "planar_configuration": int(form.planar),
        "bits_allocated": form.allocated,
        "bits_stored": form.stored,
        "pixel_representation": int(form.signed or 0),
        "pixel_keyword": form.keyword,
    }


def _native(stream: BoundedFile, length: int, form: PixelFormat) -> tuple[bytes, str]:
    """Return the bytes of one picture that is not compressed, and what they hold.

    Colour said to be subsampled that has all its bytes is not: programs that decompress leave the old name.
    """
    if form.kind in JPEG_2000:
        raise DicomFault(
            f"{element('PhotometricInterpretation')} is {form.kind}, which only JPEG 2000 can be"
        )
    needed, kind = form.native_bytes, form.kind
    if kind == SUBSAMPLED and length >= needed:
        kind = "YBR_FULL"
    elif kind == SUBSAMPLED:
        needed = needed // 3 * 2
        if form.columns % 2 or form.planar or form.allocated != 8:
            raise DicomFault(f"{kind} of an odd width, in planes or of other than 8 bits cannot be unpacked")
    what = f"{form.rows} x {form.columns} x {form.samples} values of {form.allocated} bits"
    if length > needed + 1 and length >= 2 * needed and length % needed <= 1:
        raise DicomFault(
            f"{element(form.keyword)} has {length:,} bytes, several times the {needed:,} of {what}"
        )
    value = stream.read(min(length, needed + needed % 2))
    if len(value) < needed:
        raise DicomFault(f"{element(form.keyword)} has {len(value):,} bytes, expected {needed:,} for {what}")
    return value, kind


def _stored_bits(values: np.ndarray, form: PixelFormat) -> np.ndarray:
    """Values without the bits above and below those that are stored, which may hold overlays or anything."""
    bits = 8 * values.dtype.itemsize
    if form.keyword != "PixelData" or form.allocated == 1 or form.stored == bits:
        return values
    values = np.left_shift(values, bits - 1 - form.high)
    return np.right_shift(values, bits - form.stored, out=values)


def _run_lengths(frame: bytes, form: PixelFormat) -> np.ndarray:
    """Decode RLE (PS3.5 annex G): each byte of each value is a plane of its own, the highest first.

    Pillow's decoder writes into the size that the header gives and no further.
    """
    width, count = form.allocated // 8, form.rows * form.columns
    starts = np.frombuffer(frame[:64].ljust(64, b"\0"), "<u4").tolist()
    planes = form.samples * width
    if form.allocated % 8 or starts[0] != planes:
        raise DicomFault(f"its RLE data have {starts[0]} segments, expected {planes}")
    ends = [*starts[2 : planes + 1], len(frame)]
    values = np.empty((form.samples, width, count), np.uint8)
    for plane, start, end in zip(range(planes), starts[1:], ends, strict=False):
        sample, byte = divmod(plane, width)
        try:
            line = Image.frombytes("L", (count, 1), frame[start:end], PACKBITS, "L")
        except ValueError:
            raise DicomFault("its RLE data end before the picture does") from None
        values[sample, width - 1 - byte] = np.asarray(line)[0]
    kind = "i" if form.signed else "u"
    shape = (form.rows, form.columns, form.samples)[: 3 if form.samples > 1 else 2]
    return np.ascontiguousarray(values.transpose(2, 0, 1)).view(f"<{kind}{width}").reshape(shape)


def _checked_bits(frame: bytes, form: PixelFormat) -> int:
    """Bits of a value in a compressed picture: those stored, and those below them where it has these too.

    A picture that is not of the header's size is refused: decoders make room for what it says itself.
    """
    found = codestream(frame)
    if found is None:
        raise DicomFault(f"{element(form.keyword)} does not begin as a compressed picture does")
    said, expected = (found.rows, found.columns, found.samples), (form.rows, form.columns, form.samples)
    if said != expected:
        sizes = (" x ".join(map(str, size)) for size in (said, expected))
        raise DicomFault("its compressed picture is {} values, its header says {}".format(*sizes))
    if found.scans * form.rows * form.columns > MAX_SCANS * max_pixels():
        raise DicomFault(f"its compressed picture comes in {found.scans:,} scans, which take too long")
    return max(form.stored, min(found.bits, form.high + 1))


def _undecoded(syntax: UID) -> DicomFault:
    """What to tell of pixels that could not be decoded; the names of private syntaxes are their makers'."""
    if not syntax.is_transfer_syntax or syntax.is_private:
        return DicomFault("it is stored in a transfer syntax (0002,0010) that hemf does not read")
    return DicomFault(
        f"it is compressed as {syntax.name} and cannot be decoded",
        "export it uncompressed, or decompress it (gdcmconv --raw, dcmdjpeg)",
    )
