import pytest
import torch
import torch.nn.functional as F

from hemf import HemfError, RunConfig
from hemf.losses import LOSSES, balanced_weights, build_loss

LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]])
LABELS = torch.tensor([0, 2])


def test_cross_entropy_is_the_mean_log_loss():
    loss = build_loss(RunConfig(), [5, 5, 5])(LOGITS, LABELS)
    expected = -F.log_softmax(LOGITS, 1)[torch.arange(2), LABELS].mean()
    torch.testing.assert_close(loss, expected)


def test_label_smoothing_spreads_the_target():
    loss = build_loss(RunConfig(label_smoothing=0.3), [5, 5, 5])(LOGITS, LABELS)
    target = F.one_hot(LABELS, 3) * 0.7 + 0.1
    torch.testing.assert_close(loss, -(target * F.log_softmax(LOGITS, 1)).sum(1).mean())


def test_balanced_weights_are_inverse_to_the_counts():
    weights = balanced_weights([10, 20, 70])
    torch.testing.assert_close(weights * torch.tensor([10.0, 20.0, 70.0]), torch.full((3,), 100 / 3))
    assert balanced_weights([3, 0, 1])[1] == 0


def test_class_weights_reach_the_loss():
    weighted = build_loss(RunConfig(class_weights="balanced"), [1, 2, 9])(LOGITS, LABELS)
    expected = F.cross_entropy(LOGITS, LABELS, weight=balanced_weights([1, 2, 9]))
    torch.testing.assert_close(weighted, expected)
    assert weighted != F.cross_entropy(LOGITS, LABELS)


def test_mixed_targets_are_taken():
    shares = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.2, 0.8]])
    loss = build_loss(RunConfig(), [5, 5, 5])(LOGITS, shares)
    torch.testing.assert_close(loss, -(shares * F.log_softmax(LOGITS, 1)).sum(1).mean())


def test_one_registration_adds_a_loss():
    @LOSSES.register("brier")
    def brier(config, counts):
        return torch.nn.MSELoss()

    try:
        assert isinstance(build_loss(RunConfig(loss="brier"), [1, 1]), torch.nn.MSELoss)
    finally:
        LOSSES.pop("brier", None)


def test_unknown_loss_names_the_nearest():
    with pytest.raises(HemfError, match=r"cross_entropi.*did you mean cross_entropy"):
        build_loss(RunConfig(loss="cross_entropi"), [1, 1])
