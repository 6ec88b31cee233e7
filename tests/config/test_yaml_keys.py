"""Classes keep their names in a flag's mapping, whatever YAML takes them for."""

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from hemf.cli.app import build_parser, main
from hemf.config.spelling import spelled_out
from hemf.config.yaml_keys import load
from hemf.core.errors import HemfError

NUMBERS = "0 1 007 1_000 0x10 0o7 1e3 1E3 +1 -0 .5 1. nan .inf inf 2024-01-01 1:30"
OTHERS = "yes no on off y n true False null ~ None << ="


@pytest.mark.parametrize("name", [*NUMBERS.split(), *OTHERS.split()])
def test_a_plain_word_is_the_class_of_that_name(name: str) -> None:
    parser = build_parser("calibrate")
    words = spelled_out(
        parser, ["run", "--sensitivity", f"{{{name}: 0.9, MEL: 1e-1}}", "--specificity", "0.8"]
    )
    found = parser.parse_args(words, defaults=False)
    assert found.sensitivity == {name: 0.9, "MEL": 0.1}
    assert found.specificity == 0.8


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), st.floats(0, 1), max_size=4))
@example({"a: b, {c}": 0.5, "'": 0.25, '"': 1.0})
def test_any_names_pass(rates: dict[str, float]) -> None:
    assert load(yaml.safe_dump(rates, default_flow_style=True)) == rates


def test_values_are_read_as_before() -> None:
    assert load("{a: [1, no, 1e-3, null], b: {1: yes}}") == {"a": [1, False, 0.001, None], "b": {"1": True}}
    assert load("[0.9, 0.95]") == [0.9, 0.95]
    assert load("null") is None


def test_a_class_given_twice_is_refused(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(HemfError, match="'0' is given twice"):
        load("{0: 0.9, '0': 0.8}")
    assert main(["calibrate", "run", "--sensitivity", "{0: 0.9, '0': 0.8}"]) == 2
    assert "'0' is given twice; keep one of them" in capsys.readouterr().err
