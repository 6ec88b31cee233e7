"""From images to predictions: one loop, one record, one classifier."""
