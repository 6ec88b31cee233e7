"""No verb that takes --out writes over a file that hemf did not write."""

import inspect
from pathlib import Path

import pytest
import yaml

from hemf.cli.app import main
from hemf.cli.verbs import VERBS, load_verb

PLAIN = ("--device", "cpu")
CASES = {
    "predict": (("RUN", "IMAGES", "--out", "OUT.csv", "--workers", "0", *PLAIN), "OUT.csv"),
    "explain": (("RUN", "IMAGES", "--out", "OUT", *PLAIN), "OUT/explain.csv"),
    "compare": (("RUN", "IMAGES", "--out", "OUT.json"), "OUT.tex"),
    "drift": (("RUN", "--data", "IMAGES", "--out", "OUT", "--workers", "0", *PLAIN), "OUT/drift.html"),
    "checklist": (("RUN", "--out", "OUT"), "OUT/claim-2024.md"),
    "index": (("RUNS", "--out", "OUT.html"), "OUT.html"),
    "export": (("RUN", "--out", "OUT", "--workers", "0"), "OUT/config.json"),
    "profile": (("test_resnet", "--out", "OUT"), "OUT/profile.md"),
    "bench": (("SUITE", "--out", "OUT"), "OUT/mine/table.csv"),
    "convert": (("TABLE", "--out", "OUT"), "OUT/config.json"),
    "data demo": (("--out", "OUT", "--lesions", "5", "--size", "32"), "OUT/manifest.csv"),
    "data prepare": (("csv", "--root", "TABLE", "--out", "OUT"), "OUT/manifest.csv"),
    "data info": (("RUN", "--out", "OUT.png"), "OUT.png"),
    "data audit": (("RUN", "--out", "OUT", "--workers", "0"), "OUT/audit.html"),
}
"""By verb: further words, and the user's file that is in the way."""


def test_every_verb_with_an_output_is_here() -> None:
    assert set(CASES) == {verb for verb in VERBS if "out" in inspect.signature(load_verb(verb)).parameters}


@pytest.mark.parametrize("verb", CASES)
def test_the_users_file_stays(made_run: Path, tmp_path: Path, capsys, verb: str) -> None:
    images, listed = tmp_path / "images", tmp_path / "list.csv"
    rows = [f"{file},{'ab'[i % 2]}" for i, file in enumerate(sorted(images.iterdir()))]
    listed.write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    suite = {"title": "t", "rows": [{"model": "test_resnet"}], "data": {"noise": {"path": str(listed)}}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(suite))
    places = {
        "RUNS": made_run.parent,
        "RUN": made_run,
        "IMAGES": images,
        "TABLE": listed,
        "SUITE": tmp_path / "mine.yaml",
    }
    places["OUT"] = tmp_path / "out"
    words, users = list(CASES[verb][0]), CASES[verb][1]
    for name, place in places.items():
        words = [word.replace(name, str(place)) if word.startswith(name) else word for word in words]
        users = users.replace(name, str(place))
    Path(users).parent.mkdir(parents=True, exist_ok=True)
    Path(users).write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main([*verb.split(), *words]) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith(f"hemf {verb}: error: ")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
