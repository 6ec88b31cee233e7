"""Classifies images of 8 bits a channel with this export, a line of JSON each: python example.py IMAGE ...

Beside the library that runs the network it needs NumPy and Pillow alone; copy what you need of it.
"""

import json
import sys
from math import floor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).parent
CONFIG = json.loads((HERE / "config.json").read_text(encoding="utf-8"))
SEEN, OWN = CONFIG["pretrained_cfg"], CONFIG["hemf"].get("calibration") or {}


def network():
    """Return what makes logits, B x classes, and unfamiliarity, B, of B x channels x height x width."""
    if (HERE / "model.xml").exists():
        import openvino

        exact = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = openvino.compile_model(HERE / "model.xml", "CPU", exact)
        return lambda images: [*compiled(images).values()]
    if file := next(HERE.rglob("model.onnx"), None):
        import onnxruntime

        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        return lambda images: session.run(None, {session.get_inputs()[0].name: images})
    import torch

    program = torch.export.load(HERE / "model.pt2").module()  # which unpickles: your own file alone
    alone = len(CONFIG["export"]["outputs"]) == 1
    return lambda images: [program(torch.from_numpy(images))] if alone else program(torch.from_numpy(images))


def standardised(path):
    """Read an image, resize it, cut or pad around its centre, standardise it: channels x height x width."""
    channels, height, width = SEEN["input_size"]
    image = ImageOps.exif_transpose(Image.open(path))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    image = image.convert("RGB" if channels == 3 else "L")
    tall, wide = floor(height / SEEN["crop_pct"]), floor(width / SEEN["crop_pct"])
    ratios = image.width / wide, image.height / tall
    ratio = max(ratios) if SEEN["crop_mode"] == "border" else min(ratios)
    size = max(1, round(image.width / ratio)), max(1, round(image.height / ratio))
    if SEEN["crop_mode"] == "squash":
        size = wide, tall
    elif SEEN["crop_mode"] == "center" and height == width:
        size = [int(tall * side / min(image.size)) for side in image.size]
    image = image.resize(size, Image.Resampling[SEEN["interpolation"].upper()])
    left, top = (
        round((side - kept) / 2) if side >= kept else -((kept - side) // 2)
        for side, kept in zip(image.size, (width, height), strict=True)
    )
    mean = tuple(round(255 * level) for level in SEEN["mean"]) if SEEN["crop_mode"] == "border" else 0
    seen = Image.new(image.mode, (width, height), mean[0] if mean and channels == 1 else mean)
    seen.paste(image, (-left, -top))
    values = np.asarray(seen, np.float32).reshape(height, width, channels) * np.float32(1 / 255)
    values = (values - np.float32(SEEN["mean"])) / np.float32(SEEN["std"])
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def main(paths):
    compute, sets = network(), OWN.get("conformal")
    for path in paths:
        logits, *score = [np.asarray(one)[0] for one in compute(standardised(path)[None])]
        scaled = logits.astype(np.float64) / (OWN.get("temperature") or 1)
        powers = np.exp(scaled - scaled.max())
        found = dict(zip(CONFIG["label_names"], (powers / powers.sum()).tolist(), strict=True))
        line = {"path": path, "prediction": max(found, key=lambda name: found[name]), "probabilities": found}
        if sets:
            limits = np.broadcast_to(sets["quantile"], len(found))
            held = zip(found.items(), limits, strict=True)
            line["set"] = [name for (name, share), limit in held if 1 - share <= limit]
        if score:  # above 1 the image is unlike the training images: do not rely on the prediction
            line["unfamiliarity"] = float(score[0])
        print(json.dumps(line))


if __name__ == "__main__":
    main(sys.argv[1:])
