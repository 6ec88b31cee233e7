"""What looks alike gets one group, and the new split keeps it on one side."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

import hemf
from hemf import cli
from hemf.auditing.duplicates import Pair
from hemf.auditing.regroup import group_alike
from hemf.commands.data.prepare import prepare
from hemf.core.errors import HemfError
from hemf.data.dataset import DataSet, Sample
from hemf.data.demo.lesions import Lesion, photograph
from hemf.data.load import load_data


def lesion(number: int) -> Image.Image:
    rng = np.random.default_rng(number)
    outline, texture = ("oval", "lobed")[number % 2], ("globular", "reticular")[number // 2 % 2]
    return photograph(Lesion.drawn(outline, texture, rng), 128, rng)


@pytest.fixture
def twice(tmp_path: Path) -> Path:
    """Sixteen lesions in class folders, each again as a flipped JPEG."""
    for i in range(16):
        folder = tmp_path / "tree" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        lesion(i).save(folder / f"{i:02}.png")
        ImageOps.mirror(lesion(i)).save(folder / f"again-{i:02}.jpg", quality=80)
    return tmp_path / "tree"


def test_the_audit_of_the_result_finds_none_across(twice: Path, tmp_path: Path, capsys) -> None:
    out = ["--out", str(tmp_path / "audit"), "--workers", "0"]
    assert cli.main(["data", "audit", str(twice), *out, "--strict", "--regroup", str(tmp_path / "new")]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "grouped by likeness: 16 pairs; 16 new or merged groups of 32 images" in said
    assert f"regrouped in {tmp_path / 'new'}; next: hemf train --data {tmp_path / 'new'}" in said
    assert cli.main(["data", "audit", str(tmp_path / "new"), *out, "--strict"]) == 0
    new, old = load_data(tmp_path / "new"), load_data(twice)
    assert {s.path: s.label for s in new.samples} == {s.path: s.label for s in old.samples}
    assert Counter(s.split for s in new.samples).keys() == {"train", "val", "test"}
    assert new.info["split"]["method"] == "grouped"
    assert new.info["grouped_alike"] == {"pairs": 16, "new_groups": 16, "images": 32, "largest": 2}
    assert new.files_hash is not None
    assert sorted(p.name for p in twice.iterdir()) == ["a", "b"]


def test_prepare_does_the_same_at_once(twice: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "prepared"
    words = ["data", "prepare", "folder", "--root", str(twice), "--out", str(out), "--workers", "1"]
    assert cli.main([*words, "--group-alike"]) == 0
    assert "16 new or merged groups" in capsys.readouterr().out
    assert not hemf.audit(str(out), out=str(tmp_path / "audit"), workers=0).leaks
    assert cli.main([*words, "--group-alike", "--overwrite", "--split", "paper"]) == 2
    assert "--group-alike makes groups to split by" in capsys.readouterr().err
    folds = prepare(
        "folder", str(twice), str(out), "grouped-kfold", folds=2, overwrite=True, group_alike=True
    )
    assert not folds.leaking_groups()
    assert len(folds.folds) == 2


def test_a_split_of_the_users_own_is_made_anew_in_its_shares(twice: Path, tmp_path: Path) -> None:
    for name, start in (("train", "0"), ("test", "again-0")):
        for label in "ab":
            folder = tmp_path / "own" / name / label
            folder.mkdir(parents=True)
            for file in (twice / label).glob(f"{start}*"):
                file.rename(folder / file.name)
    hemf.audit(str(tmp_path / "own"), out=str(tmp_path / "audit"), workers=0, regroup=str(tmp_path / "new"))
    new = load_data(tmp_path / "new")
    assert not new.leaking_groups()
    assert Counter(s.split for s in new.samples) == {"train": 10, "test": 10}


def test_nothing_is_overwritten(twice: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for target in (tmp_path / "mine", twice / "a", twice / "new"):
        with pytest.raises(HemfError, match=r"give another --regroup"):
            hemf.audit(str(twice), out=str(tmp_path / "audit"), workers=0, regroup=str(target))
    assert not (tmp_path / "audit").exists()  # it is known before an image is read


N = 12
PAIRS = st.lists(st.tuples(st.integers(0, N - 1), st.integers(0, N - 1)), max_size=5)


@given(PAIRS, st.lists(st.sampled_from(["", "", "p1", "p2", "p3"]), min_size=N, max_size=N))
def test_groups_are_the_connected_components(pairs: list[tuple[int, int]], groups: list[str]) -> None:
    samples = [Sample(f"{i}.png", "ab"[i % 2], group) for i, group in enumerate(groups)]
    data = DataSet("x", ["a", "b"], samples, Path())
    reached = [{i} | {j for j in range(N) if groups[i] and groups[i] == groups[j]} for i in range(N)]
    for i, j in pairs:
        reached[i].add(j)
        reached[j].add(i)
    for _ in range(N):
        reached = [set().union(*(reached[j] for j in near)) for near in reached]
    found = [Pair(samples[i], samples[j], "near") for i, j in pairs if i != j]
    if max(map(len, reached)) > N / 2:
        with pytest.raises(HemfError, match="are linked by likeness"):
            group_alike(data, found)
        return
    made = group_alike(data, found).samples
    for i in range(N):
        for j in range(i):
            assert (j in reached[i]) == (made[i].group == made[j].group != "")
        known = {groups[j] for j in reached[i]} - {""}
        if len(known) == 1:
            assert made[i].group in known  # a patient keeps the name
        assert (made[i].group == "") == (len(reached[i]) == 1 and not known)
    assert [replace(s, group="") for s in made] == [replace(s, group="") for s in samples]


def test_a_large_group_is_said(capsys) -> None:
    from hemf.auditing.regroup import group_alike_lines

    samples = [Sample(f"{i}.png", "ab"[i % 2]) for i in range(20)]
    chain = [Pair(samples[i], samples[i + 1], "near") for i in range(4)]
    lines = group_alike_lines(group_alike(DataSet("x", ["a", "b"], samples, Path()), chain))
    assert "the largest group has 5 of 20 images (25%)" in lines[1]


@pytest.mark.real
@pytest.mark.slow
def test_covid_ct_regrouped_has_nothing_across(real_data: Path, tmp_path: Path) -> None:
    """The paper's split of COVID-CT has 117 patients and 26 pairs of like pictures on two sides."""
    prepare("covid-ct", str(real_data), str(tmp_path / "paper"), "paper")
    out, new = str(tmp_path / "audit"), str(tmp_path / "new")
    before = hemf.audit(str(tmp_path / "paper"), out=out, workers=0, regroup=new)
    assert before.findings["leakage"]["pairs_across_sides"] > 20
    after = hemf.audit(new, out=out, workers=0)
    assert not after.leaks
    assert after.findings["duplicates"]["near"] == before.findings["duplicates"]["near"]
