"""A decoder of compressed DICOM pictures for pydicom: lossless JPEG, 12-bit JPEG, JPEG-LS and JPEG 2000.

The libraries are imagecodecs'. GDCM, which pydicom would use, ends the whole process on damaged pictures.
"""

from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
from pydicom import uid
from pydicom.pixels import get_decoder

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import DecodeRunner

PLUGIN = "hemf"
LOSSLESS = (uid.JPEGLossless, uid.JPEGLosslessSV1)
JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000)
SYNTAXES = (*LOSSLESS, uid.JPEGExtended12Bit, *uid.JPEGLSTransferSyntaxes, *JPEG_2000)
END = b"\xff\xd9"


def is_available(syntax: str) -> bool:
    """Return whether pictures of a transfer syntax are decoded here; pydicom asks."""
    return syntax in SYNTAXES


def decode_frame(data: bytes, runner: "DecodeRunner") -> bytes:
    """Return the bytes of a decoded picture, and in ``runner`` what they are.

    Raises:
        Exception: anything, for damaged pictures.
    """
    values = _decoded(data, runner)
    runner.set_option("bits_allocated", 8 * values.dtype.itemsize)
    runner.set_option("planar_configuration", 0)
    if runner.photometric_interpretation in ("YBR_ICT", "YBR_RCT"):
        runner.set_option("photometric_interpretation", "RGB")
    return values.tobytes()


def _decoded(data: bytes, runner: "DecodeRunner") -> np.ndarray:
    syntax = runner.transfer_syntax
    if syntax in LOSSLESS:
        return imagecodecs.jpegsof3_decode(data)
    if syntax in uid.JPEGLSTransferSyntaxes:
        return imagecodecs.jpegls_decode(data)
    if syntax in JPEG_2000:
        return imagecodecs.jpeg2k_decode(data, numthreads=1)
    if END not in data[-4:]:  # behind which some pad; the library fills what lacks with grey
        raise ValueError("the picture ends early")
    same = "YCBCR" if runner.samples_per_pixel == 3 else None
    return imagecodecs.jpeg8_decode(data, colorspace=same, outcolorspace=same)


for syntax in SYNTAXES:
    get_decoder(syntax).add_plugin(PLUGIN, (__name__, "decode_frame"))
