"""The chain of what a model has met: a run knows the images of what it learnt from, back to the first."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

import hemf
from hemf.commands.predict import predict
from hemf.core.errors import HemfError
from hemf.data.load import load_data
from hemf.data.manifest import write_data_set
from hemf.runs.lineage import FILE, FOLDER, all_ancestors, ancestors_behind, ancestors_of, write_ancestors

PLAIN = {"precision": "fp32", "workers": 0, "device": "cpu", "resamples": 0}


@pytest.fixture
def chain(train, colours, tmp_path) -> Path:
    """A run that learnt from a teacher that began with the weights of a run on the colours; both are gone.

    The last two were trained on halves of the images, so that only the first one knows them as they are.
    """

    def halved(name: str, box: tuple[int, int, int, int]) -> str:
        for file in colours.rglob("*.png"):
            place = tmp_path / name / file.relative_to(colours)
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.open(file).crop(box).resize((48, 40)).save(place)
        return str(tmp_path / name)

    first = train(name="first", epochs=1)
    second = train(name="second", epochs=1, init=str(first.path), data=halved("upper", (0, 0, 48, 20)))
    third = train(name="third", epochs=1, teacher=str(second.path), data=halved("lower", (0, 20, 48, 40)))
    shutil.rmtree(first.path)
    shutil.rmtree(second.path)
    return third.path


def test_the_chain_is_kept_in_the_run_and_counted_by_evaluate(chain, colours, tmp_path, capsys):
    assert [(one.how, one.source) for one in ancestors_of(chain)] == [
        ("teacher", "second"),
        ("first weights", "first"),
    ]
    report = hemf.evaluate(str(chain), **PLAIN).report
    assert report["images_trained_on"] == 0
    assert [one["name"] for one in report["trained_on"]["learnt_from"]] == ["upper", "colours"]
    seen_first = shutil.copytree(colours / "train", tmp_path / "again")
    report = hemf.evaluate(str(chain), data=str(seen_first), **PLAIN).report
    assert report["images_trained_on"] == 50
    own, first = report["trained_on"], report["trained_on"]["learnt_from"][1]
    assert (own["same_files"], first["same_files"], first["how"]) == (0, 50, "first weights")
    words = " ".join(capsys.readouterr().out.split())
    assert "what the run learnt from (first weights: colours) was trained on 50 of these 50 images." in words
    with pytest.raises(HemfError, match="the run was trained on 50 of these 50 images"):
        hemf.calibrate(str(chain), data=str(seen_first), split="test", workers=0, device="cpu")
    predict(str(chain), [str(seen_first / "red")], workers=0, device="cpu")
    assert "the run was trained on 20 of these 20 images" in capsys.readouterr().err


def test_groups_of_what_was_learnt_from_count_on_the_runs_own_images(made_run, tmp_path):
    """The first run was trained on p0 and p5; the second, split the other way round, tests on them."""
    data = load_data(made_run)
    data = replace(data, info=data.info | {"source": "clinic"})
    write_data_set(data, made_run)
    second = shutil.copytree(made_run, tmp_path / "runs" / "second")
    swapped = {"train": "test", "val": "val", "test": "train"}
    turned = replace(data, samples=[replace(s, split=swapped[s.split]) for s in data.samples])
    write_data_set(turned, second)
    assert hemf.evaluate(str(second), **PLAIN).report["images_of_groups_trained_on"] is None
    write_ancestors(ancestors_behind(str(made_run), "first weights"), second)
    report = hemf.evaluate(str(second), **PLAIN).report
    assert (report["n"], report["images_of_groups_trained_on"]) == (6, 6)


def test_weights_without_a_run_are_unknown_and_those_of_libraries_are_nobodys(made_run, tmp_path):
    alone = shutil.copytree(made_run / "model", tmp_path / "alone")
    for source in (str(alone), str(alone / "model.safetensors"), "hf-hub:someone/something"):
        (one,) = ancestors_behind(source, "first weights")
        assert one.data is None
    assert ancestors_behind("lite0", "teacher") == ancestors_behind("resnet18", "first weights") == ()
    config = hemf.RunConfig.of(init=str(made_run), teacher=str(made_run))
    assert len(all_ancestors(config)) == 1


@pytest.mark.parametrize(
    "text",
    ["[]", '{"learnt_from": 3}', '{"learnt_from": [3]}', '{"learnt_from": [{"how": 1, "source": "x"}]}'],
)
def test_damaged_lists_are_refused_in_a_line(made_run, text):
    (made_run / FOLDER).mkdir()
    (made_run / FOLDER / FILE).write_text(text)
    with pytest.raises(HemfError, match=FILE):
        ancestors_of(made_run)


def test_endless_lists_are_refused(made_run):
    (made_run / FOLDER).mkdir()
    rows = [{"how": "teacher", "source": f"run {i}"} for i in range(33)]
    (made_run / FOLDER / FILE).write_text(json.dumps({"learnt_from": rows}))
    with pytest.raises(HemfError, match="up to 32 entries"):
        ancestors_of(made_run)
