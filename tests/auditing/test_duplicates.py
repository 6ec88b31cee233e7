"""Scenes: what is alike in pairs, over any number of steps, is shown as one."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hemf.auditing.duplicates import scenes_of


def pair(first: str, second: str, label: str = "a") -> dict[str, Any]:
    images = [
        {"path": first, "label": "a", "group": "", "side": "train"},
        {"path": second, "label": label, "group": "p", "side": "train"},
    ]
    return {"images": images, "kind": "near", "turn": "as it is", "similarity": 0.9}


def test_pairs_that_share_an_image_are_one_scene_and_their_faults_are_the_scenes() -> None:
    found = scenes_of([pair("1", "2"), pair("8", "9", "b"), pair("3", "4"), pair("2", "3")])
    assert [sorted(one["path"] for one in scene.images) for scene in found] == [
        ["1", "2", "3", "4"],
        ["8", "9"],
    ]
    assert [len(scene.pairs) for scene in found] == [3, 1]
    assert [scene.differ("label") for scene in found] == [False, True]
    assert not any(scene.differ("group") for scene in found)  # one group is known, the other not
    assert not scenes_of([])


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(10, 19))))
def test_every_image_is_in_one_scene_and_no_pair_joins_two(edges: list[tuple[int, int]]) -> None:
    pairs = [pair(str(a), str(b)) for a, b in edges]
    found = scenes_of(pairs)
    paths = [one["path"] for scene in found for one in scene.images]
    assert len(paths) == len(set(paths))
    assert set(paths) == {str(end) for edge in edges for end in edge}
    assert sum(len(scene.pairs) for scene in found) == len(pairs)
    for scene in found:
        inside = {one["path"] for one in scene.images}
        assert all(one["path"] in inside for each in scene.pairs for one in each["images"])
