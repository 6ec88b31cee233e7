"""What a command imports: nothing that it does not use, by name, because seconds depend on the machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TRAINING = {"pytorch_lightning", "lightning_fabric", "torchmetrics", "tensorboard"}
EVALUATION = {"matplotlib", "sklearn", "scipy", "pandas", "statsmodels", "jinja2", "torchcam"}
DATA = {"simplejpeg", "pydicom", "imagehash", "openpyxl", "pooch"}
HEAVY = {"torch", "torchvision", "timm", "numpy", "PIL", "rich", "yaml", "jsonargparse"}

CODE = """
import json, sys
from hemf.cli.app import main
code = main(sys.argv[1:])
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def imported_by(*arguments: str) -> set[str]:
    """The packages that a command has imported when it is done."""
    command = [sys.executable, "-c", CODE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    return set(modules)


def test_the_help_imports_hemf_alone():
    assert not imported_by("--help") & (HEAVY | TRAINING | EVALUATION | DATA)


def test_predict_imports_neither_training_nor_evaluation_libraries(made_run: Path, tmp_path: Path):
    image = str(next((tmp_path / "images").iterdir()))
    modules = imported_by("predict", str(made_run), image, "--device", "cpu")
    assert "torch" in modules
    assert not modules & (TRAINING | EVALUATION | DATA)


@pytest.mark.parametrize(
    "imports",
    ["import hemf, timm", "import timm, hemf", "import hemf; from timm.layers import DropPath; import timm"],
)
def test_timm_knows_the_models_whichever_is_imported_first(imports: str):
    code = f"{imports}; print(type(timm.create_model('hemf_nano')).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["HEMF"]


def test_importing_hemf_imports_nothing_heavy():
    code = "import sys, hemf; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & (HEAVY | TRAINING | EVALUATION | DATA)
