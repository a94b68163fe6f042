"""The one place where a picture file of anybody's is opened."""

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from experiments.base.files import UserError
from tasks.captions.rendering import Floats
from tasks.captions.things import SIDE

if TYPE_CHECKING:
    from PIL.Image import Image

Levels: TypeAlias = NDArray[np.float64]

# Pillow decodes these by itself; what would start another program is not among them.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
MOST_PIXELS = 50_000_000
# White of a picture whose numbers are floats: the least of these that none of them exceeds.
_FLOAT_WHITES = (1.0, 255.0, 65535.0)
# Tags of a TIFF: bits of a number, whether 0 is white, and how numbers are written.
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_ZERO_IS_WHITE, _SIGNED = 0, 2


def read_picture(path: str) -> Floats:
    """The middle square of a picture file, (colour, SIDE, SIDE) float32 in 0..1, 0 black.

    Whole numbers are parts of the largest of their kind, floats of the first of 1, 255 and 65535 that none exceeds. It
    is turned as its metadata say, its colours are those of its profile, and what can be seen through stands on white
    paper.

    UserError, which names the file, for what is none of FORMATS, has more than MOST_PIXELS pixels, or is damaged.
    """
    from PIL import Image

    picture = _opened(path)
    paper = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    side, (width, height) = min(paper.size), paper.size
    left, top = (width - side) // 2, (height - side) // 2
    square = paper.resize((SIDE, SIDE), Image.Resampling.BOX, (left, top, left + side, top + side))
    return np.ascontiguousarray(np.asarray(square, dtype=np.float32).transpose(2, 0, 1) / 255)


def _opened(path: str) -> "Image":
    """The whole picture as RGBA."""
    from PIL import Image, UnidentifiedImageError

    try:
        if Path(path).exists() and not Path(path).is_file():
            raise UserError(f"{path} is no file; expected a picture")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as file:
                if file.width * file.height > MOST_PIXELS:
                    raise UserError(
                        f"{path} has {file.width} x {file.height} pixels: expected at most {MOST_PIXELS:,} in all"
                    )
                return _as_colours(file, path)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a picture") from None
    except UnidentifiedImageError:
        raise UserError(f"{path} is no picture: expected {', '.join(FORMATS[:-1])} or {FORMATS[-1]}") from None
    except Image.DecompressionBombError:
        raise UserError(f"{path} has too many pixels: expected at most {MOST_PIXELS:,}") from None
    # A damaged file makes its decoder raise whatever it meets, SyntaxError and struct.error among others.
    except Exception as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"cannot read {path}: {told}") from None


def _as_colours(file: "Image", path: str) -> "Image":
    """What a file shows, as 8-bit colours and how much of each is seen."""
    from PIL import Image, ImageCms, ImageOps

    tags = dict(getattr(file, "tag_v2", {}))
    picture = ImageOps.exif_transpose(file)
    if picture.mode.startswith(("I", "F")):
        numbers = np.asarray(picture)
        shades = _levels(numbers, tags, path)
        grey = Image.fromarray(np.round(255 * shades).astype(np.uint8))
        clear = picture.info.get("transparency")
        seen = np.ones_like(shades) if clear is None else numbers != clear
        return Image.merge("RGBA", [grey, grey, grey, Image.fromarray((255 * seen).astype(np.uint8))])
    seen_through = picture.convert("RGBA")
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("RGB", "RGBA", "CMYK"):
        return seen_through
    inks = picture if picture.mode == "CMYK" else seen_through.convert("RGB")
    own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    colours = ImageCms.profileToProfile(inks, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert colours is not None
    colours.putalpha(seen_through.getchannel("A"))
    return colours


def _levels(numbers: NDArray[Any], tags: dict[int, Any], path: str) -> Levels:
    """Deep grey, (height, width) in 0..1."""
    if numbers.dtype.kind == "f":
        low, high = float(numbers.min()), float(numbers.max())
        white = next((one for one in _FLOAT_WHITES if high <= one), None)
        if white is None or not low >= 0:
            raise UserError(f"{path} holds the numbers {low:g} to {high:g}: expected 0..1, 0..255 or 0..65535")
    else:
        bits = int(np.max(tags.get(_BITS, 16)))
        signed = int(np.max(tags.get(_SAMPLE_FORMAT, 1))) == _SIGNED
        white = 2.0 ** (bits - signed) - 1
        if bits == 32 and not signed:
            numbers = numbers.view(np.uint32)
    shades: Levels = np.clip(numbers / white, 0.0, 1.0)
    return 1 - shades if tags.get(_PHOTOMETRIC) == _ZERO_IS_WHITE else shades
