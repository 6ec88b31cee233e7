"""Drawn skin lesions whose class is an overall shape together with a fine texture, and nothing else.

Position, size, colours, light and brightness are drawn alike for every class: both outlines enclose the same
area, and both textures are brought to the same mean and contrast within the lesion. A model that sees only
the outline, or only small patches, tells two of four classes apart at best.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree

OUTLINES = ("oval", "lobed")
TEXTURES = ("globular", "reticular")
CLASSES = tuple(f"{outline}-{texture}" for outline in OUTLINES for texture in TEXTURES)

SKIN = np.array([224.0, 182.0, 160.0])
BROWN = np.array([152.0, 102.0, 78.0])
DARKER = np.array([-32.0, -30.0, -26.0])  # one standard deviation of the texture, in each channel


@dataclass(frozen=True)
class Lesion:
    """What two pictures of one lesion have in common.

    Args:
        outline: one of ``OUTLINES``.
        texture: one of ``TEXTURES``.
        radius: radius of the disc of the same area, as a share of the image's side.
        aspect: length over width.
        lobes: number of lobes that a lobed outline has.
        depth: how far they stand out, as a share of the radius.
        wobble: amplitudes and phases of the outline's slow irregularities.
        skin: colour of the skin, RGB from 0 to 255.
        brown: colour of the lesion.
    """

    outline: str
    texture: str
    radius: float
    aspect: float
    lobes: int
    depth: float
    wobble: np.ndarray
    skin: np.ndarray
    brown: np.ndarray

    @classmethod
    def drawn(cls, outline: str, texture: str, rng: np.random.Generator) -> "Lesion":
        """Draw a lesion of a class, with all else at random."""
        return cls(
            outline=outline,
            texture=texture,
            radius=rng.uniform(0.26, 0.33),
            aspect=rng.uniform(1.05, 1.35),
            lobes=int(rng.integers(5, 8)),
            depth=rng.uniform(0.13, 0.19),
            wobble=np.stack([rng.normal(0, 0.025, 3), rng.uniform(0, 2 * np.pi, 3)]),
            skin=SKIN + rng.normal(0, 9) + rng.normal(0, 4, 3),
            brown=BROWN + rng.normal(0, 12) + rng.normal(0, 4, 3),
        )


def photograph(lesion: Lesion, size: int, rng: np.random.Generator) -> Image.Image:
    """Draw one picture of a lesion: turned, moved, lit and grown over with hair at random.

    Args:
        lesion: the lesion.
        size: side of the square image in pixels, at least 32.
        rng: source of what differs between pictures.

    Returns:
        An RGB image, ``size`` x ``size``.
    """
    rows, columns = np.mgrid[:size, :size] / size + 0.5 / size - 0.5
    top, left = rng.uniform(-0.06, 0.06, 2)
    y, x = _turned(rows - top, columns - left, rng.uniform(0, 2 * np.pi))
    inside = np.hypot(y, x) - _edge(lesion, np.arctan2(y, x))  # below 0 inside, in sides of the image
    cover = 1 / (1 + np.exp(inside / 0.012))
    texture = _texture(lesion.texture, x, y, size, rng)
    within = inside < -0.02
    texture = (texture - texture[within].mean()) / texture[within].std()
    texture *= rng.uniform(0.6, 1) * (1 + 0.35 * _cloud(size, 0.12, rng)).clip(0.4, 1.6)

    colour = lesion.skin + 5 * _cloud(size, 0.12, rng)[..., None] + 2.5 * _cloud(size, 0.02, rng)[..., None]
    brown = lesion.brown + 10 * _cloud(size, 0.08, rng)[..., None] + texture[..., None] * DARKER
    colour += cover[..., None] * (brown - colour)
    colour = _with_hair(colour, rng)
    light = (
        1
        - rng.uniform(0.35, 0.6) * (rows**2 + columns**2)
        - rng.normal(0, 0.06) * rows
        - rng.normal(0, 0.06) * columns
    )
    colour = (
        colour * light[..., None] + rng.normal(0, 3, (size, size, 1)) + rng.normal(0, 1.5, (size, size, 3))
    )
    return Image.fromarray(colour.clip(0, 255).astype(np.uint8))


def _turned(y: np.ndarray, x: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    return y * np.cos(angle) - x * np.sin(angle), y * np.sin(angle) + x * np.cos(angle)


def _edge(lesion: Lesion, angle: np.ndarray) -> np.ndarray:
    """Distance from centre to outline in a direction; the area enclosed is that of ``radius``'s disc."""
    everywhere = np.linspace(-np.pi, np.pi, 720, endpoint=False)
    area = np.mean(_outline(lesion, everywhere) ** 2)
    return lesion.radius * _outline(lesion, angle) / np.sqrt(area)


def _outline(lesion: Lesion, angle: np.ndarray) -> np.ndarray:
    ellipse = 1 / np.hypot(np.cos(angle) / lesion.aspect, np.sin(angle) * lesion.aspect)
    wobble = sum(a * np.cos(k * angle + phase) for k, (a, phase) in enumerate(lesion.wobble.T, start=2))
    lobes = lesion.depth * np.cos(lesion.lobes * angle) if lesion.outline == "lobed" else 0
    return ellipse * (1 + wobble + lobes)


def _texture(kind: str, x: np.ndarray, y: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Dark dots around scattered points, or dark lines half-way between them: the same grain either way."""
    spacing = 9 / 96 * rng.uniform(0.9, 1.15)
    steps = np.arange(-0.8, 0.8, spacing)
    grid = np.stack(np.meshgrid(steps, steps * np.sqrt(0.75)), -1)
    grid[1::2, :, 0] += spacing / 2
    points = grid.reshape(-1, 2) + rng.normal(0, 0.17 * spacing, (grid.size // 2, 2))
    near = KDTree(points).query(np.stack([x, y], -1), k=2)[0] / spacing
    field = near[..., 0] if kind == "globular" else near[..., 1] - near[..., 0]
    threshold = np.quantile(field, 0.35)
    dark = 1 / (1 + np.exp((field - threshold) / 0.07))
    return gaussian_filter(dark, 0.5 * size / 96)


def _cloud(size: int, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Draw smooth noise of standard deviation 1; ``scale`` is a share of the image's side."""
    noise = gaussian_filter(rng.normal(size=(size, size)), scale * size, mode="wrap")
    return noise / noise.std()


def _with_hair(colour: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw up to three thin dark hairs across the picture."""
    size, fine = len(colour), 4
    sheet = Image.new("L", (size * fine, size * fine))
    pen = ImageDraw.Draw(sheet)
    for _ in range(rng.integers(0, 4)):
        start, middle, end = rng.uniform(-0.1, 1.1, (3, 2)) * size * fine
        t = np.linspace(0, 1, 30)[:, None]
        curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end
        pen.line(
            [tuple(p) for p in curve],
            fill=int(rng.integers(110, 190)),
            width=max(1, round(size * fine / 130)),
        )
    hair = np.asarray(sheet.reduce(fine))[..., None] / 255
    return colour + hair * (np.array([60.0, 45.0, 40.0]) - colour)
