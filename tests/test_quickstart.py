"""The quickstart keeps its promise: a small HEMF learns outline and texture in a few minutes on a CPU."""

import pytest

import hemf
from hemf.data.demo.make import demo


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_quickstart_recipe_reaches_nine_in_ten_on_the_demo(tmp_path):
    demo(str(tmp_path / "demo"))
    options = {"accelerator": "cpu", "out": str(tmp_path / "runs"), "name": "quickstart"}
    run = hemf.train(str(tmp_path / "demo"), recipe="quickstart", **options)
    found = hemf.evaluate(str(run.path), device="cpu")
    assert found.n == 160
    assert found.metrics["accuracy"]["value"] >= 0.9
