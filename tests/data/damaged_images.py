"""Image files that were made or damaged to do harm: bombs of every format, and seeded damage of sound files.

Not a test: helpers for the tests of reading, and for fuzzing. Each function returns the bytes of a file.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int, height: int, depth: int, colour: int, data: bytes, before: bytes = b"", interlace: int = 0
) -> bytes:
    """A PNG of any header.

    Args:
        width: in pixels.
        height: in pixels.
        depth: bits of a sample.
        colour: type of colour: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha.
        data: the filtered rows, compressed.
        before: further chunks, in front of the picture's.
        interlace: 1 for Adam7.
    """
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return SIGNATURE + chunk(b"IHDR", head) + before + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    """So many zero bytes, compressed a thousandfold."""
    packer = zlib.compressobj(9)
    block = bytes(2**20)
    parts = [packer.compress(block) for _ in range(count // 2**20)]
    return b"".join([*parts, packer.compress(bytes(count % 2**20)), packer.flush()])


def blank_png(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """A whole black PNG."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    return png(width, height, depth, colour, zeros(height * (1 + (width * depth * samples + 7) // 8)))


def many_scans(scans: int, size: tuple[int, int] = (2000, 2000)) -> bytes:
    """A progressive JPEG whose last scan is there again and again."""
    file = io.BytesIO()
    Image.new("RGB", size, (99, 120, 80)).save(file, "JPEG", progressive=True)
    whole = file.getvalue()
    last = whole.rindex(b"\xff\xda")
    return whole[:-2] + whole[last:-2] * scans + whole[-2:]


def tiff(
    tags: dict[int, tuple[int, int | bytes]], data: bytes = b"", order: str = "<", pages: int = 1
) -> bytes:
    """A TIFF from its tags: (2 bytes, 4 bytes or whole data) of type 3, 4 ...; ``data`` begins at byte 8.

    Args:
        tags: type and value of each; bytes are an array of that type, in the file's byte order.
        data: what stands between header and directory.
        order: ``<`` or ``>``.
        pages: directories, all with these tags.
    """
    sizes = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 11: 4, 12: 8}
    body, entries = data + b"\0" * (len(data) % 2), []
    for tag, (kind, value) in sorted(tags.items()):
        if isinstance(value, int):
            value = struct.pack(f"{order}{'H' if kind == 3 else 'I'}", value)
        count = len(value) // sizes[kind]
        if len(value) > 4:
            value, body = struct.pack(f"{order}I", 8 + len(body)), body + value + b"\0" * (len(value) % 2)
        entries.append(struct.pack(f"{order}HHI", tag, kind, count) + value.ljust(4, b"\0"))
    start = 8 + len(body)
    size = 2 + 12 * len(entries) + 4
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", start)
    directories = []
    for page in range(pages):
        following = start + (page + 1) * size if page + 1 < pages else 0
        directories.append(
            struct.pack(f"{order}H", len(entries)) + b"".join(entries) + struct.pack(f"{order}I", following)
        )
    return head + body + b"".join(directories)


def plain_tiff(
    values: np.ndarray,
    photometric: int = 1,
    bits: int | None = None,
    more: dict | None = None,
    order: str = "",
) -> bytes:
    """An uncompressed TIFF of grey (height x width) or several samples (height x width x samples).

    Args:
        values: any whole or floating-point type, of either byte order.
        photometric: 0 counts from white, 1 from black, 2 is RGB.
        bits: of a sample, where it is not what the type says.
        more: further tags, or others.
        order: of bytes, where the type has none.
    """
    order = order or (">" if values.dtype.byteorder == ">" else "<")
    samples = 1 if values.ndim == 2 else values.shape[2]
    kind = {"u": 1, "b": 1, "i": 2, "f": 3}[values.dtype.kind]
    each = struct.pack(f"{order}{samples}H", *[bits or values.dtype.itemsize * 8] * samples)
    tags = {256: (4, values.shape[1]), 257: (4, values.shape[0]), 258: (3, each), 259: (3, 1)}
    tags |= {262: (3, photometric), 273: (4, 8), 277: (3, samples), 278: (4, values.shape[0])}
    tags |= {279: (4, values.nbytes), 339: (3, struct.pack(f"{order}{samples}H", *[kind] * samples))}
    return tiff(tags | (more or {}), values.tobytes(), order)


