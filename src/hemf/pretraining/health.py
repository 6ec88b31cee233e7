"""Whether features are of use, without training on them: their rank, their spread, their neighbours."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

NEIGHBOURS = 20
SHARPNESS = 0.07
"""Of the weights of neighbours, exp(cosine / 0.07), as in Wu et al. 2018 (arXiv:1805.01978)."""
LEAST_SPREAD = 0.01
LEAST_RANK = 1.5


def effective_rank(features: Tensor) -> float:
    """Return how many directions features take up: RankMe (Garrido et al. 2023, arXiv:2210.02885, eq. 1).

    It is exp(-sum p log p) of the singular values' shares p of their sum.

    Args:
        features: N x D.
    """
    values = torch.linalg.svdvals(features.double().cpu())
    shares = values / values.sum().clamp_min(1e-12) + 1e-7
    return float((-(shares * shares.log()).sum()).exp())


def spread(features: Tensor) -> float:
    """Return the standard deviation of the features' directions, on a scale of 0 (collapsed) to 1.

    It is the mean over D of the standard deviation of features of length 1, times the square root of D: 1
    where they lie evenly on the sphere (Chen and He 2021, arXiv:2011.10566, section 4.1).

    Args:
        features: N x D.
    """
    unit = F.normalize(features.double(), dim=1)
    return float(unit.std(0, correction=0).mean() * unit.shape[1] ** 0.5)


def is_collapsed(rank: float, deviation: float) -> bool:
    """Return whether features say nearly the same of every image."""
    return deviation < LEAST_SPREAD or rank < LEAST_RANK


def similarities(
    queries: Tensor, bank: Tensor, query_groups: Sequence[str], bank_groups: Sequence[str]
) -> Tensor:
    """Return cosines of Q queries to B others, Q x B; -inf where both show the same patient or lesion.

    Args:
        queries: Q x D.
        bank: B x D.
        query_groups: patient or lesion of each query; empty where unknown.
        bank_groups: of each of the others.
    """
    cosines = F.normalize(queries.float(), dim=1) @ F.normalize(bank.float(), dim=1).T
    numbers = {group: i for i, group in enumerate(dict.fromkeys([*query_groups, *bank_groups]))}
    ours, theirs = (torch.tensor([numbers[g] for g in one]) for one in (query_groups, bank_groups))
    known = torch.tensor([bool(group) for group in query_groups])
    same = (ours[:, None] == theirs[None]) & known[:, None]
    return cosines.masked_fill(same.to(cosines.device), -torch.inf)


def neighbours_votes(cosines: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return how the nearest neighbours of each query vote, Q x classes, each weighted by likeness.

    Args:
        cosines: Q x B, as of ``similarities``.
        labels: B class indices.
        classes: number of classes.
    """
    near, place = cosines.topk(min(NEIGHBOURS, cosines.shape[1]), dim=1)
    weights = (near / SHARPNESS).exp().double().cpu()  # 0 for those that may not vote
    votes = torch.zeros(len(cosines), classes, dtype=weights.dtype)
    return votes.scatter_add(1, labels[place.cpu()], weights)


def accuracies(votes: Tensor, labels: Tensor, counts: Tensor) -> tuple[float, float]:
    """Return the accuracy of votes, and the balanced accuracy of votes that are worth less in large classes.

    Args:
        votes: Q x classes.
        labels: Q class indices.
        counts: how many may vote for each class, by which its votes are divided for the second.
    """
    right = votes.argmax(1) == labels
    evened = (votes / counts.clamp_min(1)).argmax(1) == labels
    each = [evened[labels == k].double().mean() for k in labels.unique()]
    return float(right.double().mean()), float(torch.stack(each).mean())
