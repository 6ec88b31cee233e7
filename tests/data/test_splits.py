"""Splits divide the images, keep groups together, hold the ratios and repeat."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemf.core.errors import HemfError
from hemf.data.dataset import DataSet, Sample
from hemf.data.sources import SOURCES
from hemf.data.splits import assign, published_split, split_data


@st.composite
def data_sets(draw, grouped: bool = True) -> DataSet:
    """Up to four classes; groups of one to six images, some of unknown group, some of several classes."""
    classes = "abcd"[: draw(st.integers(2, 4))]
    labels = list(classes) + draw(st.lists(st.sampled_from(classes), min_size=20, max_size=120))
    groups = draw(st.lists(st.integers(0, len(labels) // 3), min_size=len(labels), max_size=len(labels)))
    samples = [
        Sample(f"{i:03}", label, f"g{group}" if grouped and (group or i < 2) else "")
        for i, (label, group) in enumerate(zip(labels, groups, strict=True))
    ]
    return DataSet("drawn", list(classes), samples, Path())


seeds = st.integers(0, 2**32)
ratios = st.sampled_from([(0.1, 0.2), (0.15, 0.25), (0, 0.5), (0.2, 0.0), (0.05, 0.9)])


@given(data_sets(), ratios, seeds)
def test_grouped_parts_no_group_and_repeats_in_any_order(data, ratios, seed):
    val, test = ratios
    done = split_data(data, "grouped", val=val, test=test, seed=seed)
    assert [(s.path, s.label, s.group) for s in done.samples] == [
        (s.path, s.label, s.group) for s in data.samples
    ]
    assert all(s.split in ("train", "val", "test") for s in done.samples)
    assert not done.leaking_groups()
    backwards = DataSet("drawn", data.classes, data.samples[::-1], Path())
    again = split_data(backwards, "grouped", val=val, test=test, seed=seed)
    assert again.samples[::-1] == done.samples


@given(data_sets(grouped=False), ratios, seeds)
def test_stratified_holds_each_class_to_an_image(data, ratios, seed):
    val, test = ratios
    done = split_data(data, "stratified", val=val, test=test, seed=seed)
    totals = Counter(s.label for s in data.samples)
    for name, share in (("train", 1 - val - test), ("val", val), ("test", test)):
        found = Counter(s.label for s in done.subset(name))
        assert all(abs(found[label] - share * n) <= 1 for label, n in totals.items())


@given(data_sets(), st.integers(2, 6), seeds)
def test_folds_are_level_and_grouped_ones_part_no_group(data, folds, seed):
    plain = split_data(data, "kfold", folds=folds, seed=seed)
    sizes = Counter(s.fold for s in plain.samples)
    assert set(sizes) == set(range(folds))
    assert max(sizes.values()) - min(sizes.values()) <= len(data.classes)
    assert all(s.split == "" for s in plain.samples)
    if data.groups >= folds:
        assert not split_data(data, "grouped-kfold", folds=folds, seed=seed).leaking_groups()


@given(data_sets(), seeds)
def test_grouped_ratios_are_within_the_largest_group(data, seed):
    done = split_data(data, "grouped", val=0.2, test=0.3, seed=seed)
    largest = max(Counter(s.group or s.path for s in data.samples).values())
    for name, share in (("train", 0.5), ("val", 0.2), ("test", 0.3)):
        assert abs(len(done.subset(name)) - share * len(data.samples)) <= len(data.classes) * largest


def test_folds_given_by_the_user_may_spare_validation_images():
    samples = [Sample(f"{i:02}", "ab"[i % 2], fold=i // 2 % 5) for i in range(100)]
    data = DataSet("given", ["a", "b"], samples, Path(), {"split": {"method": "official"}})
    for val, left in ((None, 70), (0.2, 60), (0.0, 80)):
        assert len(split_data(data, val=val).for_fold(0).subset("train")) == left


def test_seeds_matter():
    samples = [Sample(f"{i:03}", "ab"[i % 2], f"g{i // 4}") for i in range(200)]
    data = DataSet("two", ["a", "b"], samples, Path())
    for method in ("grouped", "stratified", "kfold", "grouped-kfold"):
        assert split_data(data, method, seed=0).samples == split_data(data, method, seed=0).samples
        assert split_data(data, method, seed=0).samples != split_data(data, method, seed=1).samples


def test_a_group_of_several_classes_counts_for_each():
    samples = [Sample(f"{i:03}", "ab"[i % 2], f"g{i // 2}") for i in range(100)]
    parts = assign(samples, [0.5, 0.5], seed=0)
    assert Counter(zip(parts, (s.label for s in samples), strict=True)) == dict.fromkeys(
        [(0, "a"), (0, "b"), (1, "a"), (1, "b")], 25
    )


def test_published_procedure_by_hand():
    """Seven images of one class: ceil(0.6 x 7) = 5 train, floor(0.3 x 7) = 2 test, none is left."""
    samples = [Sample(str(i), "x") for i in range(7)] + [Sample("y", "y")]
    names = published_split(samples, ["x", "y"], 0.6, 0.3)
    assert Counter(names[:7]) == {"train": 5, "test": 2}
    assert names[7] == "train"


def test_two_published_folds_swap_and_may_spare_validation_images():
    samples = [Sample(f"{c}{i}", c) for c in "ab" for i in range(50)]
    data = DataSet("halves", ["a", "b"], samples, Path())
    folds = split_data(data, "paper", published={"folds": 2})
    names = published_split(samples, ["a", "b"], 0.5, 0.5)
    assert [s.path for s in folds.for_fold(0).subset("test")] == [
        s.path for s, name in zip(samples, names, strict=True) if name == "test"
    ]
    first, second = folds.for_fold(0), folds.for_fold(1)
    assert [s.path for s in first.subset("train")] == [s.path for s in second.subset("test")]
    assert [s.path for s in first.subset("test")] == [s.path for s in second.subset("train")]
    assert not first.subset("val")
    honest = split_data(data, "paper", val=0.1, published={"folds": 2}).for_fold(0)
    assert honest.subset("test") == first.subset("test")
    assert Counter(s.label for s in honest.subset("val")) == {"a": 5, "b": 5}
    assert {s.path for s in honest.subset("val")} < {s.path for s in first.subset("train")}


def test_official_split_may_spare_validation_images():
    samples = [
        Sample(f"{i:02}", "ab"[i % 2], f"g{i // 2}", "test" if i < 20 else "train") for i in range(100)
    ]
    data = DataSet("given", ["a", "b"], samples, Path(), {"split": {"method": "official"}})
    assert split_data(data).samples == samples
    done = split_data(data, val=0.2)
    assert [len(done.subset(name)) for name in ("train", "val", "test")] == [60, 20, 20]
    assert done.subset("test") == data.subset("test")
    assert not done.leaking_groups()
    with pytest.raises(HemfError, match="has validation images"):
        split_data(done, val=0.2)


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("grouped", {}, "names no patients or lesions"),
        ("grouped-kfold", {}, "use --split kfold"),
        ("official", {}, "no split of its own"),
        ("paper", {}, "the paper names no split"),
        ("kfold", {"test": 0.2}, "leave out test"),
        ("official", {"test": 0.2}, "leave out test"),
        ("kfold", {"folds": 1}, "cannot make 1 fold "),
        ("kfold", {"folds": 11}, "give 2 to 10"),
        ("kfold", {"val": 0.9}, "leave something to train on"),
        ("stratified", {"val": 0.5, "test": 0.5}, "leave something to train on"),
        ("stratified", {"val": -0.1}, "0 or more"),
        ("random", {}, "no split 'random'"),
    ],
)
def test_what_cannot_be_split_is_explained(method, options, words):
    data = DataSet("ten", ["a", "b"], [Sample(str(i), "ab"[i % 2]) for i in range(10)], Path())
    with pytest.raises(HemfError, match=words):
        split_data(data, method, **options)


def of(real_data: Path, name: str, method: str) -> DataSet:
    return split_data(SOURCES[name].read(real_data / name), method, published=SOURCES[name].paper)


def sizes(data: DataSet) -> list[int]:
    return [len(data.subset(name)) for name in ("train", "val", "test")]


@pytest.mark.real
def test_published_split_of_isic2018_and_its_leakage(real_data):
    data = of(real_data, "isic2018", "paper")
    assert sizes(data) == [6012, 1002, 3001]
    assert data.leaks()["test"] == 1042
    leaking = data.leaking_groups()
    melanoma = [s for s in data.subset("test") if s.label == "MEL"]
    assert round(100 * sum(s.group in leaking for s in melanoma) / len(melanoma)) == 60


@pytest.mark.real
def test_published_split_of_covid_ct_parts_patients_and_the_official_one_does_not(real_data):
    published, official = of(real_data, "covid-ct", "paper"), of(real_data, "covid-ct", "official")
    assert sizes(published)[2] == 186
    assert published.leaks()["test"] == 125
    assert sizes(official) == [425, 118, 203]
    assert not official.leaking_groups()


@pytest.mark.real
@pytest.mark.parametrize("name", ["isic2018", "covid-ct"])
def test_grouped_split_of_real_images_holds_its_ratios(real_data, name):
    data = of(real_data, name, "grouped")
    totals = Counter(s.label for s in data.samples)
    assert not data.leaking_groups()
    for split, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        found = Counter(s.label for s in data.subset(split))
        assert all(abs(found[label] - share * n) <= 1 for label, n in totals.items())


@pytest.mark.real
@pytest.mark.parametrize("name", ["isic2018", "covid-ct"])
def test_grouped_folds_are_as_level_as_scikit_learns(real_data, name):
    from sklearn.model_selection import StratifiedGroupKFold

    data = SOURCES[name].read(real_data / name)
    labels, groups = [s.label for s in data.samples], [s.group for s in data.samples]
    theirs = [0] * len(labels)
    for fold, (_, tested) in enumerate(
        StratifiedGroupKFold(5, shuffle=True, random_state=0).split(labels, labels, groups)
    ):
        for i in tested:
            theirs[i] = fold

    def spread(folds: list[int]) -> int:
        found = Counter(zip(folds, labels, strict=True))
        return max(
            max(n) - min(n) for n in ([found[fold, label] for fold in range(5)] for label in data.classes)
        )

    assert spread(assign(data.samples, [0.2] * 5, seed=0)) <= spread(theirs)
