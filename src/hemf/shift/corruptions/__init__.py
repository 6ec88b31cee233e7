"""What happens to images on their way to a model; importing this package registers every corruption."""

from hemf.shift.corruptions import blur, colour, compression, exposure, geometry, markers, noise, resolution
from hemf.shift.corruptions.registry import CORRUPTIONS, STEPS, Corruption

__all__ = [
    "CORRUPTIONS",
    "STEPS",
    "Corruption",
    "blur",
    "colour",
    "compression",
    "exposure",
    "geometry",
    "markers",
    "noise",
    "resolution",
]
