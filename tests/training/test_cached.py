"""``--cache``: the same run from decoded images, which later runs and resumed ones find again."""

import pytest
import yaml

import hemf
from hemf.core.errors import HemfError
from hemf.data.loading import cache


def test_the_cache_changes_no_weight_and_is_found_again(train, tmp_path, monkeypatch, capsys):
    plain = train(name="plain", epochs=1)
    cached = train(name="cached", epochs=1, cache_dir=str(tmp_path / "cache"))
    assert "cache: 90 decoded images" in capsys.readouterr().out
    weights = [run.path / "model" / "model.safetensors" for run in (plain, cached)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    monkeypatch.setattr(cache, "read_pixels", None)
    monkeypatch.setattr("hemf.data.loading.datamodule.read_pixels", None)
    monkeypatch.chdir(tmp_path)
    hemf.train(resume=str(cached.path), epochs=2)
    options = yaml.safe_load((cached.path / "config.yaml").read_text())
    assert options["cache_dir"] == str(tmp_path / "cache")


def test_a_folder_of_images_has_no_place_for_a_cache(train, tmp_path):
    with pytest.raises(HemfError, match="--cache-dir"):
        train(cache=True)
    assert not (tmp_path / "runs" / "run").exists()
