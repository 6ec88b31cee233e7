"""The container's files are sound, and its steps, run without a container, give a server without torch."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import yaml
from PIL import Image
from serving_model import TOKEN, save_export

import hemf
from hemf.cli import VERBS, build_parser
from hemf.config.spelling import spelled_out

ROOT = Path(__file__).parents[1]
USER = "10001"
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
KUBERNETES = [*yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text(encoding="utf-8"))]
IN_MEMORY = Path("/dev/shm")

Step = tuple[str, str]


def stages() -> dict[str, tuple[str, list[Step]]]:
    """What the Containerfile says: by a stage's name what it starts from, and its steps."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Containerfile").read_text(encoding="utf-8"))
    found: dict[str, tuple[str, list[Step]]] = {}
    name = ""
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found[name] = (base, [])
        elif name and word.isupper():
            found[name][1].append((word, rest))
    return found


def steps(stage: str) -> list[Step]:
    """All steps of a stage, those of what it starts from first."""
    base, own = stages()[stage]
    return [*(steps(base) if base in stages() else []), *own]


def last(word: str) -> str:
    """What the default stage says last of something."""
    return [rest for one, rest in steps(next(reversed(stages()))) if one == word][-1]


def commands() -> dict[str, list[str]]:
    """By where it stands, everything that is run by the entry point ``hemf``."""
    found = {"Containerfile": json.loads(last("CMD"))}
    found |= {name: one["command"] for name, one in COMPOSE["services"].items() if "command" in one}
    for one in KUBERNETES:
        if one["kind"] in ("Deployment", "StatefulSet"):
            (container,) = one["spec"]["template"]["spec"]["containers"]
            found[one["metadata"]["name"]] = container["args"]
    return found


def test_the_default_image_is_the_one_without_torch_and_without_root():
    assert next(reversed(stages())) == "runtime"
    assert last("USER") == f"{USER}:{USER}"
    assert json.loads(last("ENTRYPOINT")) == ["hemf"]
    assert not [rest for word, rest in steps("packages") if word == "RUN" and "torch" in rest]
    assert [rest for word, rest in steps("packages-torch") if word == "RUN" and "torch" in rest]


def test_what_is_copied_is_there_and_reaches_the_build():
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [shlex.split(rest)[:-1] for word, rest in steps("source") if word == "COPY"]
    assert sorted(name for names in copied for name in names) == sorted(let_in)
    assert not [name for name in let_in if not (ROOT / name).exists()]


@pytest.mark.parametrize("place", [*commands()])
def test_every_command_is_one_that_hemf_takes(place: str):
    verb, *arguments = commands()[place]
    if verb == "node" and verb not in VERBS:
        pytest.skip("the node is not there yet")
    parser = build_parser(verb)
    parser.parse_args(spelled_out(parser, arguments), defaults=False)


def test_compose_agrees_with_its_specification():
    jsonschema = pytest.importorskip("jsonschema")
    vendored = pytest.importorskip("check_jsonschema").__file__
    schema = Path(vendored).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(COMPOSE, json.loads(schema.read_text(encoding="utf-8")))
    for name in ("node", "serve"):
        service = COMPOSE["services"][name]
        assert service["read_only"] is True
        assert service["user"] == f"{USER}:{USER}"
        assert service["build"]["target"] in stages()
    title, host, port = json.loads(
        COMPOSE["services"]["orthanc"]["environment"]["ORTHANC__DICOM_MODALITIES"]
    )["hemf"]
    assert host == "node"
    assert {f"--aet={title}", f"--dicom-port={port}"} <= {*commands()["node"]}


def test_kubernetes_agrees_with_its_schema_and_probes_what_is_served():
    validate = pytest.importorskip("kubernetes_validate").validate
    for one in KUBERNETES:
        validate(one, "1.34", strict=True)
    for one in KUBERNETES:
        if one["kind"] not in ("Deployment", "StatefulSet"):
            continue
        pod: dict[str, Any] = one["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsUser"] == int(USER)
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= {*container}
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        claims = one["spec"].get("volumeClaimTemplates", ())
        there = {volume["name"] for volume in pod["volumes"]} | {c["metadata"]["name"] for c in claims}
        assert mounted == there


