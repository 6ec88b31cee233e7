import csv
import json
import os
import shutil
import signal

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file

import hemf
from hemf import HemfError, RunConfig, load_data
from hemf.commands.data.prepare import prepare
from hemf.data.fingerprints import changed_files
from hemf.data.manifest import read_data_set
from hemf.losses import LOSSES
from hemf.runs.folder import open_run
from hemf.training import finish
from hemf.training.callbacks.checkpoints import read_checkpoint
from hemf.training.module import ImageClassifier


def table(run) -> list[dict[str, str]]:
    with open(run.path / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def one_epoch(train):
    return train(epochs=1, val_split="val").path


def test_a_run_leaves_all_that_later_verbs_need(train, colours, capsys):
    run = train(epochs=3, val_split="val", monitor="balanced_accuracy")
    assert {p.name for p in run.path.iterdir()} == {
        *("config.yaml", "manifest.csv", "dataset.json", "fingerprints.csv", "environment.json"),
        *("checkpoints", "metrics.csv", "tensorboard", "model"),
    }
    assert sorted(p.name for p in (run.path / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    assert list((run.path / "tensorboard").glob("events*"))
    assert json.loads((run.path / "environment.json").read_text())["precision"] == "fp32"
    assert RunConfig.of(str(run.path / "config.yaml")).epochs == 3

    rows = table(run)
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "7"), ("2", "14"), ("3", "21")]
    assert list(rows[0])[2:] == [
        *("train_loss", "val_loss", "val_accuracy", "val_balanced_accuracy", "val_f1", "val_roc_auc", "lr")
    ]
    scores = [float(row["val_balanced_accuracy"]) for row in rows]
    assert run.best["epoch"] == scores.index(max(scores)) + 1
    assert float(rows[-1]["lr"]) == pytest.approx(3e-5)

    opened = open_run(run.path)
    assert opened == open_run(opened.model).__class__(model=opened.model, path=run.path)
    assert opened.data.hash == load_data(colours).hash
    model = timm.create_model(f"local-dir:{opened.model}", pretrained=True)
    best = read_checkpoint(run.path / "checkpoints" / "best.ckpt")["state_dict"]
    assert all(torch.equal(value, best[f"model.{name}"]) for name, value in model.state_dict().items())
    about = json.loads((opened.model / "config.json").read_text())
    assert about["label_names"] == ["blue", "green", "red"]
    assert about["pretrained_cfg"]["input_size"] == [3, 32, 32]
    assert about["hemf"]["data_hash"] == opened.data.hash
    printed = capsys.readouterr().out
    assert printed.count("images/s") == 3
    assert f"hemf evaluate {run.path}" in printed.replace("\n", "")


def test_it_learns(train):
    run = train(epochs=8, model="test_vit", monitor="loss")
    assert run.best["val_accuracy"] > 0.9


def test_averaged_weights_are_validated_and_kept(train):
    run = train(ema=0.9)
    checkpoint = read_checkpoint(run.path / "checkpoints" / "best.ckpt")
    kept = load_file(run.path / "model" / "model.safetensors")
    averaged, current = checkpoint["state_dict"], checkpoint["current_model_state"]
    assert all(torch.equal(value, averaged[f"model.{name}"]) for name, value in kept.items())
    differ = {name for name in kept if not torch.equal(averaged[f"model.{name}"], current[f"model.{name}"])}
    assert any(name.endswith("running_mean") for name in differ)
    assert any(name.endswith("weight") for name in differ)


def test_gradients_are_accumulated(train):
    assert table(train(epochs=1, accumulate=3, clip_grad=1.0))[0]["step"] == "3"  # 7 batches


def test_without_validation_the_last_epoch_is_kept(train):
    run = train(val_split="none")
    assert run.best["epoch"] == 2
    assert "val_loss" not in table(run)[0]
    assert [p.name for p in (run.path / "checkpoints").iterdir()] == ["last.ckpt"]


def test_choosing_by_the_test_images_is_said_loudly(train, capsys):
    train(epochs=1, val_split="test")
    assert "the test images choose the checkpoint" in capsys.readouterr().out.replace("\n", " ")


def test_early_stopping(train):
    run = train(epochs=9, lr=0.0, model="test_vit", patience=2)
    assert len(table(run)) == 3
    assert run.best["epoch"] == 1


def test_bfloat16_grey_oblong_and_mixed(train):
    run = train(epochs=1, precision="bf16", in_chans=1, image_size=(32, 48), mixup=0.2, cutmix=1.0)
    assert json.loads((run.path / "model" / "config.json").read_text())["pretrained_cfg"]["input_size"] == [
        1,
        32,
        48,
    ]


def test_logged_validation_metrics_are_those_of_evaluate(train):
    """Under bf16 the head's precision decides the last digits, and the order of near ties."""
    run = train(precision="bf16", monitor="roc_auc")
    (run.path / "model" / "config.json").write_text(json.dumps(_uncalibrated(run)))
    found = hemf.evaluate(
        str(run.path), "val", batch_size=8, precision="bf16", workers=0, device="cpu"
    ).metrics
    assert run.best["val_roc_auc"] == pytest.approx(found["roc_auc_macro"]["value"], abs=1e-6)
    assert run.best["val_accuracy"] == pytest.approx(found["accuracy"]["value"], abs=1e-6)
    assert run.best["val_loss"] == pytest.approx(found["log_loss"]["value"], abs=1e-6)


def _uncalibrated(run) -> dict:
    config = json.loads((run.path / "model" / "config.json").read_text())
    del config["hemf"]["calibration"]
    return config


def test_it_ends_with_the_calibration_that_hemf_calibrate_makes(train, capsys):
    run = train(monitor="loss", name="run")
    config = json.loads((run.path / "model" / "config.json").read_text())
    found = config["hemf"]["calibration"]
    assert found["fitted_on"] == {
        "data": "colours",
        "data_hash": config["hemf"]["data_hash"],
        "split": "val",
        "n": 20,
        "groups": None,
        "chose_checkpoint": True,
        "apart": False,
        "tta": "none",
    }
    reasons = [why for why in found["left_out"] if why.startswith("no temperature")]
    assert len(reasons) == (found["temperature"] is None)  # twenty images settle one or they do not
    assert found["conformal"]["n"] == 20
    assert [point["class"] for point in found["operating_points"]] == ["blue", "green", "red"]
    assert "calibrated on 20 val images: " in capsys.readouterr().out.replace("\n", " ")
    options = {"batch_size": 8, "precision": "fp32", "workers": 0, "device": "cpu"}
    assert hemf.calibrate(str(run.path), **options).to_config() == found


def test_validation_images_that_chose_nothing_calibrate_too(train):
    run = train(epochs=1, val_split="none")
    about = json.loads((run.path / "model" / "config.json").read_text())["hemf"]["calibration"]["fitted_on"]
    assert (about["split"], about["chose_checkpoint"]) == ("val", False)


def test_without_validation_images_nothing_is_calibrated(train, colours, tmp_path):
    for split in ("train", "test"):
        shutil.copytree(colours / split, tmp_path / "two" / split)
    run = train(data=str(tmp_path / "two"), epochs=1, val_split="none")
    assert "calibration" not in json.loads((run.path / "model" / "config.json").read_text())["hemf"]


def test_a_calibration_that_fails_does_not_lose_the_model(train, monkeypatch, capsys):
    def fails(*_, **__):
        raise RuntimeError("no memory\nleft")

    monkeypatch.setattr(finish, "calibrate_on_validation", fails)
    run = train(epochs=1)
    assert "calibration" not in json.loads((run.path / "model" / "config.json").read_text())["hemf"]
    printed = capsys.readouterr().out.replace("\n", " ")
    assert f"warning: not calibrated: no memory left; hemf calibrate {run.path} tries again" in printed
    assert hemf.calibrate(str(run.path), device="cpu").fitted_on["n"] == 20


def test_a_run_is_never_overwritten(train):
    run = train(epochs=1)
    before = (run.path / "model" / "model.safetensors").stat().st_mtime_ns
    with pytest.raises(
        HemfError, match=r"run .*/run exists; continue it with --resume .* or choose another --name"
    ):
        train(epochs=1)
    assert (run.path / "model" / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": ""}, "no data to train on; give --data"),
        ({"data": "nowhere"}, "no data at nowhere"),
        ({"monitor": "acuracy"}, "no metric 'acuracy'"),
        ({"loss": "hinge"}, "no loss 'hinge'"),
        ({"optimizer": "addam"}, "no optimizer 'addam'"),
        ({"strategy": "telepathy"}, "Lightning cannot use .*telepathy"),
        ({"devices": 0}, "Lightning cannot use .*--devices 0"),
        ({"hflip": 2.0}, "--hflip is 2; give at least 0 and at most 1"),
        ({"val_split": "none", "patience": 3}, "early stopping needs validation images"),
        ({"colour": 1}, "no option 'colour' in a run"),
        ({"epochs": 0}, "epochs"),
    ],
)
def test_bad_options_are_refused_before_a_folder_is_made(train, tmp_path, options, message):
    with pytest.raises(HemfError, match=message) as caught:
        train(**options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_a_loss_that_is_not_finite_stops_the_run(train, tmp_path, monkeypatch):
    class Failing(torch.nn.CrossEntropyLoss):
        steps = 0

        def forward(self, logits, target):
            Failing.steps += 1
            return super().forward(logits, target) * (torch.nan if Failing.steps == 10 else 1)

    monkeypatch.setitem(LOSSES, "cross_entropy", lambda config, counts: Failing())
    with pytest.raises(HemfError, match=r"the loss is nan in epoch 2, step 3, on the images ") as caught:
        train()
    message = str(caught.value)
    assert message.count(".png") == 8
    assert "lower --lr" in message
    assert "--clip-grad" in message
    assert "\n" not in message
    checkpoints = tmp_path / "runs" / "run" / "checkpoints"
    assert read_checkpoint(checkpoints / "last.ckpt")["hemf"]["epochs"] == 1
    assert (checkpoints / "best.ckpt").is_file()


def test_a_batch_too_large_for_the_memory_says_what_to_change(train, monkeypatch):
    def fails(self, batch, batch_idx):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 20 GiB")

    monkeypatch.setattr(ImageClassifier, "training_step", fails)
    with pytest.raises(HemfError, match=r"a batch of 8 images does not fit .* smaller --batch-size"):
        train()


def test_a_reading_process_that_is_killed_is_explained(train, monkeypatch):
    def killed(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr("hemf.data.loading.datamodule.read_pixels", killed)
    with pytest.raises(HemfError, match=r"stopped a process that reads images.*fewer --workers") as caught:
        train(workers=1)
    assert "\n" not in str(caught.value)


def test_batches_of_one_image_are_refused_where_the_model_cannot_train_on_them(train):
    with pytest.raises(HemfError, match="cannot train on batches of one image") as caught:
        train(batch_size=1)
    assert "\n" not in str(caught.value)
    assert train(batch_size=1, model="test_vit", name="no-batchnorm", epochs=1).best["epoch"] == 1


def test_a_last_batch_of_one_image_is_left_out(train):
    assert table(train(epochs=1, batch_size=7))[0]["step"] == "7"  # of 50 images


def test_what_is_announced_fits_a_terminal_of_80_columns(train, capsys):
    train(epochs=1, model="test_vit")
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("model: test_vit, 0.")
    assert first.endswith("M parameters, 32 x 32 pixels, fp32")
    assert second == "data: colours, 50 train, 20 val, 20 test"


def test_masks_that_are_left_out_are_named(train, colours, tmp_path, capsys):
    images = shutil.copytree(colours, tmp_path / "images")
    for file in sorted((images / "train" / "red").iterdir()):
        Image.new("L", (48, 40), 255).save(file.with_name(f"{file.stem}_mask.png"))
    train(data=str(images), epochs=1)
    printed = capsys.readouterr().out
    assert "data: images, 50 train, 20 val, 20 test" in printed
    assert "left out: 20 masks or drawings of other images, such as train/red/00_mask.png" in printed


def test_weights_that_are_not_finite_reach_no_checkpoint(train, tmp_path, monkeypatch):
    def spoil(self, *_):
        if self.current_epoch == 1:
            next(self.model.parameters()).data.fill_(torch.inf)

    monkeypatch.setattr(ImageClassifier, "on_validation_epoch_end", spoil)
    with pytest.raises(HemfError, match=r"weights of .* are not finite after epoch 2"):
        train(val_split="val", monitor="loss")
    state = read_checkpoint(tmp_path / "runs" / "run" / "checkpoints" / "last.ckpt")
    assert state["hemf"]["epochs"] == 1


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda state: {}, "is not a whole checkpoint of hemf train"),
        (lambda state: [1], "is not a whole checkpoint of hemf train"),
        (lambda state: state | {"hemf": {}}, "is not a whole checkpoint of hemf train"),
        (lambda state: state | {"hemf": "x"}, "is not a whole checkpoint of hemf train"),
        (
            lambda state: state | {"hemf": state["hemf"] | {"best": {"epoch": "x"}}},
            "is not a whole checkpoint",
        ),
        (lambda state: {k: v for k, v in state.items() if k != "loops"}, "is not a whole checkpoint"),
        (lambda state: state | {"optimizer_states": []}, "is not a whole checkpoint"),
        (lambda state: state | {"state_dict": {"x": torch.ones(2)}}, "does not belong to this run"),
        (lambda state: state | {"state_dict": 7}, "is not a whole checkpoint"),
        (lambda state: state | {"lr_schedulers": [1]}, "does not belong to this run"),
        (lambda state: state | {"epoch": "one"}, "is not a whole checkpoint"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_in_a_line(one_epoch, spoil, words):
    last = one_epoch / "checkpoints" / "last.ckpt"
    torch.save(spoil(torch.load(last, weights_only=True)), last)
    with pytest.raises(HemfError, match=words) as caught:
        hemf.train(resume=one_epoch, epochs=2)
    assert "\n" not in str(caught.value)
    assert "restore it or train again" in str(caught.value)


def test_a_kept_checkpoint_of_other_weights_is_refused_in_a_line(one_epoch):
    best = one_epoch / "checkpoints" / "best.ckpt"
    torch.save(torch.load(best, weights_only=True) | {"state_dict": {"x": torch.ones(2)}}, best)
    (one_epoch / "model" / "config.json").unlink()
    with pytest.raises(HemfError, match=r"best\.ckpt does not belong to this run"):
        hemf.train(resume=one_epoch)


def test_interrupted_it_says_how_to_go_on(train, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(ImageClassifier, "training_step", interrupt)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train()
    assert "hemf train --resume" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_finished_run_says_so_and_takes_more_epochs(train, capsys):
    run = train(epochs=1)
    again = hemf.train(resume=str(run.path))
    assert again == run
    assert "is finished after 1 epoch;" in capsys.readouterr().out.replace("\n", " ")
    longer = hemf.train(resume=str(run.path), epochs=2, workers=0)
    assert len(table(longer)) == 2
    assert RunConfig.of(str(run.path / "config.yaml")).epochs == 2


def test_a_run_that_goes_on_shows_neither_its_old_model_nor_its_old_evaluation(train, monkeypatch):
    run = train(epochs=1)
    old = run.path / "evaluation" / "test"
    old.mkdir(parents=True)
    (old / "metrics.json").write_text("{}")
    with monkeypatch.context() as patch:
        patch.setattr(ImageClassifier, "training_step", _killed)
        with pytest.raises(OSError, match="power cut"):
            hemf.train(resume=str(run.path), epochs=2)
    with pytest.raises(HemfError, match="has not finished"):
        open_run(run.path)
    assert not (run.path / "evaluation").exists()
    assert (run.path / "evaluation-epoch-1" / "test" / "metrics.json").is_file()
    hemf.train(resume=str(run.path))
    assert open_run(run.path).path == run.path


def _killed(*_):
    raise OSError("power cut")


def test_a_cpu_is_not_split_into_countless_devices(train):
    with pytest.raises(HemfError, match="--devices 1000000 is as many processes"):
        train(devices=1_000_000, accelerator="cpu")


def test_resume_refuses_what_would_make_it_another_run(train, tmp_path):
    run = train(epochs=1)
    with pytest.raises(HemfError, match="keeps its own --lr, --data"):
        hemf.train("elsewhere", resume=str(run.path), lr=1.0)
    hemf.train(resume=str(run.path), lr=RunConfig.load(run.path / "config.yaml").lr)  # the same is no change
    with pytest.raises(HemfError, match="no run to resume at"):
        hemf.train(resume=str(tmp_path))


def test_resume_refuses_other_images_than_the_run_began_with(train):
    run = train(epochs=1)
    manifest = run.path / "manifest.csv"
    manifest.write_text(
        manifest.read_text().replace("train/red/00.png,red,,train", "train/red/00.png,red,,val")
    )
    with pytest.raises(HemfError, match=r"manifest\.csv are not those the run began with; put the file back"):
        hemf.train(resume=str(run.path), epochs=2)


def test_roc_auc_cannot_choose_where_a_class_is_absent(train, colours, tmp_path):
    rows = ["path,label,split"]
    rows += [f"{p.relative_to(colours)},{p.parent.name},train" for p in sorted(colours.glob("train/*/*"))]
    rows += [f"{p.relative_to(colours)},red,val" for p in sorted(colours.glob("val/red/*"))]
    (colours / "lacking.csv").write_text("\n".join(rows))
    with pytest.raises(HemfError, match="ROC AUC is undefined: the val split of lacking lacks a class"):
        train(data=str(colours / "lacking.csv"), monitor="roc_auc")


@pytest.mark.slow
def test_two_processes_train_one_model(colours, tmp_path):
    import subprocess
    import sys

    command = [
        sys.executable,
        "-m",
        "hemf",
        "train",
        "--data",
        str(colours),
        "--out",
        str(tmp_path),
        "--name",
        "two",
    ]
    options = {
        "recipe": "paper",
        "model": "test_efficientnet",
        "image_size": 32,
        "epochs": 2,
        "batch_size": 8,
        "precision": "fp32",
    }
    options |= {"accelerator": "cpu", "devices": 2, "strategy": "ddp", "workers": 0, "ema": 0.9}
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("images/s") == 2
    steps = [row.split(",")[1] for row in (tmp_path / "two" / "metrics.csv").read_text().splitlines()]
    assert steps == ["step", "3", "6"]  # 25 images for each process, in batches of 8; none of 1
    assert open_run(tmp_path / "two").model.is_dir()


def test_a_run_knows_its_images_again_and_goes_on_with_no_others(tiny, tmp_path, capsys):
    images = tmp_path / "images"
    shutil.copytree(tiny["data"], images)
    run = hemf.train(
        **tiny | {"data": str(images), "epochs": 1, "out": str(tmp_path / "runs"), "name": "run"}
    )
    known = read_data_set(run.path)
    assert known.files_hash is not None
    assert all(one.picture for one in known.fingerprints.values())
    file = known.path(known.subset("test")[0])
    content = file.read_bytes()
    Image.new("RGB", (48, 40)).save(file)
    before = {p: p.stat().st_mtime_ns for p in run.path.rglob("*")}
    with pytest.raises(HemfError, match=r"1 of the 90 images of .* are not those that the run began"):
        hemf.train(resume=str(run.path), epochs=2)
    assert {p: p.stat().st_mtime_ns for p in run.path.rglob("*")} == before
    file.write_bytes(content)
    assert hemf.train(resume=str(run.path), epochs=2).best
    (run.path / "fingerprints.csv").unlink()
    assert "keeps no fingerprints" not in capsys.readouterr().out
    assert hemf.train(resume=str(run.path), epochs=3).best
    assert "keeps no fingerprints of its images" in " ".join(capsys.readouterr().out.split())


def test_training_says_where_prepared_images_have_changed(tiny, tmp_path, capsys):
    out = tmp_path / "prepared"
    data = prepare("folder", tiny["data"], str(out), resize=32)
    Image.new("RGB", (48, 40)).save(data.path(data.samples[0]))
    run = hemf.train(**tiny | {"data": str(out), "epochs": 1, "out": str(tmp_path / "runs"), "name": "run"})
    said = " ".join(capsys.readouterr().out.split())
    assert "warning: 1 of the 90 images of colours are not as they were when it was prepared" in said
    assert changed_files(read_data_set(run.path)) == []
