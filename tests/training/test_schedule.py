import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemf.training.schedule import lr_factor

PAPER = {"steps": 1500, "warmup_steps": 10, "warmup_factor": 1e-3, "min_lr_factor": 1e-2}


def test_closed_form_of_the_paper():
    assert lr_factor(0, **PAPER) == pytest.approx(1e-3)
    assert lr_factor(5, **PAPER) == pytest.approx(1e-3 * 0.5 + 0.5)
    assert lr_factor(10, **PAPER) == 1.0
    assert lr_factor(755, **PAPER) == pytest.approx((1 + 1e-2) / 2)
    assert lr_factor(1000, **PAPER) == pytest.approx((1 + math.cos(math.pi * 990 / 1490)) / 2 * 0.99 + 0.01)
    assert lr_factor(1500, **PAPER) == pytest.approx(1e-2)


@settings(deadline=None)
@given(
    steps=st.integers(1, 300),
    warmup=st.floats(0, 2),
    start=st.floats(0, 1),
    end=st.floats(0, 1),
)
def test_rises_then_falls_within_its_bounds(steps, warmup, start, end):
    settings = {
        "steps": steps,
        "warmup_steps": warmup * steps,
        "warmup_factor": start,
        "min_lr_factor": end,
    }
    factors = [lr_factor(step, **settings) for step in range(steps + 1)]
    assert all(min(start, end) - 1e-12 <= factor <= 1 + 1e-12 for factor in factors)
    top = min(math.ceil(settings["warmup_steps"]), steps)
    assert all(a <= b + 1e-12 for a, b in pairwise(factors[:top]))
    assert all(a >= b - 1e-12 for a, b in pairwise(factors[top:]))
    if warmup < 1:
        assert factors[-1] == pytest.approx(end)
