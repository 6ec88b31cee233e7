"""Image files: what is read of them, by which reader, and what is refused."""

from hemf.data.image.read import read_image

__all__ = ["read_image"]
