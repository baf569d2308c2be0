"""Cost of a training step as a linear function of rays and samples, with an SVG plot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

WIDTH, HEIGHT, MARGIN = 640.0, 400.0, 60.0
"""Plot size and margin around the axes, in pixels."""

Scale = Callable[[float], float]
"""Maps a measured value to pixels."""

COLORS = ("#1b6ca8", "#d1495b", "#66a182", "#edae49", "#7b4b94", "#00798c")


@dataclass(frozen=True)
class Point:
    """Measured step."""

    rays: int
    samples: float
    """Samples per step."""
    seconds: float


@dataclass(frozen=True)
class Line:
    """Least-squares fit `seconds = fixed + per_ray * rays + per_sample * samples`."""

    fixed: float
    per_ray: float
    per_sample: float
    explained: float
    """Coefficient of determination, R^2."""

    def at(self, rays: int, samples: float) -> float:
        """Return the predicted seconds per step."""
        return self.fixed + self.per_ray * rays + self.per_sample * samples


def fit(points: Sequence[Point]) -> Line:
    """Fit a linear cost model to measured steps by least squares.

    Raises:
        ValueError: fewer than three points.
    """
    if len(points) < 3:
        raise ValueError(f"points: a line in rays and samples needs at least 3, got {len(points)}")
    rows = torch.tensor([[1.0, point.rays, point.samples] for point in points], dtype=torch.float64)
    seconds = torch.tensor([point.seconds for point in points], dtype=torch.float64)
    scale = rows.abs().amax(dim=0)
    solution = torch.linalg.lstsq(rows / scale, seconds[:, None], driver="gelsd").solution[:, 0] / scale
    unexplained = (rows @ solution - seconds).square().sum()
    spread = (seconds - seconds.mean()).square().sum()
    fixed, per_ray, per_sample = solution.tolist()
    return Line(fixed, per_ray, per_sample, float(1.0 - unexplained / spread) if spread > 0 else 1.0)


def picture(points: Sequence[Point], line: Line, title: str) -> str:
    """Plot milliseconds against samples as SVG, one colour per number of rays, with the fitted line through each."""
    most_x, most_y = max(point.samples for point in points), max(point.seconds for point in points)

    def x(samples: float) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * samples / most_x

    def y(seconds: float) -> float:
        return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * seconds / most_y

    body = [_text(WIDTH / 2, 24.0, title, "middle", 15), *_axes(most_x, most_y, x, y)]
    for number, rays in enumerate(sorted({point.rays for point in points})):
        color = COLORS[number % len(COLORS)]
        own = sorted((point for point in points if point.rays == rays), key=lambda point: point.samples)
        ends = [(x(point.samples), y(max(line.at(rays, point.samples), 0.0))) for point in (own[0], own[-1])]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in ends)
        body.append(f'<polyline points="{path}" stroke="{color}" stroke-opacity="0.5" fill="none"/>')
        body += [f'<circle cx="{x(p.samples):.1f}" cy="{y(p.seconds):.1f}" r="4" fill="{color}"/>' for p in own]
        body.append(_text(MARGIN + 12, MARGIN + 16 * number, f"{rays} rays", "start", 12, color))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" font-family="sans-serif">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *body, "</svg>\n"])


def _axes(most_x: float, most_y: float, x: Scale, y: Scale) -> list[str]:
    lines = [f'<path d="M{MARGIN} {MARGIN} V{HEIGHT - MARGIN} H{WIDTH - MARGIN}" stroke="black" fill="none"/>']
    for part in range(5):
        samples, seconds = most_x * part / 4, most_y * part / 4
        lines.append(_text(x(samples), HEIGHT - MARGIN + 18, f"{samples / 1000:.0f}k", "middle", 12))
        lines.append(_text(MARGIN - 8, y(seconds) + 4, f"{seconds * 1000:.0f}", "end", 12))
    lines.append(_text(WIDTH / 2, HEIGHT - 16.0, "samples per step", "middle", 13))
    lines.append(_text(16.0, MARGIN - 14, "ms per step", "start", 13))
    return lines


def _text(x: float, y: float, text: str, anchor: str, size: int, color: str = "black") -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{color}">{escaped}</text>'
