"""Temperature scaling finds the temperature that the outputs were made with, and the best of all others."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import log_softmax, softmax

from hemf.training.temperature import HIGHEST, LOWEST, fit_temperature


def drawn(n: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is the truth, and labels drawn from it."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, k))
    labels = rng.multinomial(1, softmax(logits, axis=1)).argmax(1)
    return logits, labels


def log_loss(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    return -log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels].mean()


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("k", [2, 7])
def test_recovers_the_temperature_that_the_labels_were_drawn_at(temperature: float, k: int) -> None:
    logits, labels = drawn(20_000, k)
    assert fit_temperature(temperature * logits, labels) == pytest.approx(temperature, rel=0.03)


def test_no_other_temperature_has_a_smaller_log_loss() -> None:
    logits, labels = drawn(200, 3)
    found = fit_temperature(5 * logits, labels)
    best = min(
        np.geomspace(LOWEST, HIGHEST, 2000), key=lambda temperature: log_loss(5 * logits, labels, temperature)
    )
    assert found == pytest.approx(best, rel=0.01)
    assert log_loss(5 * logits, labels, found) <= log_loss(5 * logits, labels, best) + 1e-12


def test_images_that_are_all_right_settle_nothing() -> None:
    assert fit_temperature(np.eye(3), np.arange(3)) is None


def test_outputs_that_are_worse_than_none_are_flattened() -> None:
    assert fit_temperature(np.eye(3), np.array([1, 2, 0])) == pytest.approx(HIGHEST, rel=1e-3)


@given(
    hnp.arrays(np.float32, (6, 3), elements=st.floats(-50, 50, width=32)),
    hnp.arrays(np.int64, 6, elements=st.integers(0, 2)),
)
def test_never_worse_than_leaving_the_logits_alone(logits: np.ndarray, labels: np.ndarray) -> None:
    found = fit_temperature(logits, labels)
    if found is not None:
        assert LOWEST <= found <= HIGHEST
        logits = logits.astype(np.float64)
        assert log_loss(logits, labels, found) <= log_loss(logits, labels, 1.0) + 1e-6
