"""DICOM files: what of a header is used, and how stored values become grey levels."""
