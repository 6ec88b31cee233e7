"""Batches for training and testing: Lightning's data module, the cache, reading processes."""
