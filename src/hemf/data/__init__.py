"""From a release on disk to batches: data sets, splits, image files, sources."""
