"""The card of a model: what a hub's library reads of it, and that its numbers are those of the evaluation."""

import json
from pathlib import Path

import pytest
import timm
import torch
import yaml
from huggingface_hub import ModelCard

import hemf
from hemf.runs.card import update_card

PLAIN = {"device": "cpu", "workers": 0, "resamples": 50}


def card_of(run: Path) -> ModelCard:
    return ModelCard.load(run / "model" / "README.md")


def test_training_leaves_a_card_that_the_hub_s_library_reads(train):
    run = train(epochs=1)
    card = card_of(run.path)
    assert card.data.to_dict()["library_name"] == "timm"
    assert card.data.to_dict()["pipeline_tag"] == "image-classification"
    assert "test_efficientnet" in card.data.to_dict()["tags"]
    assert card.data.eval_results is None
    assert "Not measured on test images yet" in card.text
    assert "colours: 50 train, 20 val, 20 test" in card.text
    assert "first weights: none, drawn at random" in card.text
    assert "Images: unknown to hemf" in card.text
    assert timm.create_model(f"local-dir:{run.path / 'model'}", pretrained=True).num_classes == 3


def test_its_numbers_are_those_of_the_evaluation(train):
    run = train(epochs=2).path
    found = hemf.evaluate(str(run), **PLAIN)
    card = card_of(run)
    report = json.loads((found.folder / "metrics.json").read_text())
    known = {name: one["value"] for name, one in report["metrics"].items() if one["value"] is not None}
    assert {one.metric_type: one.metric_value for one in card.data.eval_results} == known
    assert {one.dataset_split for one in card.data.eval_results} == {"test"}
    accuracy = report["metrics"]["accuracy"]
    low, high = accuracy["ci95"]
    assert f"| accuracy | {accuracy['value']:.4f} [{low:.4f}, {high:.4f}] | {accuracy['n']} |" in card.text


def test_what_makes_results_too_good_is_said(made_run):
    hemf.evaluate(str(made_run), **PLAIN)
    said = "1 test image of patients or lesions that are on another side of the split"  # p5's
    assert said in card_of(made_run).text


def test_only_the_run_s_own_test_images_are_reported(made_run):
    hemf.evaluate(str(made_run), split="val", **PLAIN)
    assert not (made_run / "model" / "README.md").exists()
    hemf.evaluate(str(made_run), **PLAIN)
    before = (made_run / "model" / "README.md").read_text()
    hemf.evaluate(str(made_run), split="train", **PLAIN)
    assert (made_run / "model" / "README.md").read_text() == before


def test_the_origin_of_weights_and_images_is_named_without_a_place(train, tmp_path, colours):
    first = train(epochs=1, name="first")
    run = train(epochs=1, init=str(first.path))
    text = card_of(run.path).text
    assert "first weights: first, a file or run" in text
    assert str(tmp_path) not in text
    assert str(colours) not in text


def test_names_of_others_stay_text(made_run):
    config = json.loads((made_run / "model" / "config.json").read_text())
    config["label_names"] = ["<script>", "[x](y)", "`c`\n# big"]
    (made_run / "model" / "config.json").write_text(json.dumps(config))
    about = json.loads((made_run / "dataset.json").read_text())
    (made_run / "dataset.json").write_text(json.dumps(about | {"name": "a: b\n--- #x"}))
    update_card(made_run, {"split": "test", "n": 12, "metrics": {"accuracy": {"value": 0.5, "n": 12}}})
    text = (made_run / "model" / "README.md").read_text()
    head, body = text.removeprefix("---\n").split("\n---\n", 1)
    assert yaml.safe_load(head)["library_name"] == "timm"
    assert "<script>" not in body.replace("\\<script\\>", "")
    assert "\n# big" not in body


def test_both_libraries_open_the_folder(made_run):
    hemf.evaluate(str(made_run), **PLAIN)
    model = timm.create_model(f"local-dir:{made_run / 'model'}", pretrained=True).eval()
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 3)
    transformers = pytest.importorskip("transformers")
    other = transformers.AutoModelForImageClassification.from_pretrained(made_run / "model").eval()
    with torch.inference_mode():
        torch.testing.assert_close(other(torch.zeros(1, 3, 32, 32)).logits, model(torch.zeros(1, 3, 32, 32)))
