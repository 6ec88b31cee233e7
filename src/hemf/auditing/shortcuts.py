"""How well one property alone tells the class, or the side of the split, compared with chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PERMUTATIONS = 200


@dataclass(frozen=True)
class Strength:
    """How well a property tells a target.

    Args:
        balanced_accuracy: mean over the target's classes of the share named right by the best rule that knows
            only the property: for each value, the class in which that value is most frequent.
        chance: mean of the same over random permutations of the target.
        p: share of permutations at least as good, the data's own order counted among them.
        excess: (balanced accuracy - chance) / (1 - chance): 0 at chance, 1 if the property says it all.
    """

    balanced_accuracy: float
    chance: float
    p: float

    @property
    def excess(self) -> float:
        """See the class."""
        return (self.balanced_accuracy - self.chance) / (1 - self.chance) if self.chance < 1 else 0.0

    def to_json(self) -> dict[str, float]:
        """As it stands in ``audit.json``."""
        names = ("balanced_accuracy", "chance", "excess", "p")
        return {name: round(float(getattr(self, name)), 4) for name in names}


def strength(
    codes: np.ndarray, targets: np.ndarray, groups: Sequence[str] | None = None, seed: int = 0
) -> Strength:
    """Return how well ``codes`` tell ``targets``, in sample, against permutations that keep groups whole.

    The rule is made from the images that it is tried on, so it beats 1 / classes by luck alone; so do the
    permutations, which is why they and not 1 / classes are the chance level.

    Args:
        codes: N whole numbers from 0, the property.
        targets: N whole numbers from 0, the class or side.
        groups: N names of patients or lesions, empty where unknown: images of one get one permuted target.
        seed: seed of the permutations.
    """
    rng = np.random.default_rng(seed)
    names = [name or f"\0{i}" for i, name in enumerate(groups)] if groups is not None else range(len(codes))
    _, first, unit = np.unique(np.asarray(names), return_index=True, return_inverse=True)
    of_unit = targets[first]  # a group of several classes is permuted as the class of its first image
    permuted = [_balanced_accuracy(codes, rng.permutation(of_unit)[unit]) for _ in range(PERMUTATIONS)]
    found = _balanced_accuracy(codes, targets)
    p = (1 + sum(value >= found - 1e-12 for value in permuted)) / (1 + PERMUTATIONS)
    return Strength(found, float(np.mean(permuted)), p)


def _balanced_accuracy(codes: np.ndarray, targets: np.ndarray) -> float:
    """Return 1/K sum over values of max over classes of P(value | class)."""
    kinds = int(targets.max()) + 1
    table = np.bincount(codes * kinds + targets, minlength=(int(codes.max()) + 1) * kinds)
    table = table.reshape(-1, kinds).astype(float)
    total = table.sum(0)
    table = table[:, total > 0] / total[total > 0]
    return float(table.max(1).sum() / table.shape[1])
