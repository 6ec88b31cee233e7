"""From a read image to a network's input, without torch: the same for a run and for its exports."""

from hemf.data.preprocessing.spec import InputSpec
from hemf.data.preprocessing.steps import Crop, Resize, centred, pixels_of, standardised

__all__ = ["Crop", "InputSpec", "Resize", "centred", "pixels_of", "standardised"]
