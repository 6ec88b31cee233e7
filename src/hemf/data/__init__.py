"""From a release on disk to batches: manifest, sources, splits, image reading, transforms, data module."""

from hemf.data.manifest import DataSet, Sample, load_data

__all__ = ["DataSet", "Sample", "load_data"]
