"""DICOM files for tests: written by pydicom, compressed by GDCM, their headers full of secrets."""

from pathlib import Path

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian, generate_uid

SECRETS = ("Miller^Anna", "PID-4711", "19610203", "St. Elsewhere")


def header(**values) -> Dataset:
    """A CT image's header with ``values`` as further elements."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID = generate_uid(), generate_uid()
    data.PatientName, data.PatientID, data.PatientBirthDate, data.InstitutionName = SECRETS
    data.Modality = "CT"
    for name, value in values.items():
        setattr(data, name, value)
    return data


def save(
    path: Path,
    stored: np.ndarray,
    syntax: str = ExplicitVRLittleEndian,
    bits: int | None = None,
    kind: str = "MONOCHROME2",
    left_out: tuple[str, ...] = (),
    **values,
) -> Path:
    """Write ``stored`` (height x width, or that x 3) as a DICOM file.

    ``values`` are further elements, or others than follow from ``stored``; ``left_out`` are not written.
    """
    data = Dataset()
    data.Rows, data.Columns = stored.shape[:2]
    data.SamplesPerPixel = 3 if stored.ndim == 3 else 1
    if stored.ndim == 3:
        data.PlanarConfiguration = 0
    data.PhotometricInterpretation = kind
    data.BitsAllocated = 8 * stored.dtype.itemsize
    data.BitsStored = bits or data.BitsAllocated
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(stored.dtype.kind == "i")
    big = syntax == ExplicitVRBigEndian
    data.PixelData = stored.astype(stored.dtype.newbyteorder(">" if big else "<")).tobytes()
    for name, value in values.items():
        setattr(data, name, value)
    data["PixelData"].VR = "OW" if stored.itemsize > 1 else "OB"
    for name in left_out:
        delattr(data, name)
    whole = header()
    whole.update(data)
    whole.file_meta.TransferSyntaxUID = syntax
    whole.save_as(path, enforce_file_format=True)
    return path


def compress(path: Path, syntax: str) -> Path:
    """The file again, compressed by GDCM in one of its lossless transfer syntaxes, under another name."""
    import gdcm

    reader, change = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(syntax))))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer, made = gdcm.ImageWriter(), path.with_suffix(f".{syntax}.dcm")
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(made))
    assert writer.Write()
    return made


def table(data, first: int, bits: int, count: int | None = None, vr: str = "US") -> Sequence:
    """A modality or VOI look-up table's sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US" if first >= 0 else "SS", [(count or len(data)) % 2**16, first, bits])
    item.add_new("LUTData", vr, data)
    return Sequence([item])


def palette(count: int, bits: int, data: dict[str, bytes] | bytes, first: int = 0, segmented: bool = False):
    """The elements of a palette: the data of each channel, or of all."""
    values = {}
    for name in ("Red", "Green", "Blue"):
        values[f"{name}PaletteColorLookupTableDescriptor"] = [count % 2**16, first, bits]
        key = f"Segmented{name}" if segmented else name
        values[f"{key}PaletteColorLookupTableData"] = data if isinstance(data, bytes) else data[name]
    return values


def rewrite(path: Path, data: Dataset) -> Path:
    """Write a data set that may be against the standard."""
    dcmwrite(path, data, force_encoding=True, implicit_vr=False, little_endian=True)
    return path
