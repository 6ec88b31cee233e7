"""A small part of ``make kill``: commands that are killed at random moments and given again end right."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "kill.py"


@pytest.fixture(scope="module")
def script():
    specification = importlib.util.spec_from_file_location("kill", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_killed_at_random_moments_and_given_again(tmp_path):
    """In a process of its own, which may fork: that of the tests has threads."""
    import json
    import subprocess
    import sys

    out = tmp_path / "kill.json"
    verbs = ["train", "prepare", "predict"]
    command = [sys.executable, SCRIPT, "--kills", "6", "--verbs", *verbs, "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(out.read_text())
    assert (found["kills"], found["wrong"]) == (6, 0)
    assert {verb: counts["kills"] for verb, counts in found["by_verb"].items()} == dict.fromkeys(verbs, 2)


def test_what_is_lacking_over_or_other_is_told_apart(script):
    wanted = {"same": "1", "any": "", "lost": "2", "changed": "3"}
    found = {"same": "1", "any": "9", "changed": "4", ".part": "5"}
    assert script.differences(wanted, found) == ["lacking: lost", "left over: .part", "other bytes: changed"]
    assert script.differences(wanted, wanted) == []
