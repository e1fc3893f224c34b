"""`python docs/images/make.py` draws the pictures of the documentation and prints their figures."""

import colorsys
import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from red_service.decoding.image import measure
from red_service.redness.rule import red_mask

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from names import agreement  # noqa: E402
from scenes import SCENES  # noqa: E402

BACKGROUND, INK = (255, 255, 255), (40, 40, 44)
HUES, SIDE = 120, 300  # degrees shown, pixels of a panel
VALUES = (1.0, 0.6, 0.3)


def red_pixels(image: Image.Image) -> np.ndarray:
    """Where rule red-1 sees red: booleans, one for each pixel."""
    return red_mask(*(np.ascontiguousarray(plane) for plane in np.asarray(image).transpose(2, 0, 1)))


def chart() -> Image.Image:
    """Hue across, saturation up, a panel for each brightness; what is not red is faded."""
    whole = Image.new("RGB", (len(VALUES) * (SIDE + 40) + 40, SIDE + 110), BACKGROUND)
    draw = ImageDraw.Draw(whole)
    for number, value in enumerate(VALUES):
        left, top = 40 + number * (SIDE + 40), 50
        whole.paste(_panel(value), (left, top))
        _write(draw, left, 18, f"brightness {value:.0%}")
        for degrees in (-60, -30, 0, 30, 60):
            x = left + (degrees + HUES // 2) * SIDE // HUES
            draw.line([(x, top + SIDE), (x, top + SIDE + 6)], fill=INK)
            _write(draw, x - 12, top + SIDE + 10, f"{degrees:+d}°" if degrees else "0°", 13)
        if not number:
            for share in (0, 0.5, 1):
                _write(draw, 4, int(top + (1 - share) * (SIDE - 12)), f"{share:.0%}", 12)
    _write(draw, 40, SIDE + 84, "across: hue, pink to orange · up: saturation · faded: not red", 14)
    return whole


def _panel(value: float) -> Image.Image:
    def colour(x: int, y: int) -> tuple[int, ...]:
        hue = ((x / SIDE - 0.5) * HUES / 360) % 1
        return tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue, 1 - y / (SIDE - 1), value))

    panel = Image.new("RGB", (SIDE, SIDE))
    panel.putdata([colour(x, y) for y in range(SIDE) for x in range(SIDE)])
    return _faded(panel, 0.72, BACKGROUND)


def _faded(image: Image.Image, share: float, towards: tuple[int, int, int]) -> Image.Image:
    pixels = np.asarray(image).astype(float)
    faded = pixels * (1 - share) + np.array(towards) * share
    red = red_pixels(image)[..., None]
    return Image.fromarray(np.where(red, pixels, faded).round().astype(np.uint8))


def scenes() -> Image.Image:
    """Each scene, and beside it what counts: red pixels as they are, the others pale grey."""
    made = [draw() for draw in SCENES.values()]
    width, height = made[0].width // 2, made[0].height // 2
    whole = Image.new("RGB", (2 * width + 30, len(made) * (height + 10) + 10), BACKGROUND)
    for number, scene in enumerate(made):
        grey = np.asarray(scene.convert("L").convert("RGB")).astype(float) * 0.35 + 255 * 0.65
        counted = np.where(red_pixels(scene)[..., None], np.asarray(scene), grey).round().astype(np.uint8)
        for column, picture in enumerate((scene, Image.fromarray(counted))):
            small = picture.resize((width, height), Image.Resampling.LANCZOS)
            whole.paste(small, (10 + column * (width + 10), 10 + number * (height + 10)))
    return whole


def figures() -> list[str]:
    """What the documentation says of the pictures and the names."""
    told = []
    for name, draw in SCENES.items():
        target = io.BytesIO()
        draw().save(target, "PNG")
        found = measure(target.getvalue())
        amounts = (found.red_bp, found.red_excess_bp, found.red_channel_bp)
        told.append(f"| {name} | " + " | ".join(f"{amount / 10000:.4f}" for amount in amounts) + " |")
    names = agreement()
    told.append(f"| names of reds that count | {names.found} of {names.reds} |")
    told.append(f"| names of other colours that count too | {names.mistaken} of {names.others} |")
    told.append(f"| F1 | {names.f1:.2f} |")
    return told


def _write(draw: ImageDraw.ImageDraw, x: int, y: int, text: str, size: int = 15) -> None:
    draw.text((x, y), text, fill=INK, font=ImageFont.load_default(size))


if __name__ == "__main__":
    SCENES["poppies"]().save(HERE / "poppies.jpg", quality=82, optimize=True)
    chart().save(HERE / "red-chart.png", optimize=True)
    scenes().save(HERE / "red-scenes.png", optimize=True)
    print(*figures(), sep="\n")
