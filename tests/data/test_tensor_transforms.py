"""Steps on uint8 tensors draw and give what torchvision's do."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import InterpolationMode, v2

from hemf.data.tensor_transforms import Normalise, RandomCrop, RandomFlip


def noise(channels: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    shape = (height, width, channels)
    drawn = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return drawn.permute(2, 0, 1)


@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 1000),
    interpolation=st.sampled_from([InterpolationMode.BILINEAR, InterpolationMode.BICUBIC]),
)
def test_a_random_crop_is_torchvisions(size, channels, seed, interpolation):
    image, how = noise(channels, *size), ((32, 48), (0.1, 1.0), (0.75, 4 / 3), interpolation)
    torch.manual_seed(seed)
    ours = RandomCrop(*how)(image)
    torch.manual_seed(seed)
    theirs = v2.RandomResizedCrop(*how)(image)
    assert ours.dtype == torch.uint8
    assert torch.equal(ours, theirs)


@given(seed=st.integers(0, 1000), probability=st.sampled_from([0.0, 0.3, 1.0]))
def test_a_random_flip_is_torchvisions(seed, probability):
    image = noise(3, 5, 7)
    for axis, kind in ((-1, v2.RandomHorizontalFlip), (-2, v2.RandomVerticalFlip)):
        torch.manual_seed(seed)
        ours = RandomFlip(probability, axis)(image)
        torch.manual_seed(seed)
        assert torch.equal(ours, kind(probability)(image))


@given(
    mean=st.lists(st.floats(0, 1), min_size=3, max_size=3),
    std=st.lists(st.floats(0.01, 1), min_size=3, max_size=3),
    channels=st.sampled_from([1, 3]),
)
def test_normalisation_is_torchvisions_bit_for_bit_for_every_level(mean, std, channels):
    mean, std = mean[:channels], std[:channels]
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(2, 16, 16, channels)
    images = levels.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    theirs = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])
    ours = Normalise(mean, std)(images)
    assert torch.equal(ours, theirs(images))
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(Normalise(mean, std)(images[1]), ours[1])
