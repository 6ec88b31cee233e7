"""The Open Inference Protocol: the same answers as ``/predict``, as tensors."""

import base64

import numpy as np
import pytest
import requests
from PIL import Image


def tensor(shape: list[int], datatype: str, data: list, **further) -> dict:
    return {"inputs": [{"name": "image", "shape": shape, "datatype": datatype, "data": data}]} | further


def infer(server, body: dict) -> requests.Response:
    return requests.post(f"{server.url}/v2/models/lesions/infer", json=body)


def test_server_and_model_say_what_they_are(server) -> None:
    def get(path: str) -> dict:
        return requests.get(f"{server.url}/v2{path}").json()

    assert get("")["name"] == "hemf"
    assert get("/health/live") == {"live": True}
    assert get("/health/ready") == {"ready": True}
    assert get("/models/lesions/ready") == {"ready": True}
    about = get("/models/lesions")
    assert about["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}]
    assert [one["name"] for one in about["outputs"]] == ["probabilities", "label", "set", "abstain"]
    assert requests.get(f"{server.url}/v2/models/other/ready").status_code == 404


def test_pixels_and_files_get_the_answers_of_predict(server, pictures, files_of) -> None:
    path = pictures[0]
    said = requests.post(f"{server.url}/predict", files=files_of([path])).json()["images"][0]
    pixels = np.asarray(Image.open(path))
    of_pixels = infer(server, tensor([1, *pixels.shape], "UINT8", pixels.ravel().tolist(), id="a1")).json()
    nested = infer(server, tensor([1, *pixels.shape], "UINT8", pixels[None].tolist())).json()
    of_file = infer(server, tensor([1], "BYTES", [base64.b64encode(path.read_bytes()).decode()])).json()
    assert of_pixels["id"] == "a1"
    assert of_pixels["outputs"] == nested["outputs"] == of_file["outputs"]
    found = {one["name"]: one for one in of_pixels["outputs"]}
    assert found["probabilities"]["data"] == list(said["probabilities"].values())
    assert found["probabilities"]["shape"] == [1, 3]
    assert found["label"]["data"] == [said["label"]]
    assert found["set"]["data"] == [name in said["set"] for name in said["probabilities"]]
    assert found["abstain"]["data"] == [said["abstain"]]


def test_grey_pictures_and_chosen_outputs(server) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (2, 40, 50)).tolist()
    answer = infer(server, tensor([2, 40, 50], "UINT8", grey, outputs=[{"name": "label"}])).json()
    assert [(one["name"], one["shape"]) for one in answer["outputs"]] == [("label", [2])]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "inputs: Field required"),
        ({"inputs": []}, "inputs: List should have at least 1 item"),
        (tensor([1, 2, 2, 3], "FP32", [0] * 12), "give one input, image: UINT8"),
        (tensor([1, 2, 2, 4], "UINT8", [0] * 16), "UINT8 cannot be of shape [1, 2, 2, 4]"),
        (tensor([1, 2, 2, 3], "UINT8", [0] * 11), "data must hold the 12 whole numbers"),
        (tensor([1, 2, 2, 3], "UINT8", [256] * 12), "data must hold the 12 whole numbers"),
        (tensor([1, 2, 2, 3], "UINT8", [[0], [0, 1]]), "data must hold the 12 whole numbers"),
        (tensor([65], "BYTES", ["AAAA"] * 65), "holds no images, or more than the 64 that are held"),
        (tensor([1], "BYTES", ["not base64"]), "BYTES must be image files in base64"),
        (tensor([2], "BYTES", ["AAAA"]), "BYTES must be of shape [N]"),
        (tensor([1, 40, 50], "UINT8", [0] * 2000, outputs=[{"name": "x"}]), "the model has no output 'x'"),
    ],
)
def test_bad_requests_are_one_line(server, body, words) -> None:
    answer = infer(server, body)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert words in answer.json()["error"]


def test_a_file_that_is_no_image_is_named(server) -> None:
    answer = infer(server, tensor([1], "BYTES", ["AAAA"]))
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("image 1 is not an image")
