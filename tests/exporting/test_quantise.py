"""Which layers are left in fp32: those that make the noise, found in few trials."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemf.exporting.quantise import QUIET, loudest


class Network:
    """Layers whose noise adds up; it counts how often it is asked."""

    def __init__(self, noises: Sequence[float]) -> None:
        self.noises, self.trials = {f"layer{i}": one for i, one in enumerate(noises)}, 0

    def __call__(self, layers: Sequence[str]) -> float:
        self.trials += 1
        return sum(self.noises[name] for name in layers)


@given(st.lists(st.floats(0, 0.1), max_size=40), st.integers(0, 12))
def test_the_others_are_quiet_together_or_no_more_may_stay(noises: list[float], most: int):
    network = Network(noises)
    found = loudest([*network.noises], network, most)
    assert len(found) == len({*found}) <= most
    left = sum(one for name, one in network.noises.items() if name not in found)
    assert left <= QUIET + 1e-9 or len(found) == most


def test_two_loud_layers_of_a_thousand_are_found_in_few_trials():
    noises = np.full(1000, QUIET / 2000)
    noises[[123, 700]] = 0.05, 0.02
    network = Network(noises)
    assert loudest([*network.noises], network, 100) == ["layer123", "layer700"]
    assert network.trials < 45


@pytest.mark.parametrize("noises", [[], [QUIET / 9] * 4])
def test_where_all_are_quiet_none_stays(noises: list[float]):
    network = Network(noises)
    assert loudest([*network.noises], network, 4) == []
    assert network.trials <= 1
