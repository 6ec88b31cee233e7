"""Temperature scaling finds the temperature that the outputs were made with, and the best of all others."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import log_softmax, softmax

from hemf.calibration.temperature import (
    FEWEST,
    HIGHEST,
    LOWEST,
    WIDEST,
    fit_temperature,
    temperature_interval,
    why_no_temperature,
)


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


def settled(logits: np.ndarray, labels: np.ndarray, units: int | None = None) -> str | None:
    """Why the temperature of these images is not kept."""
    found = fit_temperature(logits, labels)
    interval = None if found is None else temperature_interval(logits, labels, found, units)
    return why_no_temperature(len(labels), found, interval)


def test_the_interval_holds_the_true_temperature_as_often_as_it_says() -> None:
    held = []
    for seed in range(120):
        logits, labels = drawn(150, 3, seed)
        found = fit_temperature(2 * logits, labels)
        low, high = temperature_interval(2 * logits, labels, found)
        assert low < found < high
        held.append(low <= 2 <= high)
    assert 0.89 <= np.mean(held) <= 0.99


def test_the_ends_are_those_of_the_likelihood_and_patients_widen_them() -> None:
    logits, labels = drawn(200, 3)
    found = fit_temperature(logits, labels)
    for end in temperature_interval(logits, labels, found):
        drop = 200 * (log_loss(logits, labels, end) - log_loss(logits, labels, found))
        assert 2 * drop == pytest.approx(3.841, abs=1e-3)
    low, high = temperature_interval(logits, labels, found)
    wide_low, wide_high = temperature_interval(logits, labels, found, units=20)
    assert wide_low < low < high < wide_high


@given(
    st.integers(2, 30),
    st.integers(2, 4),
    st.floats(0.01, 30),
    st.integers(0, 2**16),
)
def test_what_is_kept_rests_on_images_and_is_known(n: int, k: int, scale: float, seed: int) -> None:
    logits, labels = drawn(n, k, seed)
    why, found = settled(scale * logits, labels), fit_temperature(scale * logits, labels)
    if why is None:
        low, high = temperature_interval(scale * logits, labels, found)
        assert n >= FEWEST
        assert LOWEST < low <= found <= high < HIGHEST
        assert high <= WIDEST * low
    else:
        assert why.startswith("no temperature: ")


def test_each_reason_is_said() -> None:
    logits, labels = drawn(200, 3)
    assert settled(logits, labels) is None
    assert "19 images are too few to settle it, 20 are needed" in settled(logits[:19], labels[:19])
    assert "200 images leave it anywhere from" in settled(logits, labels, units=2)
    noise = np.random.default_rng(0).permutation(labels)
    assert "tell nothing" in settled(logits, noise) or "or beyond" in settled(logits, noise)
    assert "all 1 image " not in (settled(logits[:1], logits[:1].argmax(1)) or "")
