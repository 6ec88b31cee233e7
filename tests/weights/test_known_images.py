"""Test images that what a run learns from knows already."""

from dataclasses import replace

from hemf.data.load import load_data
from hemf.runs.lineage import ancestors_behind
from hemf.weights.known_images import known_images_lines


def test_the_same_split_leaks_nothing_and_another_one_is_named(train, colours, capsys):
    first = train(epochs=1)
    train(name="second", init=str(first.path), epochs=1)
    assert "was trained on, so" not in capsys.readouterr().out
    run = load_data(first.path)
    swapped = {"train": "test", "val": "val", "test": "train"}
    other = replace(run, samples=[replace(s, split=swapped[s.split]) for s in run.samples])
    for source in (first.path, first.path / "model", first.path / "checkpoints" / "best.ckpt"):
        (line,) = known_images_lines(ancestors_behind(str(source), "first weights"), other)
        assert line.startswith("of the 50 test images 50 are files that run, which")


def test_patients_of_one_source_are_known_by_name(made_run):
    run = load_data(made_run)
    data = replace(run, fingerprints={}, info=run.info | {"source": "clinic"})
    (line,) = known_images_lines(ancestors_behind(str(made_run), "teacher"), data)
    assert "1 show patients or lesions that made" in line
