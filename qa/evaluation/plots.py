"""The report's plots: inline SVG, coloured by the page's style sheet, with a text for screen readers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from qa.statistics.risk import Bin

_WIDTH, _HEIGHT = 400.0, 270.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 24.0, 14.0, 46.0
# A line of more points looks the same and takes longer.
_MOST_POINTS = 300

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis from ``low`` to ``high``. ``form`` writes a tick."""

    label: str
    low: float
    high: float
    ticks: tuple[float, ...]
    form: Callable[[float], str]


def share(label: str, high: float = 1.0) -> Axis:
    """Return an axis of shares, in per cent."""
    step = 0.25 if high > 0.6 else 0.1 if high > 0.25 else 0.05
    high = max(step, step * np.ceil(high / step - 1e-9))
    ticks = tuple(float(tick) for tick in np.arange(0, high + step / 2, step))
    return Axis(label, 0.0, float(high), ticks, lambda value: f"{100 * value:.0f} %")


def depth_plot(recall: Sequence[float]) -> str:
    """Draw the recall at each depth ``k``, which is ``recall[k - 1]``."""
    depth = len(recall)
    step = max(1, depth // 5)
    ticks = (1.0, *(float(k) for k in range(step, depth + 1, step) if k > 1))
    frame = _Frame(
        Axis("passages looked at", 1.0, float(max(depth, 2)), ticks, lambda v: f"{v:.0f}"), share("evidence found")
    )
    points = [(float(k), value) for k, value in enumerate(recall, start=1)]
    shown = [k for k in (1, 5, 10, depth) if k <= depth]
    said = ", ".join(f"{100 * recall[k - 1]:.0f} % by rank {k}" for k in dict.fromkeys(shown))
    return frame.draw(f"Evidence found by depth: {said}", [frame.area(points), frame.line(points), frame.dots(points)])


def risk_plot(curve: Sequence[Point], point: Point | None) -> str:
    """Draw the coverage and risk of answering only the surest questions; ``point`` is what was served."""
    highest = max([risk for _, risk in curve] + ([point[1]] if point else []), default=0.0)
    frame = _Frame(share("questions answered"), share("answers that are wrong", max(highest, 0.05)))
    thinned = _thin(curve)
    parts = [frame.area(thinned), frame.line(thinned)]
    said = f"Risk by coverage: {100 * curve[-1][1]:.0f} % wrong if every question is answered" if curve else "No curve"
    if point is not None:
        parts.append(frame.mark(point, "as served"))
        said += f"; as served {100 * point[0]:.0f} % are answered and {100 * point[1]:.0f} % of those are wrong"
    return frame.draw(said, parts)


def calibration_plot(bins: Sequence[Bin]) -> str:
    """Draw how often answers of each confidence are right; a larger dot stands for more answers."""
    frame = _Frame(share("confidence"), share("answers that are right"))
    most = max(each.n for each in bins)
    parts = [frame.line([(0.0, 0.0), (1.0, 1.0)], "ideal"), frame.line([(b.confidence, b.accuracy) for b in bins])]
    parts += [frame.dot((b.confidence, b.accuracy), 3 + 7 * (b.n / most) ** 0.5, f"{b.n} answers") for b in bins]
    said = ", ".join(f"{100 * b.confidence:.0f} % sure and {100 * b.accuracy:.0f} % right" for b in bins)
    return frame.draw(f"Calibration: {said}", parts)


def latency_plot(times: Sequence[float], percentiles: Sequence[tuple[str, float]]) -> str:
    """Draw the share of questions that were answered within each time, in milliseconds."""
    ordered = np.sort(np.asarray(times, float))
    end = max(ordered[-1] if len(ordered) < 100 else 1.3 * percentiles[-1][1], 1e-3)
    step = _round_step(end)
    ticks = tuple(float(tick) for tick in np.arange(0, end, step))
    frame = _Frame(Axis("milliseconds", 0.0, float(end), ticks, lambda v: f"{v:g}"), share("questions answered"))
    points = [(float(t), (i + 1) / len(ordered)) for i, t in enumerate(ordered) if t <= end]
    parts = [frame.area(_thin([(points[0][0], 0.0), *points])), frame.line(_thin([(points[0][0], 0.0), *points]))]
    parts += [frame.upright(value, name) for name, value in percentiles if value <= end]
    said = ", ".join(f"{name} {value:.1f} ms" for name, value in percentiles)
    return frame.draw(f"Latency: {said}", parts)


def interval_bar(value: float, low: float | None, high: float | None) -> str:
    """Draw a mean between 0 and 1 and its interval, on a line."""
    whisker = ""
    if low is not None and high is not None:
        whisker = f'<line class="whisker" x1="{_n(120 * low)}" x2="{_n(120 * high)}" y1="8" y2="8"/>'
    return (
        '<svg class="bar" viewBox="-4 0 128 16" aria-hidden="true"><line class="rail" x1="0" x2="120" y1="8" y2="8"/>'
        f'{whisker}<circle class="dot" cx="{_n(120 * value)}" cy="8" r="3.5"/></svg>'
    )


class _Frame:
    """Axes, and what is drawn between them."""

    def __init__(self, x: Axis, y: Axis) -> None:
        self._x, self._y = x, y

    def draw(self, said: str, parts: Sequence[str]) -> str:
        x, y = self._x, self._y
        lines = [
            f'<line class="grid" x1="{_n(_LEFT)}" x2="{_n(_WIDTH - _RIGHT)}" y1="{self._v(t)}" y2="{self._v(t)}"/>'
            f'<text class="tick end" x="{_n(_LEFT - 7)}" y="{self._v(t)}" dy="0.35em">{escape(y.form(t))}</text>'
            for t in y.ticks
        ]
        lines += [
            f'<text class="tick middle" x="{self._h(t)}" y="{_n(_HEIGHT - _BOTTOM + 17)}">{escape(x.form(t))}</text>'
            for t in x.ticks
        ]
        label = f'<text class="label end" x="{_n(_WIDTH - _RIGHT)}" y="{_n(_HEIGHT - 8)}">{escape(x.label)}</text>'
        return (
            f'<svg class="plot" viewBox="0 0 {_n(_WIDTH)} {_n(_HEIGHT)}" role="img" aria-label="{escape(said)}">'
            f"{''.join(lines)}{''.join(parts)}{label}</svg>"
        )

    def line(self, points: Sequence[Point], kind: str = "line") -> str:
        return f'<polyline class="{kind}" points="{self._path(points)}"/>' if points else ""

    def area(self, points: Sequence[Point]) -> str:
        if not points:
            return ""
        foot = [(points[-1][0], self._y.low), (points[0][0], self._y.low)]
        return f'<polygon class="area" points="{self._path([*points, *foot])}"/>'

    def dots(self, points: Sequence[Point]) -> str:
        return "".join(self.dot(point, 2.6) for point in points)

    def dot(self, point: Point, radius: float, said: str = "") -> str:
        title = f"<title>{escape(said)}</title>" if said else ""
        return (
            f'<circle class="dot" cx="{self._h(point[0])}" cy="{self._v(point[1])}" r="{_n(radius)}">{title}</circle>'
        )

    def mark(self, point: Point, label: str) -> str:
        """Draw a point with its name, on the side that has room."""
        is_right = point[0] > 0.6 * self._x.high
        kind, shift = ("end", -10) if is_right else ("", 10)
        text = f'<text class="label {kind}" x="{self._h(point[0])}" dx="{shift}" y="{self._v(point[1])}" dy="-0.7em">'
        ring = f'<circle class="ring" cx="{self._h(point[0])}" cy="{self._v(point[1])}" r="6"/>'
        return f"{ring}{text}{escape(label)}</text>"

    def upright(self, value: float, label: str) -> str:
        is_right = value > 0.75 * self._x.high
        kind, shift = ("end", -4) if is_right else ("", 4)
        # Below the curve, each a little lower than the last, so that close ones do not overlap.
        y = {"p50": 0.62, "p95": 0.76, "p99": 0.90}.get(label, 0.8)
        return (
            f'<line class="upright" x1="{self._h(value)}" x2="{self._h(value)}" y1="{_n(_TOP)}" y2="{self._v(0.0)}"/>'
            f'<text class="label {kind}" x="{self._h(value)}" dx="{shift}" y="{self._v(1 - y)}">'
            f"{escape(label)} {value:.1f}</text>"
        )

    def _path(self, points: Sequence[Point]) -> str:
        return " ".join(f"{self._h(x)},{self._v(y)}" for x, y in points)

    def _h(self, x: float) -> str:
        span = self._x.high - self._x.low
        return _n(_LEFT + (_WIDTH - _LEFT - _RIGHT) * (x - self._x.low) / span)

    def _v(self, y: float) -> str:
        span = self._y.high - self._y.low
        return _n(_HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (y - self._y.low) / span)


def _thin(points: Sequence[Point]) -> list[Point]:
    if len(points) <= _MOST_POINTS:
        return list(points)
    kept = np.unique(np.linspace(0, len(points) - 1, _MOST_POINTS).astype(int))
    return [points[int(i)] for i in kept]


def _round_step(end: float) -> float:
    """Return a step of 1, 2 or 5 times a power of ten that makes about five ticks."""
    magnitude = 10 ** np.floor(np.log10(end / 5))
    return float(next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= end / 5))


def _n(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
