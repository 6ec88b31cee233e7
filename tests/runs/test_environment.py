import pytest

from hemf import HemfError
from hemf.runs.environment import differences, environment, threads_of


def test_the_environment_names_versions_and_hardware():
    found = environment("fp32", 3)
    assert found["packages"]["torch"]
    assert found["cores"] >= 1
    assert found["command"]
    assert found["precision"] == "fp32"
    assert found["threads"] == threads_of(found) == 3
    assert found["instructions"]
    assert (found["kernels"] is None) == bool(found["kernels_left_out"])


@pytest.mark.parametrize("program", ["/usr/bin/hemf", "/somewhere/hemf/__main__.py"])
def test_the_environment_has_the_command_to_type(monkeypatch, program):
    monkeypatch.setattr("sys.argv", [program, "train", "--data", "my images"])
    assert environment("fp32")["command"] == "hemf train --data 'my images'"


def test_what_decides_the_last_bits_is_compared():
    now = environment("fp32")
    assert differences(now, now) == []
    begun = now | {
        "kernels": "avx2",
        "packages": now["packages"] | {"torch": "1.0"},
        "threads": 99,
        "cpu": "x",
    }
    assert differences(begun, now | {"kernels": None}) == [
        f"torch {now['packages']['torch']} instead of 1.0",
        "compiled kernels none instead of avx2",
    ]


@pytest.mark.parametrize("threads", [0, -1, 10**9, "4", None, True, 1.5])
def test_a_file_cannot_ask_for_any_number_of_threads(threads):
    with pytest.raises(HemfError, match=r"threads is .* in the run's environment\.json"):
        threads_of({"threads": threads})
