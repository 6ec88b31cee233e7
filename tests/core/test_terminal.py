"""Nothing of a table is lost in a terminal of any width, and no word breaks while there is room."""

import ast
import io
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

import hemf
from hemf.auditing.terminal import _group_table, _teller_table
from hemf.bench.costs import _operations_table, _params_table
from hemf.commands.data.info import Survey, _files_table
from hemf.core.tables import Column, Table
from hemf.data.dataset import DataSet, Sample
from hemf.data.summary import counts_table
from hemf.explanation.measures.terminal import _curves, _inside, _weights
from hemf.report.comparison import tables as comparison_tables
from hemf.report.terminal import (
    CONFIDENCE,
    HEADLINE,
    OF_CLASS,
    OF_FOLD,
    RATES,
    _classes,
    _confidence,
    _folds,
    _headline,
    _operating_points,
)

KINDS = {
    "short": ["MEL", "NV", "BCC"],
    "numbers": ["0", "1", "2"],
    "long": [
        "actinic keratosis and intraepithelial carcinoma",
        "dermatofibroma",
        "vascular lesion of the skin",
    ],
    "unbroken": ["squamous-cell-carcinoma_in_situ_of_the_lip", "pneumonia_bacterial", "pneumonia_viral"],
    "longer than a line": ["x" * 130, "y" * 250],
    "CJK": ["皮膚悪性黒色腫", "基底細胞癌", "日光角化症と上皮内癌を含む病変の総称"],
    "accents": ["nævus mélanocytaire", "carcinome à cellules basales", "cafe\u0301-au-lait"],
    "emoji": ["🩺 sain", "👩‍⚕️ malade"],
    "forty": [f"finding number {i:02d}" for i in range(40)],
    "brackets": ["a [1, 2]", "b (3 %)", "c ± d"],
}
MEASURE = {"value": 0.8991, "n": 1234, "ci95": [0.8612, 0.9312]}
UNDEFINED = {"value": None, "n": 0, "reason": "no image of the class is in the split"}


def printed(table: Table, width: int) -> list[str]:
    """The lines of a table in a terminal of that width, as in a pipe."""
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(table)
    return [line.rstrip() for line in console.export_text().splitlines()]


def check_nothing_is_lost(table: Table, width: int) -> None:
    """Every word of title, headings and cells is there, as often as it should be, and no line is too long."""
    lines = printed(table, width)
    assert max(map(cell_len, lines)) <= width
    texts = [table.title, *(" ".join(column.head.split()) for column in table.columns)]
    texts += [cell for row in table.cells() for cell in row]
    wanted = Counter(word.strip("[]:") for text in texts for word in text.split())
    found = Counter(word.strip("[]:") for line in lines for word in line.split())
    run_on = "".join(lines)
    for word, times in wanted.items():
        if cell_len(word) <= (width - 4) // 2:
            assert found[word] >= times, (word, lines)
        else:  # a word of more than half a line may stand where it has to break
            assert found[word] >= times or word in run_on or word in run_on.replace(" ", ""), (word, lines)
    assert not any("…" in line for line in lines)


def evaluated(classes: list[str]) -> list[Table]:
    """The tables of an evaluation, an absent class among them."""
    of_class = dict.fromkeys(OF_CLASS, MEASURE)
    absent = dict.fromkeys(OF_CLASS, UNDEFINED)
    per_class = {name: {"n": 10_015, "absent": False, **of_class} for name in classes}
    per_class[classes[-1]] = {"n": 0, "absent": True, **absent}
    folds = [{"fold": i, "n": 149} | dict.fromkeys(OF_FOLD, 0.8991) for i in range(5)]
    across = {name: {"mean": 0.8991, "std": 0.0123} for name in OF_FOLD}
    confidence = dict.fromkeys(CONFIDENCE, MEASURE)
    points = [
        {"class": name, "threshold": 0.01234, "target": "sensitivity", "at": 0.95}
        | dict.fromkeys(RATES, MEASURE)
        | {"ppv": UNDEFINED}
        for name in classes
    ]
    return [
        _headline(dict.fromkeys(HEADLINE, MEASURE) | {"mcc": UNDEFINED}),
        _classes(per_class),
        _folds({"folds": folds, "across_folds": across}),
        _confidence({"uncalibrated": confidence, "temperature": 1.234, **confidence}),
        _operating_points(points),
    ]


def compared(classes: list[str]) -> list[Table]:
    """The tables of a comparison of two runs."""
    difference = {"difference": 0.01, "ci95": [-0.0123, 0.0323], "p": 0.0004, "p_holm": 0.0123}
    pair = {"first": "runs/isic2018/hemf_nano-seed0", "second": "runs/isic2018/mobilenetv3_small_100-seed0"}
    pair |= {"bootstrap": {"balanced_accuracy": difference}}
    pair |= {"mcnemar": difference | {"only_first_right": 12, "only_second_right": 34, "method": "exact"}}
    pair |= {"delong": {"macro": difference, "per_class": dict.fromkeys([*classes, "more"], difference)}}
    models = [
        {"name": pair[key], "metrics": {"accuracy": MEASURE, "f1_macro": MEASURE}}
        for key in ("first", "second")
    ]
    return comparison_tables(
        {"data": "isic2018", "split": "test", "n": 2003, "models": models, "pairs": [pair], "notes": []}
    )


