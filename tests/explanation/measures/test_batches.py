"""Images of a data set in batches, read as the model's input says."""

from dataclasses import replace

import hemf.explanation.measures.batches as under_test
from hemf.data.image.read import read_image
from hemf.data.manifest import read_data_set
from hemf.inference.load import load_trained


def test_batches_hold_every_sample_in_order_with_the_predicted_class(made_run, monkeypatch):
    asked = []

    def reading(path, mode, window):
        asked.append((mode, window))
        return read_image(path, mode, window)

    monkeypatch.setattr(under_test, "read_image", reading)
    data, trained = read_data_set(made_run), load_trained(made_run / "model")
    trained = replace(trained, spec=replace(trained.spec, window="lung"))
    samples = data.subset("test")
    found = list(under_test.batches(trained, data, samples, 5, "reading"))
    assert [len(batch.samples) for batch in found] == [5, 5, 2]
    assert [sample for batch in found for sample in batch.samples] == samples
    assert set(asked) == {("RGB", "lung")}
    for batch in found:
        assert batch.inputs.shape[1:] == (3, 32, 32)
        assert batch.targets == trained.model(batch.inputs).argmax(1).tolist()
        for sample, size in zip(batch.samples, batch.sizes, strict=True):
            assert read_image(data.path(sample)).size == size