@pytest.fixture(scope="module")
def rooms() -> Iterator[Path]:
    """A folder in which every user may read."""
    folder = Path(tempfile.mkdtemp(prefix="hemf-container-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def placed(text: str, rooms: Path) -> str:
    """A command of the Containerfile, for the places that stand for those of the image."""
    text = re.sub(r"(?<![\w/])/(source|opt/hemf|model|run/secrets)\b", rf"{rooms}/\1", text)
    return re.sub(r"^python\b", shlex.quote(sys.executable), text)


@pytest.fixture(scope="module")
def image(rooms: Path) -> dict[str, str]:
    """The stage ``packages``, made step by step; returns the environment of the image that takes it over."""
    source, variables = rooms / "source", {}
    quick = {"PIP_NO_COMPILE": "1", "PIP_NO_CACHE_DIR": "0"}
    source.mkdir()
    for word, rest in steps("packages"):
        if word == "COPY":
            for name in shlex.split(rest)[:-1]:
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copy(ROOT / name, source / name)
        elif word == "ENV":
            variables |= dict(one.split("=", 1) for one in shlex.split(placed(rest, rooms)))
        elif word == "RUN":
            done = subprocess.run(
                ["sh", "-c", placed(rest, rooms)],
                cwd=source, env=os.environ | variables | quick, capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
    environment = [rest for word, rest in steps("image") if word == "ENV"]
    return dict(one.split("=", 1) for rest in environment for one in shlex.split(placed(rest, rooms)))


def confined(command: list[str]) -> list[str]:
    """The command as the image's user, who may write in memory alone, where this machine allows that."""
    words = "mount --make-rprivate / && mount -o remount,bind,ro / && exec setpriv --reuid {0} --regid {0} "
    words = words.format(USER) + "--clear-groups --no-new-privs --inh-caps=-all -- " + shlex.join(command)
    whole = ["unshare", "--mount", "sh", "-c", words]
    trial = ["unshare", "--mount", "sh", "-c", words.replace(shlex.join(command), "true")]
    return whole if subprocess.run(trial, capture_output=True).returncode == 0 else command


@pytest.mark.slow
def test_its_steps_give_a_server_without_torch_for_a_user_who_can_write_nothing(
    rooms: Path, image: dict[str, str]
):
    python = str(rooms / "opt/hemf/bin/python")
    assert subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 1
    save_export(rooms / "model")
    (rooms / "run/secrets").mkdir(parents=True)
    (rooms / "run/secrets/hemf-token").write_text(TOKEN)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    arguments = [placed(one, rooms).replace("8000", port) for one in json.loads(last("CMD"))]
    health = last("HEALTHCHECK").partition("CMD ")[2].replace("8000", port)
    inside = {**image, "HOME": str(IN_MEMORY), "TMPDIR": str(IN_MEMORY)}
    command = confined([str(rooms / "opt/hemf/bin/hemf"), *arguments])
    with subprocess.Popen(command, env=inside, cwd=IN_MEMORY, stderr=subprocess.PIPE, text=True) as server:
        try:
            probe = [python, *json.loads(health)[1:]]
            until = time.monotonic() + 60
            while subprocess.run(probe, capture_output=True).returncode and time.monotonic() < until:
                assert server.poll() is None, server.stderr and server.stderr.read()
            picture = rooms / "picture.png"
            Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3)).save(picture)
            found = requests.post(
                f"http://127.0.0.1:{port}/predict",
                picture.read_bytes(),
                headers={"Content-Type": "image/png", "Authorization": f"Bearer {TOKEN}"},
                timeout=60,
            ).json()
            (here,) = hemf.load(rooms / "model").predict(picture, batch_size=1)
            assert found["images"][0]["probabilities"] == here.probabilities
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
