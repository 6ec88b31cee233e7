"""Registries: names, what to say of a wrong one, and what other packages add."""

import subprocess
import sys

import pytest

from hemf import HemfError
from hemf.core.registry import Registry, suggestion


def test_things_are_found_by_name_in_their_order():
    letters = Registry("letter")
    letters.register("b")("B")
    letters.register("a")("A")
    assert (list(letters), letters.find("a"), letters["b"]) == (["b", "a"], "A", "B")


def test_two_things_cannot_share_a_name():
    letters = Registry("letter")
    letters.register("a")("A")
    assert letters.register("a")("A") == "A"
    with pytest.raises(ValueError, match="another letter called 'a'"):
        letters.register("a")("B")


@pytest.mark.parametrize(
    ("name", "words"), [("gren", "did you mean green?"), ("x", "give one of blue, green, red")]
)
def test_a_wrong_name_is_answered_with_the_nearest_or_all(name, words):
    colours = Registry("colour")
    for colour in ("red", "green", "blue"):
        colours.register(colour)(colour)
    with pytest.raises(HemfError) as error:
        colours.find(name)
    assert str(error.value) == f"no colour {name!r}; {words}"
    assert suggestion("x", colours, "see the list") == "see the list"


def test_an_installed_package_adds_a_loss_once_it_is_asked_for(tmp_path):
    (tmp_path / "plugged.py").write_text(
        "import torch\nfrom hemf.losses import LOSSES\n"
        "@LOSSES.register('plugged_loss')\ndef plugged_loss(config, counts):\n    return torch.nn.L1Loss()\n"
    )
    about = tmp_path / "plugged-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[hemf.plugins]\nlosses = plugged\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import hemf\n"
        "from hemf.config.names import check_names\nfrom hemf.config.run_config import RunConfig\n"
        "check_names(RunConfig()); assert 'plugged' not in sys.modules\n"
        "check_names(RunConfig(loss='plugged_loss')); assert 'plugged' in sys.modules\n"
        "from hemf.losses import build_loss; print(build_loss(RunConfig(loss='plugged_loss'), [1, 1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("L1Loss()\n", "")


def test_a_plugin_that_does_not_load_is_named(tmp_path):
    about = tmp_path / "broken-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[hemf.plugins]\nlosses = no_such_module_at_all\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from hemf.core.registry import Registry; Registry('loss').find('x')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "HemfError: the plugin losses (no_such_module_at_all) does not load" in done.stderr
