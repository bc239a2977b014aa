"""Bars over time as shapes: numbers in, rectangles and labels out. Drawn by a template, as SVG.

Pure. One chart stacks its series in each bucket; the scale ends at a round number.
"""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 960, 150
TOP, BOTTOM, LEFT = 10, 22, 52
GAP = 0.2  # of a bar's room
LABELS = 6


@dataclass(frozen=True, slots=True)
class Series:
    """One sort of thing, counted in each bucket; `url` leads to the things themselves."""

    name: str
    values: tuple[int, ...]
    url: str = ""

    @property
    def total(self) -> int:
        return sum(self.values)

    @property
    def shown(self) -> str:
        return f"{self.total:,}"


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle: `series` counts from 0, the lowest in its stack."""

    x: str
    y: str
    width: str
    height: str
    series: int
    title: str


@dataclass(frozen=True, slots=True)
class Label:
    """A word at a place on an axis."""

    at: str
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """What the template draws."""

    title: str
    series: Sequence[Series]
    bars: Sequence[Bar]
    lines: Sequence[Label]
    marks: Sequence[Label]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    floor: int = HEIGHT - BOTTOM

    @property
    def total(self) -> int:
        return sum(series.total for series in self.series)

    @property
    def shown(self) -> str:
        return f"{self.total:,}"

    @property
    def summary(self) -> str:
        """The chart in a sentence, for those who hear it."""
        parts = ", ".join(f"{series.total:,} {series.name}" for series in self.series)
        return f"{self.title}: {parts or 'nothing'}"


def draw(title: str, moments: Sequence[str], series: Sequence[Series]) -> Chart:
    """A chart of these series, each with a value for every moment."""
    peak = max((sum(each.values[i] for each in series) for i in range(len(moments))), default=0)
    top = round_up(peak)
    bars = [bar for i, moment in enumerate(moments) for bar in _stack(i, moment, series, top)]
    scale = [Label(_number(_y(value, top)), compact(value)) for value in (0, top // 2, top)]
    return Chart(title, series, _placed(bars, len(moments)), scale, _marks(moments))


def round_up(number: int) -> int:
    """The next of 2, 4, 6, 8, 10, 12, 16, 20, 40 … so that half of it is a whole number, too."""
    power = 1
    while True:
        for step in (2, 4, 6, 8, 10, 12, 16):
            if number <= step * power:
                return step * power
        power *= 10


def compact(number: int) -> str:
    """1,500 as 1.5k: three figures at most."""
    for size, letter in ((1_000_000_000, "G"), (1_000_000, "M"), (1000, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return str(number)


def _stack(index: int, moment: str, series: Sequence[Series], top: int) -> list[tuple[int, Bar]]:
    """The bars of one bucket, from below; what is zero is not drawn."""
    bars, below = [], 0
    for number, each in enumerate(series):
        value = each.values[index]
        if value:
            upper, lower = _y(below + value, top), _y(below, top)
            title = f"{moment}: {value:,} {each.name}"
            bars.append((index, Bar("", _number(upper), "", _number(lower - upper), number, title)))
        below += value
    return bars


def _placed(bars: Sequence[tuple[int, Bar]], buckets: int) -> list[Bar]:
    room = (WIDTH - LEFT) / max(buckets, 1)
    width = _number(room * (1 - GAP))
    return [
        Bar(
            _number(LEFT + room * (index + GAP / 2)),
            bar.y,
            width,
            bar.height,
            bar.series,
            bar.title,
        )
        for index, bar in bars
    ]


def _marks(moments: Sequence[str]) -> list[Label]:
    room = (WIDTH - LEFT) / max(len(moments), 1)
    step = max(1, -(-len(moments) // LABELS))
    return [Label(_number(LEFT + room * i), moments[i]) for i in range(0, len(moments), step)]


def _y(value: int, top: int) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top)


def _number(value: float) -> str:
    """As SVG wants it, whatever the language of the page."""
    return f"{value:.1f}"
