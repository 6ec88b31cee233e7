"""The losses for rare classes, against their published formulas; every loss with mixed targets."""

import pytest
import torch
import torch.nn.functional as F

from hemf import HemfError, RunConfig
from hemf.losses import LOSSES, balanced_weights, build_loss
from hemf.losses.class_balanced import effective_weights

COUNTS = [100, 10, 1]
torch.manual_seed(0)
LOGITS, LABELS = torch.randn(16, 3, dtype=torch.float64) * 2, torch.arange(16) % 3


def loss_of(name: str, target=LABELS, logits=LOGITS, counts=COUNTS, **options) -> torch.Tensor:
    return build_loss(RunConfig.of(loss=name, **options), counts).double()(logits, target)


def test_focal_is_its_formula():
    p = LOGITS.softmax(1)[torch.arange(16), LABELS]
    torch.testing.assert_close(loss_of("focal"), (-((1 - p) ** 2) * p.log()).mean())
    torch.testing.assert_close(loss_of("focal", loss_args={"gamma": 0}), F.cross_entropy(LOGITS, LABELS))


def test_focal_weighs_classes_as_cross_entropy_does():
    weighted = loss_of("focal", loss_args={"gamma": 0.0}, class_weights="balanced")
    expected = F.cross_entropy(LOGITS, LABELS, balanced_weights(COUNTS).double())
    torch.testing.assert_close(weighted, expected, rtol=1e-6, atol=1e-6)


def test_effective_numbers_lie_between_no_weights_and_inverse_counts():
    torch.testing.assert_close(effective_weights(COUNTS, 0.0), torch.ones(3))
    inverse = 1 / torch.tensor(COUNTS, dtype=torch.float32)
    torch.testing.assert_close(
        effective_weights(COUNTS, 1 - 1e-9), 3 * inverse / inverse.sum(), rtol=1e-3, atol=0
    )
    assert effective_weights([4, 0, 2], 0.9)[1] == 0


def test_logit_adjustment_adds_the_log_shares():
    shares = torch.tensor(COUNTS, dtype=torch.float64) / 111
    expected = F.cross_entropy(LOGITS + shares.log(), LABELS)
    torch.testing.assert_close(loss_of("logit_adjusted"), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        loss_of("logit_adjusted", loss_args={"tau": 0}), F.cross_entropy(LOGITS, LABELS)
    )


def test_ldam_lowers_the_true_class_by_its_margin():
    root = torch.tensor(COUNTS, dtype=torch.float64) ** -0.25
    lowered = LOGITS - F.one_hot(LABELS, 3) * (0.5 * root / root.max())
    torch.testing.assert_close(loss_of("ldam"), F.cross_entropy(lowered, LABELS), rtol=1e-6, atol=1e-6)


def test_ldam_weighs_the_classes_late():
    loss = build_loss(RunConfig.of(loss="ldam"), COUNTS).double()
    loss.begin_epoch(7, 10)
    early = loss(LOGITS, LABELS)
    loss.begin_epoch(8, 10)
    late = loss(LOGITS, LABELS)
    torch.testing.assert_close(early, loss_of("ldam"))
    assert late != early


def test_asymmetric_counts_easy_negatives_less_and_refuses_mixed_images():
    same = loss_of("asymmetric", loss_args={"gamma_neg": 0.0})
    torch.testing.assert_close(same, F.cross_entropy(LOGITS, LABELS))
    with pytest.raises(HemfError, match="asymmetric takes neither mixed images nor class weights"):
        loss_of("asymmetric", mixup=0.2)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"asymmetric"}))
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_mixed_targets_are_the_mean_over_their_classes(name, smoothing):
    """An image that is half of each of two classes costs the mean of what it costs as either."""
    image, halves = LOGITS[:1], torch.tensor([[0.5, 0.5, 0.0]], dtype=torch.float64)
    counts = [20, 20, 20]  # of one weight, for a weighted mean of one image is over that
    mixed = loss_of(name, halves, image, counts, label_smoothing=smoothing)
    each = [loss_of(name, torch.tensor([k]), image, counts, label_smoothing=smoothing) for k in (0, 1)]
    torch.testing.assert_close(mixed, sum(each) / 2, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_has_a_gradient_that_is_finite_at_the_extremes(name):
    logits = torch.tensor([[90.0, -90.0, 0.0], [-90.0, 90.0, 0.0]], requires_grad=True)
    build_loss(RunConfig.of(loss=name), COUNTS)(logits, torch.tensor([0, 0])).backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("focal", {"gama": 1}, "the loss focal takes no 'gama'; did you mean gamma?"),
        ("cross_entropy", {"gamma": 1}, "the loss cross_entropy takes no 'gamma'; leave out --loss-args"),
        ("focal", {"gamma": "high"}, "--loss-args: gamma is 'high'; give a number"),
    ],
)
def test_wrong_numbers_of_a_loss_are_one_line(name, given, words):
    with pytest.raises(HemfError) as error:
        loss_of(name, loss_args=given)
    assert str(error.value) == words


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"cross_entropy"}))
def test_each_trains(train, name):
    assert train(loss=name, epochs=1, monitor="loss").best["epoch"] == 1