def of_data(classes: list[str]) -> list[Table]:
    """The tables on a data set and its audit."""
    samples = [
        Sample(f"{i}.png", classes[i % len(classes)], "", ("train", "val", "test")[i % 3]) for i in range(120)
    ]
    side = {
        "images": 7_011,
        "leaking": 1_234,
        "by_class": {name: {"images": 12, "leaking": 3} for name in classes},
    }
    tell = {"property": "mean brightness of the border", "kind": "file", "level": "strong"}
    tell |= {"balanced_accuracy": 0.812, "chance": 0.333, "p": 0.001}
    return [
        counts_table(DataSet("a data set", classes, samples, Path())),
        _group_table({"sides": dict.fromkeys(("train", "val", "test"), side)}),
        _teller_table("tells the class", [tell, tell | {"level": "weak"}]),
        _files_table(Survey([600, 1024], [450, 768], Counter({"RGB": 10_000, "L": 15}))),
    ]


def of_models(names: list[str]) -> list[Table]:
    """The tables of costs, heat maps and suites, with names of models or layers."""
    costs = [
        {
            "model": name,
            "params": 66.68,
            "with_grad": 66.68,
            "paper_params": 66.64,
            "params_follow": "all, none",
        }
        | {"thop": 9.99, "torch": 10.25, "paper_flops": 10.01, "flops_follow": "thop, cached"}
        for name in names
    ]
    curve = dict.fromkeys(
        ("model", "centre", "random", "model_beyond_centre", "model_beyond_random"), MEASURE
    )
    layer = {"energy": MEASURE, "pointing": MEASURE}
    inside = {"even": layer, "centre": layer, "layers": {name: layer | {"blank": 3} for name in names}}
    return [
        _params_table(costs),
        _operations_table(costs),
        _inside(inside),
        _curves({"deletion": curve, "insertion": curve}),
        _weights([{"part": name, "spearman": MEASURE, "ssim": UNDEFINED} for name in names]),
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tables", [evaluated, compared, of_data, of_models])
def test_every_table_is_whole_at_every_width(tables, kind):
    widths = [*range(60, 201, 7), 79, 80, 100, 120]
    for table in tables(KINDS[kind]):
        for width in widths:
            check_nothing_is_lost(table, width)


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"]), min_size=1, max_size=70)
NUMBERS = st.sampled_from(["0.899 [0.861, 0.931]", "0.899 [.86–.93]", "0.812 ± 0.013", "12 of 3,456 (0.3 %)"])


@given(
    st.lists(st.tuples(NAMES.filter(str.strip), NUMBERS, NUMBERS, NAMES), min_size=1, max_size=5),
    st.integers(60, 200),
)
@example([("word " * 14, "0.899 [0.861, 0.931]", "0.812 ± 0.013", "漢" * 70)], 60)
def test_any_text_is_whole_at_any_width(rows, width):
    columns = [Column(key, f"heading of {key}") for key in "abcd"]
    check_nothing_is_lost(Table("t", columns, [dict(zip("abcd", row, strict=True)) for row in rows]), width)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_names_do_not_break_within_words_and_numbers_give_way_first(width):
    for names in (KINDS["long"], KINDS["unbroken"], KINDS["CJK"]):
        lines = printed(evaluated(names)[1], width)
        words = {word for line in lines for word in line.split()}
        assert words >= {word for name in names for word in name.split()}


def test_a_narrow_terminal_gets_rows_and_columns_exchanged():
    table = evaluated(["benign", "malignant"])[1]
    wide, narrow = printed(table, 120), printed(table, 60)
    assert wide[0].split()[:3] == ["class", "n", "sensitivity"]
    assert narrow[0].split() == ["class", "benign", "malignant"]
    assert [line.split()[0] for line in narrow[2:9]] == ["n", *OF_CLASS.values()]


def test_the_class_table_fits_eighty_columns_with_an_absent_class():
    lines = printed(evaluated(["melanoma", "nevus", "dermatofibroma"])[1], 80)
    assert lines[0].split() == ["class", "n", *OF_CLASS.values()]
    assert [line.split()[0] for line in lines if line[:1].isalpha()] == [
        *("class", "melanoma", "nevus", "dermatofibroma")
    ]
    assert ".86–.93" in lines[3]


def test_every_table_of_the_package_is_made_here():
    """rich's own tables cut what does not fit."""
    for file in Path(hemf.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            module = getattr(node, "module", None)
            assert module != "rich.table", f"{file} makes a table of its own"
