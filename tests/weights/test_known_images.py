"""Test images that the first weights know already."""

from dataclasses import replace

from hemf.data.load import load_data
from hemf.weights.known_images import known_images_line


def test_the_same_split_leaks_nothing_and_another_one_is_named(train, colours, capsys):
    first = train(epochs=1)
    train(name="second", init=str(first.path), epochs=1)
    assert "was trained on, so" not in capsys.readouterr().out
    run = load_data(first.path)
    swapped = {"train": "test", "val": "val", "test": "train"}
    other = replace(run, samples=[replace(s, split=swapped[s.split]) for s in run.samples])
    line = known_images_line(str(first.path), other)
    assert line.startswith("of the 50 test images 50 are files that ")
    assert known_images_line(str(first.path / "model"), other).startswith(
        "of the 50 test images 50 are files"
    )


def test_other_weights_tell_nothing(train, tmp_path):
    data = load_data(train(epochs=1).path)
    assert known_images_line("lite0", data) == ""
    (tmp_path / "empty").mkdir()
    assert known_images_line(str(tmp_path / "empty"), data) == ""


def test_patients_of_one_source_are_known_by_name(made_run):
    run = load_data(made_run)
    data = replace(run, fingerprints={}, info=run.info | {"source": "clinic"})
    assert "1 show patients or lesions" in known_images_line(str(made_run), data)
