"""Batches depend on (seed, epoch, sample) alone, reach Lightning with the right epoch, and name bad files."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning import LightningModule, Trainer
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError, UnreadableImage
from hemf.data.dataset import DataSet, Sample
from hemf.data.loading.datamodule import ImageData, ImageDataset, seeded

CLASSES = ["a", "b", "c"]
OPTIONS = {"image_size": 32, "batch_size": 4, "workers": 0, "seed": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for i in range(18):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def data_set(folder: Path, train: int = 9, val: int = 5, test: int = 4) -> DataSet:
    splits = ["train"] * train + ["val"] * val + ["test"] * test
    samples = [Sample(f"{i}.png", CLASSES[i % 3], split=split) for i, split in enumerate(splits)]
    return DataSet("made", CLASSES, samples, folder, {})


def module(folder: Path, data: DataSet | None = None, **options) -> ImageData:
    return ImageData(data or data_set(folder), RunConfig.of(**OPTIONS | options))


def epochs(loader: DataLoader, numbers: list[int]) -> list[dict[str, torch.Tensor]]:
    batches = []
    for number in numbers:
        loader.sampler.set_epoch(number)
        batches += list(loader)
    return batches


def same(first: list[dict], second: list[dict]) -> bool:
    return len(first) == len(second) and all(
        a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
        for a, b in zip(first, second, strict=True)
    )


def test_batches_hold_images_labels_and_indices(folder):
    data = module(folder)
    batches = list(data.train_dataloader())
    assert [len(b["label"]) for b in batches] == [4, 4]
    for batch in batches:
        assert batch["image"].shape == (4, 3, 32, 32)
        assert batch["image"].dtype == torch.uint8
        assert batch["image"].is_contiguous(memory_format=torch.channels_last)
        ready = data.on_after_batch_transfer(batch, 0)["image"]
        assert ready.dtype == torch.float32
        assert ready.shape == batch["image"].shape
        assert ready.is_contiguous(memory_format=torch.channels_last)
        assert batch["label"].dtype == batch["index"].dtype == torch.int64
        for label, index in zip(batch["label"], batch["index"], strict=True):
            assert data.samples("train")[index].label == CLASSES[label]


def test_the_order_and_the_drawn_images_change_with_the_epoch_and_the_seed(folder):
    loader = module(folder).train_dataloader()
    first, second = epochs(loader, [0]), epochs(loader, [1])
    assert not torch.equal(torch.cat([b["index"] for b in first]), torch.cat([b["index"] for b in second]))
    image = {
        e: {int(i): x for b in bs for i, x in zip(b["index"], b["image"], strict=True)}
        for e, bs in enumerate((first, second))
    }
    assert not any(torch.equal(image[0][i], image[1][i]) for i in image[0].keys() & image[1].keys())
    assert same(first, epochs(loader, [0]))
    assert not same(first, epochs(module(folder, seed=4).train_dataloader(), [0]))


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_nothing(folder, workers):
    here = epochs(module(folder).train_dataloader(), [0, 1, 5])
    there = epochs(module(folder, workers=workers).train_dataloader(), [0, 1, 5])
    assert same(here, there)


@pytest.mark.slow
def test_spawned_workers_change_nothing(folder):
    data = module(folder, workers=1)
    spawned = data.train_dataloader()
    spawned.multiprocessing_context = "spawn"
    assert same(epochs(spawned, [2]), epochs(module(folder).train_dataloader(), [2]))


def test_the_global_generator_is_left_alone(folder):
    for workers in (0, 1):
        torch.manual_seed(5)
        list(module(folder, workers=workers).train_dataloader())
        drawn = torch.rand(3)
        torch.manual_seed(5)
        assert torch.equal(drawn, torch.rand(3))


def test_seeded_restores_the_generator_even_after_an_error():
    state = torch.get_rng_state()
    with seeded(1, 2, 3):
        inside = torch.rand(4)
    with pytest.raises(RuntimeError), seeded(1, 2, 3):
        torch.rand(4).reshape(3)
    with seeded(1, 2, 3):
        assert torch.equal(inside, torch.rand(4))
    assert torch.equal(state, torch.get_rng_state())


def test_evaluation_is_in_order_complete_and_the_same_in_every_epoch(folder):
    data = module(folder)
    loader = data.val_dataloader()
    batches = epochs(loader, [0])
    assert torch.cat([b["index"] for b in batches]).tolist() == list(range(5))
    assert same(batches, epochs(loader, [4]))
    assert len(data.test_dataloader().dataset) == 4


def test_the_split_that_chooses_the_checkpoint(folder):
    assert len(module(folder, val_split="test").val_dataloader().dataset) == 4
    assert module(folder, val_split="none").val_dataloader() == []


def test_a_data_set_smaller_than_a_batch_trains_on_all_of_it(folder):
    batches = list(module(folder, data_set(folder, train=3), batch_size=64).train_dataloader())
    assert [len(b["label"]) for b in batches] == [3]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_is_named_without_a_workers_traceback(folder, tmp_path, workers):
    for i in range(9):
        (tmp_path / f"{i}.png").write_bytes((folder / f"{i}.png").read_bytes())
    (tmp_path / "4.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(UnreadableImage, match=r"4\.png") as raised:
        list(module(tmp_path, data_set(tmp_path, 9, 0, 0), workers=workers).train_dataloader())
    assert "\n" not in str(raised.value)


def test_what_cannot_be_trained_on_is_refused(folder):
    with pytest.raises(HemfError, match="no training images"):
        module(folder, data_set(folder, 0, 5, 5)).setup("fit")
    with pytest.raises(HemfError, match="no training image of c"):
        module(folder, data_set(folder, 2, 5, 5)).setup("fit")
    with pytest.raises(HemfError, match="no val images"):
        module(folder, data_set(folder, 9, 0, 5)).setup("fit")
    module(folder, data_set(folder, 9, 0, 5), val_split="none").setup("fit")
    module(folder, data_set(folder, 0, 0, 5)).setup("test")


def test_class_counts_follow_the_order_of_the_classes(folder):
    assert module(folder, data_set(folder, 8, 5, 4)).class_counts("train") == [3, 3, 2]
    assert module(folder, data_set(folder, 8, 5, 1)).class_counts("test") == [0, 1, 0]


def test_grey_input(folder):
    batch = next(iter(module(folder, in_chans=1).train_dataloader()))
    assert batch["image"].shape == (4, 1, 32, 32)


def test_the_data_set_can_be_sent_to_another_process(folder):
    dataset = ImageDataset(data_set(folder).subset("train"), folder, CLASSES, v2.RandomHorizontalFlip(), 1)
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[3]["image"], dataset[0, 3]["image"])


class Recorder(LightningModule):
    """Trains one number, and remembers which images it saw in which epoch, and a sum of their pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: dict[int, list] = {}

    def training_step(self, batch, _):
        self.seen.setdefault(self.current_epoch, []).append(
            (batch["index"].tolist(), batch["image"].sum().item())
        )
        return self.weight.sum() * batch["image"].mean()

    def validation_step(self, batch, _):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(
    folder: Path, out: Path, epochs: int, workers: int = 0, resume: Path | None = None
) -> dict[int, list]:
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        default_root_dir=out,
    )
    recorder = Recorder()
    trainer.fit(recorder, datamodule=module(folder, workers=workers), ckpt_path=resume)
    trainer.save_checkpoint(out / "last.ckpt")
    return recorder.seen


@pytest.mark.filterwarnings("ignore")
def test_lightning_sets_the_epoch_after_a_resume_too(folder, tmp_path):
    whole = fit(folder, tmp_path / "whole", 4)
    assert len({str(batches) for batches in whole.values()}) == 4
    fit(folder, tmp_path / "parts", 2, workers=1)
    rest = fit(folder, tmp_path / "parts", 4, workers=2, resume=tmp_path / "parts/last.ckpt")
    assert rest == {2: whole[2], 3: whole[3]}
