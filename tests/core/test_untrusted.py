"""JSON, YAML and folders from a stranger are plain data, bounded, and keep to themselves."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemf.core.errors import HemfError
from hemf.core.untrusted import inside, plain_name, read_json, read_yaml, refuse_links, refuse_requests


def test_json_and_yaml_come_back(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"ä": [1, {"b": None}]}))
    (tmp_path / "a.yaml").write_text("ä: [1, {b: null}]\n")
    assert read_json(tmp_path / "a.json") == read_yaml(tmp_path / "a.yaml") == {"ä": [1, {"b": None}]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "is not JSON"),
        (b"[]", "no JSON object"),
        (b"[" * 10**5, "nested too deeply"),
        (b"\xff{}", "not text in UTF-8"),
        (b'{"a": ' + b"9" * 10**4 + b"}", "is not JSON"),
    ],
)
def test_json_that_is_none_is_refused_in_a_line(tmp_path, content, words):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(HemfError, match=words) as caught:
        read_json(tmp_path / "a.json", "mend it")
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("mend it")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: [1", "is not YAML"),
        ("[" * 10**4, "nested too deeply"),
        ("a: !!python/object/apply:os.system [touch x]", "is not YAML"),
        ("a: &a [*a]", "more than 1000000 values"),
        (
            "a: &a [1]\n"
            + "\n".join(
                f"{k}: &{k} [{','.join([f'*{p}'] * 9)}]" for p, k in zip("abcdefgh", "bcdefghi", strict=True)
            ),
            "values",
        ),
    ],
)
def test_yaml_that_runs_or_grows_is_refused_in_a_line(tmp_path, content, words):
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(HemfError, match=words) as caught:
        read_yaml(tmp_path / "a.yaml")
    assert "\n" not in str(caught.value)


def test_a_pipe_a_folder_and_a_huge_file_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(65 << 20)
    for name, words in (
        ("pipe", "not a regular file"),
        (".", "not a regular file"),
        ("huge", "more than"),
        ("none", "cannot read"),
    ):
        with pytest.raises(HemfError, match=words):
            read_json(tmp_path / name)


def test_links_may_stay_inside_but_not_lead_out(tmp_path):
    run = tmp_path / "run"
    (run / "a").mkdir(parents=True)
    (run / "b").symlink_to(run / "a")
    (run / "a" / "up").symlink_to("..")
    refuse_links(run)
    (tmp_path / "named").symlink_to(run)
    refuse_links(tmp_path / "named")  # the user's own way to the folder
    for target in ("/etc", "../other", "a/../../other", "circle"):
        (run / "circle").unlink(missing_ok=True)
        (run / "circle").symlink_to(target)
        with pytest.raises(HemfError, match="leads out of"):
            refuse_links(run)


def test_the_layout_of_a_hub_s_cache_is_allowed(tmp_path):
    snapshot, blobs = tmp_path / "models--a--b" / "snapshots" / "123", tmp_path / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "abc").write_text("{}")
    (snapshot / "config.json").symlink_to("../../blobs/abc")
    refuse_links(snapshot)


def test_a_place_below_a_folder_is_not_reached_by_a_link(tmp_path):
    (tmp_path / "data").mkdir()
    assert inside(tmp_path / "data", "cache") == tmp_path / "data" / "cache"
    (tmp_path / "data" / "cache").symlink_to(tmp_path)
    with pytest.raises(HemfError, match="leads out of"):
        inside(tmp_path / "data", "cache", "x")


@pytest.mark.parametrize(
    "values",
    [
        {"pretrained": True},
        {"compile": True},
        {"devices": 1_000_000},
        {"devices": "2"},
        {"num_nodes": 2},
        {"model": "hf-hub:a/b"},
        {"model": "local-dir:/x"},
        {"out": "/x"},
        {"name": "../x"},
        {"cache_dir": "x"},
    ],
)
def test_what_a_file_may_not_ask_for(values):
    with pytest.raises(HemfError, match="--trust"):
        refuse_requests({"lr": 0.1} | values, "recipe x.yaml")
    refuse_requests(
        {"lr": 0.1, "model": "resnet18", "pretrained": False, "out": None, "devices": "auto"}, "recipe x.yaml"
    )


@given(st.text())
def test_a_name_from_a_stranger_is_one_part_of_a_path(name):
    plain = plain_name(name)
    assert plain
    assert not set(plain) & set('/\\\0:*?"<>|')
    assert plain not in (".", "..")
    assert not plain.startswith(".")
    assert len(plain) <= 100
