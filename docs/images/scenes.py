"""Three drawn scenes: much red, a little red, and colours that only look warm."""

import random

from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT = 640, 420

Colour = tuple[int, int, int]


def poppies(seed: int = 7) -> Image.Image:
    """A meadow under a sky."""
    chance = random.Random(seed)
    image = Image.new("RGB", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(image)
    for y in range(HEIGHT):
        sky = y < 130
        colour = (150 + y // 3, 190 + y // 4, 235) if sky else (70 + y // 9, 130 - y // 9, 40)
        draw.line([(0, y), (WIDTH, y)], fill=colour)
    for _ in range(900):
        x, y = chance.randrange(WIDTH), chance.randrange(125, HEIGHT)
        draw.line([(x, y), (x + chance.randint(-3, 3), y - 14)], fill=(60, chance.randint(95, 150), 35))
    for number in range(150):
        y = 140 + number * (HEIGHT - 150) // 150
        x, size = chance.randrange(WIDTH), 5 + (y - 130) // 11
        red = chance.randint(185, 235)
        for turn in range(4):
            dx, dy = ((-1, 0), (1, 0), (0, -1), (0, 1))[turn]
            cx, cy = x + dx * size // 2, y + dy * size // 3
            draw.ellipse([cx - size, cy - size * 3 // 4, cx + size, cy + size * 3 // 4], fill=(red, 25, 20))
        draw.ellipse([x - size // 4, y - size // 4, x + size // 4, y + size // 4], fill=(25, 15, 20))
    return image.filter(ImageFilter.GaussianBlur(0.6))


def crossing(seed: int = 3) -> Image.Image:
    """A grey street with a red light, a stop sign, a dark red car and a brick house."""
    chance = random.Random(seed)
    image = Image.new("RGB", (WIDTH, HEIGHT), (188, 200, 212))
    draw = ImageDraw.Draw(image)
    draw.rectangle([0, 290, WIDTH, HEIGHT], fill=(92, 92, 96))
    for x in range(20, WIDTH, 110):
        draw.rectangle([x, 352, x + 60, 358], fill=(222, 222, 214))
    draw.rectangle([0, 70, 210, 290], fill=(176, 164, 152))
    for row in range(22):
        for column in range(8):
            x, y = column * 26 + (row % 2) * 13, 70 + row * 10
            tone = chance.randint(-14, 14)
            brick = (158 + tone, 92 + tone, 74 + tone)
            draw.rectangle([x, y, min(210, x + 23), y + 7], fill=brick)
    for x in (28, 122):
        draw.rectangle([x, 110, x + 56, 180], fill=(64, 78, 92), outline=(230, 228, 220), width=4)
    draw.rectangle([300, 120, 308, 290], fill=(70, 70, 74))
    draw.rectangle([280, 60, 328, 184], fill=(36, 38, 40))
    for y, colour in ((80, (228, 28, 36)), (122, (74, 62, 20)), (164, (18, 62, 34))):
        draw.ellipse([304 - 17, y - 17, 304 + 17, y + 17], fill=colour)
    draw.rectangle([572, 150, 578, 290], fill=(120, 122, 126))
    octagon = [(558, 92), (592, 92), (616, 116), (616, 150), (592, 174), (558, 174), (534, 150), (534, 116)]
    draw.polygon(octagon, fill=(190, 22, 44), outline=(245, 245, 245), width=5)
    draw.rectangle([548, 126, 602, 140], fill=(245, 245, 245))
    draw.polygon([(372, 300), (398, 258), (470, 258), (502, 300)], fill=(120, 148, 164))
    draw.rounded_rectangle([340, 296, 540, 344], 14, fill=(112, 16, 26))
    for x in (380, 498):
        draw.ellipse([x - 22, 326, x + 22, 370], fill=(24, 24, 26))
    return image.filter(ImageFilter.GaussianBlur(0.7))


def evening(seed: int = 11) -> Image.Image:
    """A sunset, oranges, skin, roses of pink: warm, and none of it red to the eye but the sun's rim."""
    chance = random.Random(seed)
    image = Image.new("RGB", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(image)
    stops: tuple[tuple[int, Colour], ...] = (
        (0, (72, 52, 120)), (130, (196, 92, 128)), (220, (244, 146, 88)), (300, (255, 204, 110)),
    )  # fmt: skip
    for y in range(300):
        low = max(stop for stop in stops if stop[0] <= y)
        high = min((stop for stop in stops if stop[0] > y), default=low)
        part = (y - low[0]) / max(1, high[0] - low[0])
        draw.line([(0, y), (WIDTH, y)], fill=_between(low[1], high[1], part))
    draw.ellipse([420, 196, 512, 288], fill=(255, 120, 40), outline=(235, 50, 30), width=5)
    draw.rectangle([0, 300, WIDTH, HEIGHT], fill=(96, 66, 48))
    for number in range(9):
        x = 40 + number * 34 + chance.randint(-4, 4)
        draw.ellipse([x - 20, 352 - 20, x + 20, 352 + 20], fill=(250, 140 + chance.randint(-10, 10), 20))
    draw.ellipse([92, 150, 188, 276], fill=(224, 172, 128))
    draw.rectangle([118, 262, 162, 320], fill=(214, 158, 116))
    for number in range(12):
        x, y = 372 + (number % 6) * 42, 336 + (number // 6) * 44
        draw.ellipse([x - 17, y - 17, x + 17, y + 17], fill=(248, 150 + chance.randint(0, 30), 180))
    return image.filter(ImageFilter.GaussianBlur(0.7))


def _between(low: Colour, high: Colour, part: float) -> Colour:
    one, two, three = (round(a + (b - a) * part) for a, b in zip(low, high, strict=True))
    return one, two, three


SCENES = {"poppies": poppies, "crossing": crossing, "evening": evening}