def exif_bomb(size: int) -> bytes:
    """EXIF whose every tag claims all of its bytes."""
    count = min(65535, size // 12)
    entries = b"".join(struct.pack("<HHII", tag, 7, size - 8, 8) for tag in range(count))
    whole = b"II*\0" + struct.pack("<IH", 8, count) + entries + bytes(4)
    return whole.ljust(size, b"\0")


def gif(width: int, height: int, frames: int = 1, comment: int = 0) -> bytes:
    """A GIF of one pixel in each frame, on a canvas of any size."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    block = b"!\xfe" + b"\xff" + b"c" * 255 + b"\0"
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return head + block * (comment // len(block)) + frame * frames + b";"


def _saved(image: Image.Image, kind: str, **how: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def _deflated_tiff(width: int, height: int, bits: int, kind: int = 1, **more: tuple[int, int]) -> bytes:
    """Black grey in one deflated strip."""
    data = zeros(width * height * bits // 8)
    tags = {256: (4, width), 257: (4, height), 258: (3, bits), 259: (3, 8), 262: (3, 1), 273: (4, 8)}
    return tiff(tags | {277: (3, 1), 278: (4, height), 279: (4, len(data)), 339: (3, kind)}, data)


def _tiled_tiff() -> bytes:
    data = zeros(2**22)
    tags = {256: (4, 10), 257: (4, 10), 258: (3, 8), 259: (3, 8), 262: (3, 1), 277: (3, 1)}
    return tiff(tags | {322: (4, 60000), 323: (4, 60000), 324: (4, 8), 325: (4, len(data))}, data)


def _one_strip_for_all() -> bytes:
    """A TIFF of very many strips, each of which is the whole file."""
    height, data = 400_000, zeros(2**20)
    tags = {256: (4, 200), 257: (4, height), 258: (3, 8), 259: (3, 8), 262: (3, 1), 277: (3, 1), 278: (4, 1)}
    starts, counts = struct.pack("<I", 8) * height, struct.pack("<I", len(data)) * height
    return tiff(tags | {273: (4, starts), 279: (4, counts)}, data)


def _shared_tags() -> bytes:
    """A TIFF of 60,000 tags, each of which is the whole file."""
    size = 4 * 2**20
    entries = b"".join(struct.pack("<HHII", tag, 7, size, 8) for tag in range(1000, 61000))
    first = struct.pack("<HHIIHHII", 256, 4, 1, 5, 257, 4, 1, 5)
    head = b"II*\0" + struct.pack("<I", 8 + size) + bytes(size)
    return head + struct.pack("<H", 60002) + first + entries + bytes(4)


BOMBS: dict[str, Callable[[], bytes]] = {
    "grey16-170-megapixels.png": lambda: blank_png(13000, 13100, 16, 0),
    "grey8-400-megapixels.png": lambda: blank_png(20000, 20000, 8, 0),
    "rgba16.png": lambda: blank_png(9000, 9000, 16, 6),
    "bits-5-gigapixels.png": lambda: png(70000, 70000, 1, 0, zeros(2**22)),
    "widest.png": lambda: png(2**31 - 1, 1, 8, 2, zeros(2**22)),
    "tallest.png": lambda: png(1, 2**31 - 1, 8, 2, zeros(2**22)),
    "largest.png": lambda: png(2**31 - 1, 2**31 - 1, 16, 6, zeros(2**22)),
    "text.png": lambda: png(
        4,
        4,
        8,
        0,
        zeros(20),
        chunk(b"iTXt", b"a\0\1\0\0\0" + zeros(2**29)) + chunk(b"zTXt", b"b\0\0" + zeros(2**29)),
    ),
    "profile.png": lambda: png(4, 4, 8, 0, zeros(20), chunk(b"iCCP", b"x\0\0" + zeros(2**29))),
    "chunks.png": lambda: png(4, 4, 8, 0, zeros(20), chunk(b"abCd", b"") * 600_000),
    "exif.png": lambda: png(4, 4, 8, 0, zeros(20), chunk(b"eXIf", exif_bomb(2**23))),
    "3000-scans.jpg": lambda: many_scans(3000),
    "400-scans.jpg": lambda: many_scans(400, (4000, 4000)),
    "largest.jpg": lambda: _saved(Image.new("L", (65000, 8)), "JPEG").replace(
        struct.pack(">HH", 8, 65000), struct.pack(">HH", 65500, 65500), 1
    ),
    "junk.jpg": lambda: b"\xff\xd8\xff\xe0\0\2" + bytes(8 * 2**20),
    "float64.tif": lambda: _deflated_tiff(12000, 12000, 64, 3),
    "float32.tif": lambda: _deflated_tiff(9000, 9000, 32, 3),
    "grey16.tif": lambda: _deflated_tiff(13000, 13000, 16),
    "tiles.tif": _tiled_tiff,
    "one-strip-for-all.tif": _one_strip_for_all,
    "shared-tags.tif": _shared_tags,
    "pages.tif": lambda: tiff({256: (4, 1), 257: (4, 1), 262: (3, 1), 273: (4, 8)}, b"\0\0", pages=80_000),
    "largest.tif": lambda: tiff({256: (4, 2**32 - 1), 257: (4, 2**32 - 1), 262: (3, 1), 273: (4, 8)}),
    "largest.gif": lambda: gif(65535, 65535),
    "frames.gif": lambda: gif(10, 10, 300_000),
    "comment.gif": lambda: gif(10, 10, 1, 12 * 2**20),
    "largest.webp": lambda: _saved(Image.new("RGB", (16, 16)), "WEBP", lossless=True).replace(
        struct.pack("<I", 15 | 15 << 14), struct.pack("<I", 0x3FFF | 0x3FFF << 14), 1
    ),
    "large.webp": lambda: _saved(Image.new("RGB", (7000, 6000)), "WEBP", lossless=True, method=0),
    "large.avif": lambda: _saved(Image.new("RGB", (7000, 7000)), "AVIF", speed=10),
    "too-large.avif": lambda: _saved(Image.new("RGB", (8000, 6400)), "AVIF", speed=10),
    "large.jp2": lambda: _saved(Image.new("L", (6000, 6000)), "JPEG2000"),
    "largest.bmp": lambda: (
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 60, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24, *[0] * 6)
    ),
    "largest.ppm": lambda: b"P6 99999999999 99999999999 255\n" + bytes(99),
    "digits.pgm": lambda: b"P2 10 10 255\n" + b"1" * 2**23,
}


def damaged(whole: bytes, seed: int) -> bytes:
    """A sound file after what happens to files: bytes changed, zeroed, cut out, doubled; or cut short."""
    rng, data = np.random.default_rng(seed), bytearray(whole)
    for _ in range(rng.integers(1, 5)):
        start = int(rng.integers(len(data)))
        stop = start + int(rng.integers(1, 1 + max(1, len(data) // 10)))
        how = rng.integers(6)
        if how == 0:
            data[start] = rng.integers(256)
        elif how == 1:
            data[start:stop] = bytes(len(data[start:stop]))
        elif how == 2:
            data[start:stop] = rng.bytes(len(data[start:stop]))
        elif how == 3:
            data[start:stop] = b""
        elif how == 4:
            data[start:start] = data[start:stop]
        else:  # as a header's sizes do, most likely
            place = int(rng.integers(min(len(data), 64)))
            data[place : place + 4] = rng.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0"])
        data = data or bytearray(b"\0")
    return bytes(data[: rng.integers(1, len(data) + 1)] if rng.random() < 0.2 else data)


def sound_files() -> Iterator[tuple[str, bytes]]:
    """Name and content of a small picture in every format that is read, plain and less plain."""
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8))
    wide = Image.fromarray(rng.integers(0, 65536, (24, 32), np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds: list[tuple[str, Image.Image, str, dict]] = [
        ("rgb.png", colour, "PNG", {"exif": exif}),
        ("palette.png", colour.quantize(16), "PNG", {"transparency": 3}),
        ("grey16.png", wide, "PNG", {}),
        ("rgba.png", colour.convert("RGBA"), "PNG", {}),
        ("rgb.jpg", colour, "JPEG", {"exif": exif}),
        ("progressive.jpg", colour, "JPEG", {"progressive": True}),
        ("cmyk.jpg", colour.convert("CMYK"), "JPEG", {}),
        ("rgb.tif", colour, "TIFF", {}),
        ("lzw.tif", colour, "TIFF", {"compression": "tiff_lzw"}),
        ("jpeg.tif", colour, "TIFF", {"compression": "jpeg"}),
        ("grey16.tif", wide, "TIFF", {"compression": "tiff_adobe_deflate"}),
        ("float.tif", wide.convert("F"), "TIFF", {}),
        ("bits.tif", colour.convert("1"), "TIFF", {"compression": "group4"}),
        ("rgb.bmp", colour, "BMP", {}),
        ("lossy.webp", colour, "WEBP", {}),
        ("lossless.webp", colour, "WEBP", {"lossless": True}),
        ("rgb.ppm", colour, "PPM", {}),
        ("rgb.gif", colour.quantize(64), "GIF", {}),
        ("rgb.jp2", colour, "JPEG2000", {}),
        ("rgb.avif", colour, "AVIF", {}),
    ]
    for name, image, kind, how in kinds:
        yield name, _saved(image, kind, **how)
