"""Padding is black, whatever its sign; windows without a width are none; CT windows need Hounsfield units."""

from pathlib import Path

import numpy as np
import pytest
from dicom_files import save
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from hemf.core.errors import UnreadableImage
from hemf.data.dicom.window import windowed
from hemf.data.image.read import read_image

RAMP = np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8)
SHOWN = np.rint(255 * (RAMP / 4095))


def grey(path: Path, window: str = "auto") -> np.ndarray:
    return np.asarray(read_image(path, "L", window))


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("value", "limit"), [(4095, None), (0, None), (0, 3), (3, 0)])
def test_padding_is_black_and_out_of_the_range(tmp_path, kind, value, limit):
    values = RAMP.copy()
    values[0] = value
    padding = {"PixelPaddingValue": value} | ({} if limit is None else {"PixelPaddingRangeLimit": limit})
    found = grey(save(tmp_path / "a.dcm", values, bits=12, kind=kind, **padding))
    least, most = sorted((value, value if limit is None else limit))
    is_padding = (values >= least) & (values <= most)
    low, high = int(values[~is_padding].min()), int(values[~is_padding].max())
    expected = np.clip((values.astype(float) - low) / (high - low), 0, 1)
    expected = np.rint(255 * (1 - expected if kind == "MONOCHROME1" else expected))
    assert np.array_equal(found, np.where(is_padding, 0, expected))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("value", [-2000, 65536 - 2000])
def test_padding_below_zero_in_an_element_of_either_sign(tmp_path, syntax, value):
    values = RAMP.astype(np.int16) - 1000
    values[0] = -2000
    path = save(tmp_path / "a.dcm", values, syntax, RescaleSlope=1, RescaleIntercept=-24)
    import pydicom

    data = pydicom.dcmread(path)
    data.add_new("PixelPaddingValue", "SS" if value < 0 else "US", value)
    data.save_as(path)
    found = grey(path)
    assert not found[0].any()
    low = int(values[1:].min())
    assert np.array_equal(found[1:], np.rint((values[1:] - low) / (values.max() - low) * 255))


def test_padding_in_a_ct_window_is_black_not_bone(tmp_path):
    values = RAMP.astype(np.int16)
    values[0] = 32767
    path = save(tmp_path / "a.dcm", values, PixelPaddingValue=32767, RescaleSlope=1, RescaleIntercept=-1024)
    found = grey(path, "lung")
    assert not found[0].any()
    assert found[-1].min() == 255


@pytest.mark.parametrize("width", ["0", "0.5", "-5", ""])
def test_a_window_without_a_width_is_none(tmp_path, width):
    path = save(tmp_path / "a.dcm", RAMP, bits=12, WindowCenter="2000", WindowWidth=width)
    assert np.array_equal(grey(path), SHOWN)


def test_a_window_of_width_1_is_a_threshold(tmp_path):
    path = save(tmp_path / "a.dcm", RAMP, bits=12, WindowCenter="2000", WindowWidth="1")
    assert np.array_equal(grey(path), np.where(RAMP > 1999.5, 255, 0))


def test_ct_windows_need_units(tmp_path):
    with pytest.raises(UnreadableImage, match=r"RescaleIntercept \(0028,1052\) is missing.*--window auto"):
        grey(save(tmp_path / "a.dcm", RAMP, bits=12), "lung")


@pytest.mark.parametrize(("name", "kind"), [("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")])
def test_pixels_of_floating_point(tmp_path, name, kind):
    values = RAMP / 10 - 3
    data = values.astype(kind).tobytes()
    bits = 32 if kind == "<f4" else 64
    unused = ("PixelData", "BitsStored", "HighBit", "PixelRepresentation")
    path = save(tmp_path / "a.dcm", RAMP, left_out=unused, BitsAllocated=bits, **{name: data})
    assert np.array_equal(grey(path), SHOWN)
    padded = values.astype(kind)
    padded[0] = 1e30
    more = {name: padded.tobytes(), f"{name.replace('Data', 'PaddingValue')}": 1e30}
    found = grey(save(tmp_path / "b.dcm", RAMP, left_out=unused, BitsAllocated=bits, **more))
    assert not found[0].any()
    assert found.max() == 255
    padded[0, 0] = np.nan
    path = save(tmp_path / "c.dcm", RAMP, left_out=unused, BitsAllocated=bits, **{name: padded.tobytes()})
    with pytest.raises(UnreadableImage, match="holds values that are not finite numbers"):
        read_image(path)


def test_large_pictures_are_worked_out_in_strips(tmp_path, monkeypatch):
    path = save(tmp_path / "a.dcm", RAMP, bits=12, kind="MONOCHROME1")
    whole = grey(path)
    monkeypatch.setattr("hemf.data.dicom.window.STRIP", 20)
    assert np.array_equal(grey(path), whole)


def test_a_function_of_another_name():
    with pytest.raises(ValueError, match="no such VOI LUT function"):
        windowed(np.zeros(3), 0, 1, "CURVE")
