"""From a release on disk to batches: data sets, sources, splits, image reading, transforms, data module."""
