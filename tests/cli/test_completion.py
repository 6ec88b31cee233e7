"""The tab key: what the scripts hold, and what bash makes of its own."""

import shutil
import subprocess
import sys
from argparse import SUPPRESS

import pytest
import shtab

from hemf import cli
from hemf.cli.completion import completion_script
from hemf.config.spelling import flag, is_switch

ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_shtab_hemf hemf "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    file = tmp_path_factory.mktemp("completion") / "hemf.bash"
    file.write_text(completion_script("bash"))
    return file


def completed(script, *words: str) -> list[str]:
    """What bash offers for the last of the words."""
    command = ["bash", "-c", ASK, "bash", str(script), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=script.parent)
    return done.stdout.split()


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["tr"], {"train"}),
        (["data", ""], {"prepare", "info", "audit", "demo"}),
        (["data", "prepare", "--spl"], {"--split"}),
        (["train", "--image-"], {"--image-size"}),
        (["train", "--no-c"], {"--no-cache", "--no-compile"}),
        (["pretrain", "--method", ""], {"distill", "vicreg"}),
        (["train", "--model", "hemf_"], {"hemf_base", "hemf_nano", "hemf_small", "hemf_tiny"}),
        (["train", "--val-split", ""], {"val", "test", "none"}),
        (["train", "--recipe", "pap"], {"paper"}),
        (["predict", "run", "--precision", "b"], {"bf16"}),
        (["train", "--data", "hemf."], {"hemf.bash"}),
        (["evaluate", "hemf."], {"hemf.bash"}),
    ],
)
def test_bash_completes(script, words, offered):
    assert set(completed(script, "hemf", *words)) == offered


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
@pytest.mark.parametrize("name", cli.VERBS)
def test_bash_offers_every_flag_of_every_verb(script, name):
    flags = set()
    for action in cli.build_parser(name)._actions:
        if action.option_strings and action.help != SUPPRESS:  # which the verb refuses
            flags.add(flag(action.dest))
            flags |= {flag(f"no_{action.dest}")} if is_switch(action) else set()
    assert flags <= set(completed(script, "hemf", *name.split(), "--"))


@pytest.mark.parametrize("shell", shtab.SUPPORTED_SHELLS)
def test_there_is_a_script_for_every_shell(shell, capsys):
    assert cli.main(["--print-completion", shell]) == 0
    text = capsys.readouterr().out
    assert "hemf" in text
    assert "image-size" in text
    assert "--image_size" not in text


def test_another_shell_is_refused_in_a_line(capsys):
    assert cli.main(["--print-completion", "csh"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "bash, zsh" in error
    assert cli.main(["--print-completion"]) == 2


def test_the_script_needs_no_heavy_library():
    code = (
        "import sys\nfrom hemf.cli.completion import completion_script\ncompletion_script('zsh')\n"
        "assert not {'torch', 'timm', 'pytorch_lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
