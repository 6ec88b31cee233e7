"""Every measure of a split on many resamples at once, from how often each image is in each of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from hemf.metrics.classification import log_loss_of, ranking_scores

Values = dict[str, np.ndarray]


@dataclass(frozen=True)
class Ranking:
    """The images in the order of one class's scores, the highest first, in blocks of equal scores.

    Args:
        order: N image indices.
        starts: where each block begins.
        positive: places, in that order, of the images of the class.
        blocks: the blocks that have such images.
        first: where each of these begins among ``positive``.
    """

    order: np.ndarray
    starts: np.ndarray
    positive: np.ndarray
    blocks: np.ndarray
    first: np.ndarray


class WeightedMeasures:
    """The measures of one model on one split, whose images may count several times or not at all.

    Args:
        labels: N class indices.
        probabilities: N x K, rows summing to one.
    """

    def __init__(self, labels: np.ndarray, probabilities: np.ndarray) -> None:
        n, self.k = probabilities.shape
        self.present = np.unique(labels)
        cells = labels * self.k + probabilities.argmax(1)
        self.cells = sparse.csr_array((np.ones(n), (cells, np.arange(n))), shape=(self.k**2, n))
        rows = probabilities / probabilities.sum(1, keepdims=True)
        self.losses = log_loss_of(labels, rows)
        scores = ranking_scores(probabilities)
        self.rankings = {int(c): _ranking(labels == c, scores[:, c]) for c in self.present}

    def of_split(self, weights: np.ndarray, of_classes: dict[int, Values] | None = None) -> Values:
        """Return the measures of the whole split on R resamples.

        Averages go over the classes present in the split. Where a resample lacks one of them, what rests on
        that class is NaN.

        Args:
            weights: N x R, how often each image is in each resample.
            of_classes: what ``of_classes`` gives for these weights, if it is at hand.

        Returns:
            R values of each measure.
        """
        of_classes = self.of_classes(weights) if of_classes is None else of_classes
        confusion = self._confusion(weights)
        n, hits = confusion.sum((0, 1)), np.einsum("iir->r", confusion)
        true, predicted = confusion.sum(1), confusion.sum(0)
        shares = true[self.present] / n

        def macro(name: str) -> np.ndarray:
            return np.mean([of_classes[int(c)][name] for c in self.present], axis=0)

        def weighted(values: np.ndarray) -> np.ndarray:
            return (shares * values).sum(0)

        diagonal = np.einsum("iir->ir", confusion)[self.present]
        missing = np.where(true[self.present] > 0, 0.0, np.nan)
        precisions = _ratio(diagonal, predicted[self.present], 0.0)
        f1 = _ratio(2 * diagonal, true[self.present] + predicted[self.present], 0.0)
        recall_macro = macro("recall")
        by_chance = (true * predicted).sum(0)
        several = (true > 0).sum(0) > 1
        spread = np.sqrt((n**2 - (true**2).sum(0)) * (n**2 - (predicted**2).sum(0)))
        return {
            "accuracy": hits / n,
            "balanced_accuracy": recall_macro,
            "precision_macro": (precisions + missing).mean(0),
            "precision_weighted": weighted(precisions),
            "recall_macro": recall_macro,
            "recall_weighted": hits / n,
            "f1_macro": (f1 + missing).mean(0),
            "f1_weighted": weighted(f1),
            "specificity_macro": macro("specificity"),
            "mcc": np.where(several, _ratio(hits * n - by_chance, spread, 0.0), np.nan),
            "kappa": np.where(several, _ratio(hits * n - by_chance, n**2 - by_chance, np.nan), np.nan),
            "roc_auc_macro": macro("roc_auc"),
            "average_precision_macro": macro("average_precision"),
            "log_loss": self.losses @ weights / n,
        }

    def of_classes(self, weights: np.ndarray) -> dict[int, Values]:
        """Measure each class present against the rest, NaN if undefined; of the others the specificity.

        Args:
            weights: N x R, how often each image is in each resample.

        Returns:
            R values of each measure, by class index.
        """
        confusion = self._confusion(weights)
        n, true, predicted = confusion.sum((0, 1)), confusion.sum(1), confusion.sum(0)
        found = {c: {"specificity": _ratio(n - predicted[c], n, np.nan)} for c in range(self.k)}
        for c, ranking in self.rankings.items():
            hits = confusion[c, c]
            false = predicted[c] - hits
            auc, precision = _ranked(ranking, weights)
            found[c] = {
                "precision": _ratio(hits, predicted[c], np.nan),
                "recall": _ratio(hits, true[c], np.nan),
                "f1": np.where(true[c] > 0, _ratio(2 * hits, true[c] + predicted[c], np.nan), np.nan),
                "specificity": np.where(
                    true[c] > 0, _ratio(n - true[c] - false, n - true[c], np.nan), np.nan
                ),
                "roc_auc": auc,
                "average_precision": np.where(true[c] < n, precision, np.nan),
            }
        return found

    def _confusion(self, weights: np.ndarray) -> np.ndarray:
        """Return K x K x R counts, rows true, columns predicted."""
        return (self.cells @ weights).reshape(self.k, self.k, -1)


def weighted_auc(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return ROC AUC, ties counting half, on R resamples; NaN where one lacks a kind of image.

    Args:
        positive: N booleans.
        scores: N, higher for positive.
        weights: N x R, how often each image is in each resample.
    """
    return _ranked(_ranking(positive, scores), weights)[0]


def _ranking(positive: np.ndarray, scores: np.ndarray) -> Ranking:
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    block = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(scores)]))
    places = np.flatnonzero(positive[order])
    blocks, first = np.unique(block[places], return_index=True)
    return Ranking(order, starts, places, blocks, first)


def _ranked(ranking: Ranking, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rank on R resamples: ROC AUC and average precision; NaN without positives, AUC also without negatives.

    With tp and fp the images at or above a threshold that are of the class and are not, AUC is the share of
    pairs in order (ties half), 1 - sum p (fp - n / 2) / (P N) over blocks of equal scores with p images of
    the class and n others; average precision is sum p tp / (tp + fp) / P.
    """
    ranked = weights[ranking.order]
    positive = np.add.reduceat(ranked[ranking.positive], ranking.first, axis=0)
    block = ranked if len(ranking.starts) == len(ranked) else np.add.reduceat(ranked, ranking.starts, axis=0)
    above = np.cumsum(block, axis=0)
    true, total = np.cumsum(positive, axis=0), above[-1]
    above, block = above[ranking.blocks], block[ranking.blocks]
    negative = block - positive
    all_positive = true[-1]
    disorder = (positive * (above - true - negative / 2)).sum(0)
    auc = 1 - _ratio(disorder, all_positive * (total - all_positive), np.nan)
    precision = _ratio((positive * _ratio(true, above, 0.0)).sum(0), all_positive, np.nan)
    return auc, precision


def _ratio(above: np.ndarray, below: np.ndarray, undefined: float) -> np.ndarray:
    """Return ``above / below``, and ``undefined`` where that is 0 / 0 or x / 0."""
    return np.divide(above, below, out=np.full(np.broadcast(above, below).shape, undefined), where=below != 0)


def on_resamples(
    measures: WeightedMeasures, blocks: Iterator[np.ndarray]
) -> tuple[Values, dict[int, Values]]:
    """Return all measures on all resamples: of the split, and of each class."""
    split, classes = [], []
    for weights in blocks:
        classes.append(measures.of_classes(weights))
        split.append(measures.of_split(weights, classes[-1]))
    return _joined(split), {c: _joined([one[c] for one in classes]) for c in range(measures.k)}


def _joined(parts: list[Values]) -> Values:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
