"""``hemf train --teacher``: what is learnt from a stronger network, and that the run keeps it."""

import math
import shutil

import pytest
import timm
import torch

import hemf
from hemf import HemfError
from hemf.data.preprocessing import InputSpec
from hemf.tasks import MULTICLASS
from hemf.training.distillation import Distillation, Teacher

SPEC = InputSpec((3, 32, 32), 1.0, "squash", "bicubic", (0.5,) * 3, (0.5,) * 3)


def teacher_of(classes=("a", "b", "c"), spec=SPEC, name="test_resnet") -> Teacher:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=len(classes) or 7, in_chans=spec.input_size[0]).eval()
    return Teacher(model, spec, name, tuple(classes), "drawn")


def student(name="test_resnet", classes=3):
    torch.manual_seed(1)
    return timm.create_model(name, num_classes=classes).eval()


def test_logits_are_compared_at_the_temperature():
    network, images, teacher = student(), torch.randn(5, 3, 32, 32), teacher_of()
    outputs, loss = Distillation(teacher, network, SPEC, ["a", "b", "c"], MULTICLASS, 3.0)(network, images)
    with torch.no_grad():
        p, q = (teacher.model(images) / 3).softmax(1), (network(images) / 3).softmax(1)
    assert torch.allclose(outputs, network(images))
    assert loss.item() == pytest.approx(9 * (p * (p.log() - q.log())).sum(1).mean().item(), rel=1e-4)


def test_the_teachers_classes_may_stand_in_another_order():
    network, images = student(), torch.randn(4, 3, 32, 32)
    straight = Distillation(teacher_of(), network, SPEC, ["a", "b", "c"], MULTICLASS, 2.0)
    turned = teacher_of(("c", "a", "b"))
    state = turned.model.state_dict()
    order = [2, 0, 1]
    for name in ("fc.weight", "fc.bias"):
        state[name] = straight.teacher.model.state_dict()[name][order]
    turned.model.load_state_dict(state)
    other = Distillation(turned, network, SPEC, ["a", "b", "c"], MULTICLASS, 2.0)
    assert other(network, images)[1].item() == pytest.approx(straight(network, images)[1].item(), rel=1e-5)


def test_it_sees_the_same_images_by_its_own_input():
    theirs = InputSpec((1, 48, 48), 1.0, "squash", "bicubic", (0.2,), (0.3,))
    teacher, network, seen = teacher_of(spec=theirs), student(), []
    teacher.model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    teacher.model.forward_features = lambda x: seen.append(x) or torch.zeros(len(x), 128, 1, 1)
    teacher.model.forward_head = lambda x: torch.zeros(len(x), 3)
    pixels = torch.rand(2, 3, 1, 1).expand(-1, -1, 32, 32)  # of one colour, which resizing keeps
    Distillation(teacher, network, SPEC, list("abc"), MULTICLASS, 1.0)(network, (pixels - 0.5) / 0.5)
    assert seen[-1].shape == (2, 1, 48, 48)
    grey = pixels.mean(1, keepdim=True)[..., :1, :1].expand(-1, -1, 48, 48)
    assert torch.allclose(seen[-1], (grey - 0.2) / 0.3, atol=1e-5)


def test_other_classes_are_learnt_from_by_feature_maps():
    network, images, teacher = student("test_efficientnet"), torch.randn(2, 3, 32, 32), teacher_of(())
    distillation = Distillation(teacher, network, SPEC, ["a", "b", "c"], MULTICLASS, 2.0)
    assert "feature maps of stride" in distillation.words
    outputs, loss = distillation(network, images)
    assert torch.allclose(outputs, network(images), atol=1e-5)
    assert 0 < loss.item() < 2
    loss.backward()
    assert all(weight.grad is not None for weight in distillation.maps.projections.parameters())
    assert all(weight.grad is None for weight in teacher.model.parameters())
    same = Distillation(teacher, teacher.model, SPEC, ["a", "b", "c"], MULTICLASS, 2.0)
    for layer in same.maps.projections:
        torch.nn.init.dirac_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    assert same(teacher.model, images)[1].item() == pytest.approx(0, abs=1e-5)


def test_maps_of_hemf_are_compared_stage_by_stage():
    spec = InputSpec((3, 64, 64), 1.0, "squash", "bicubic", (0.5,) * 3, (0.5,) * 3)
    network = student("hemf_nano")
    distillation = Distillation(teacher_of((), spec), network, spec, list("abc"), MULTICLASS, 2.0)
    assert distillation.words == "its feature maps of stride 4, 8, 16, 32"
    assert math.isfinite(distillation(network, torch.randn(2, 3, 64, 64))[1].item())


def test_networks_without_common_maps_are_refused():
    spec = InputSpec((3, 160, 160), 1.0, "squash", "bicubic", (0.5,) * 3, (0.5,) * 3)
    network = timm.create_model("test_vit", num_classes=3, img_size=32, patch_size=8)
    with pytest.raises(HemfError, match=r"strides \[8\], its teacher of \[16\]; .* same classes"):
        Distillation(teacher_of((), spec, "test_vit"), network, SPEC, list("abc"), MULTICLASS, 2.0)


def test_the_student_follows_its_teacher(train):
    """With all weight on the teacher's logits the loss is the distance to them, whatever the labels are."""
    own = train(epochs=3, name="teacher")
    options = {"teacher": str(own.path), "teacher_weight": 1.0, "seed": 3, "val_split": "none"}
    begun = train(epochs=1, name="begun", lr=0.0, **options)
    taught = train(epochs=6, name="taught", lr=3e-3, **options)
    assert taught.best["train_loss"] < begun.best["train_loss"] / 2
    assert not [name for name in timm_state(taught) if "distillation" in name]


def timm_state(run) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(run.path / "model" / "model.safetensors")


@pytest.mark.parametrize("source", ["run", "features"])
def test_a_resumed_run_keeps_its_teacher_and_its_weights(train, tmp_path, source):
    teacher = train(epochs=1, name="teacher")
    if source == "features":
        (teacher.path / "model" / "config.json").write_text(
            (teacher.path / "model" / "config.json").read_text().replace('"red"', '"purple"')
        )
    options = {"teacher": str(teacher.path), "epochs": 2, "seed": 1}
    straight = train(name="straight", **options)
    stopped = train(name="stopped", **options | {"epochs": 1})
    shutil.rmtree(teacher.path)
    again = hemf.train(resume=stopped.path, epochs=2)
    first = train(name="third", **options | {"teacher": str(straight.path / "teacher"), "epochs": 2})
    assert again.path == stopped.path
    pairs = zip(timm_state(straight).values(), timm_state(first).values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert (stopped.path / "teacher" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"teacher": "nowhere"}, "no weights at nowhere"),
        ({"teacher_weight": 1.5}, "--teacher-weight is 1.5"),
        ({"teacher_temperature": 0}, "--teacher-temperature is 0"),
    ],
)
def test_what_cannot_teach_is_refused(train, options, words):
    with pytest.raises(HemfError, match=words):
        train(epochs=1, **options)


def test_a_recipe_may_not_name_a_teacher(train, tmp_path):
    (tmp_path / "theirs.yaml").write_text("teacher: /etc\n")
    with pytest.raises(HemfError, match="teacher"):
        train(epochs=1, recipe=str(tmp_path / "theirs.yaml"))
