"""Which images a process trains on in an epoch, and in which order: by (seed, epoch) alone."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

Key = tuple[int, int]  # epoch and index of a sample


def mixed_seed(seed: int, *key: int) -> int:
    """Mix a 64-bit seed in which every bit depends on every bit of ``seed`` and ``key`` (all at least 0)."""
    return int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1, np.uint64)[0])


class EpochSampler(Sampler[Key]):
    """Keys (epoch, index) of one process's share of an epoch; Lightning sets the epoch, after a resume too.

    In training R processes take the batches that one process would take R of before a step: process r has
    batch r of every R. What is left for the last step they share evenly.

    Args:
        size: number of samples.
        seed: seed of the run; the order depends on it and the epoch.
        shuffle: a new order every epoch, else the samples' own.
        batch_size: the last image is left out of an epoch in which it would be a batch by itself, which batch
            normalisation cannot train on; shuffling makes it another one every epoch.
        rank: rank of this process.
        num_replicas: number of processes.
        pad: repeat a few samples so that all processes have the same number, as training needs; otherwise
            every sample occurs once, as evaluation needs.
        weights: how likely each sample is to be drawn, with replacement; None draws each once.
    """

    def __init__(
        self,
        size: int,
        seed: int = 0,
        *,
        shuffle: bool = True,
        batch_size: int = 1,
        rank: int = 0,
        num_replicas: int = 1,
        pad: bool = True,
        weights: np.ndarray | None = None,
    ) -> None:
        self.size, self.seed, self.shuffle, self.weights = size, seed, shuffle, weights
        self.batch_size, self.rank, self.num_replicas = batch_size, rank, num_replicas
        share = -(-size // num_replicas) if pad else len(range(rank, size, num_replicas))
        self.count = share - 1 if share > batch_size and share % batch_size == 1 else share
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Key]:
        order = np.arange(self.size)
        if self.shuffle:
            rng = np.random.default_rng(mixed_seed(self.seed, self.epoch))
            drawn = self.weights is not None
            order = rng.choice(order, self.size, p=self.weights) if drawn else rng.permutation(order)
        for index in order[self._positions() % max(self.size, 1)]:
            yield self.epoch, int(index)

    def _positions(self) -> np.ndarray:
        """Return which places of the epoch's order are this process's."""
        own = np.arange(self.count)
        if not self.shuffle:
            return self.rank + self.num_replicas * own
        steps, image = np.divmod(own, self.batch_size)
        whole = self.size // (self.batch_size * self.num_replicas)
        left = self.count - whole * self.batch_size
        share = np.where(steps < whole, self.batch_size, left)  # of this process in a step
        return steps * self.batch_size * self.num_replicas + self.rank * share + image
