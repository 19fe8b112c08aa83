"""The ring as a picture: SVG 1.1 in plain text, for a browser or a document.

The hash space runs clockwise from the top. Each partition is a piece of the circle in its owner's
colour, with the owner's name where there is room, and a tooltip with all nodes that hold it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from dynamo.values.ring import Ring

CENTRE = 300
OUTER, INNER = 250, 150
"""Radii of the ring; lengths are in the picture's own units, about a pixel."""
LEGEND_LEFT, LEGEND_TOP = 620, 60
ROW_HEIGHT = 22
ROWS_PER_COLUMN = 22
LEAST_LETTERS = 7.0
"""Names below this size could not be read, so they are left out."""

PALETTE = (
    "#4e79a7",
    "#f28e2b",
    "#59a14f",
    "#e15759",
    "#76b7b2",
    "#edc948",
    "#b07aa1",
    "#9c755f",
    "#ff9da7",
    "#bab0ac",
)
"""Tableau 10: ten colours that stay apart from each other."""
DARK = frozenset({"#4e79a7", "#59a14f", "#e15759", "#b07aa1", "#9c755f"})
"""Those on which letters are white."""


def draw(ring: Mapping[str, Any]) -> str:
    """The SVG text of a ring as `cli.ring_commands.describe` gives it."""
    members = ring["members"]
    colours = {member["name"]: colour(place) for place, member in enumerate(members)}
    columns = math.ceil(len(members) / ROWS_PER_COLUMN)
    column_width = 220 + 9 * max(len(member["name"]) for member in members)
    width = LEGEND_LEFT + columns * column_width
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {2 * CENTRE}" '
        f'width="{width}" height="{2 * CENTRE}" font-family="sans-serif" font-size="14">',
        f"<title>A ring of {ring['partitions']} partitions and {len(members)} members</title>",
        '<rect width="100%" height="100%" fill="white"/>',
        *_pieces(ring, colours),
        *_marks(ring["partitions"]),
        *_middle(ring),
        *_legend(members, colours, column_width),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def colour(place: int) -> str:
    """The colour of the member at `place`: the palette's, and behind it hues far from the last.

    >>> colour(0), colour(10)
    ('#4e79a7', 'hsl(295, 55%, 62%)')
    """
    if place < len(PALETTE):
        return PALETTE[place]
    golden_angle = 137.508  # no two of many neighbours come close
    return f"hsl({place * golden_angle % 360:.0f}, 55%, {(62, 74, 50)[place // 10 % 3 - 1]}%)"


def _pieces(ring: Mapping[str, Any], colours: Mapping[str, str]) -> Iterator[str]:
    owners: Sequence[str] = ring["owners"]
    table = Ring(tuple(owners), ring["epoch"])
    letters = _letters(owners)
    border = 1.0 if len(owners) <= 128 else 0.0  # on narrow pieces white would be all one sees
    for partition, owner in enumerate(owners):
        holders = ", ".join(table.partition_owners(partition, ring["replicas"]))
        yield (
            f'<path d="{_piece(partition, len(owners))}" fill="{colours[owner]}" '
            f'stroke="white" stroke-width="{border}">'
            f"<title>partition {partition}: {escape(holders)}</title></path>"
        )
        if letters >= LEAST_LETTERS:
            yield _name_in_piece(owner, partition, len(owners), letters, colours[owner])


def _piece(partition: int, partitions: int) -> str:
    """The outline of one partition's part of the ring."""
    if partitions == 1:  # an arc can't end where it begins
        return _circle(OUTER) + _circle(INNER, sweep=0)
    (x1, y1), (x2, y2) = (_point(partition + step, partitions, OUTER) for step in (0, 1))
    (x3, y3), (x4, y4) = (_point(partition + step, partitions, INNER) for step in (1, 0))
    return (
        f"M{x1:.2f} {y1:.2f}A{OUTER} {OUTER} 0 0 1 {x2:.2f} {y2:.2f}"
        f"L{x3:.2f} {y3:.2f}A{INNER} {INNER} 0 0 0 {x4:.2f} {y4:.2f}Z"
    )


def _circle(radius: float, sweep: int = 1) -> str:
    half = f"A{radius} {radius} 0 1 {sweep} {CENTRE}"
    return f"M{CENTRE} {CENTRE - radius}{half} {CENTRE + radius}{half} {CENTRE - radius}Z"


def _point(partition: float, partitions: int, radius: float) -> tuple[float, float]:
    angle = 2 * math.pi * partition / partitions
    return CENTRE + radius * math.sin(angle), CENTRE - radius * math.cos(angle)


def _letters(owners: Sequence[str]) -> float:
    """The size of letters that fits the names along the radius, and into the inner arcs."""
    along = (OUTER - INNER - 12) / (0.62 * max(map(len, owners)))
    across = 2 * math.pi * INNER / len(owners) * 0.8
    return min(14.0, along, across)


def _name_in_piece(owner: str, partition: int, partitions: int, letters: float, fill: str) -> str:
    x, y = _point(partition + 0.5, partitions, (OUTER + INNER) / 2)
    turn = 360 * (partition + 0.5) / partitions - 90
    if turn > 90:  # on the left half the names would stand on their heads
        turn -= 180
    return (
        f'<text transform="translate({x:.2f} {y:.2f}) rotate({turn:.2f})" text-anchor="middle" '
        f'dy="0.35em" font-size="{letters:.1f}" fill="{"white" if fill in DARK else "#222"}" '
        f'pointer-events="none">{escape(owner)}</text>'
    )


def _marks(partitions: int) -> Iterator[str]:
    """The number of the partition that begins at each eighth of the circle."""
    for mark in range(0, partitions, max(1, partitions // 8)):
        x, y = _point(mark, partitions, OUTER + 20)
        x1, y1 = _point(mark, partitions, OUTER + 2)
        x2, y2 = _point(mark, partitions, OUTER + 8)
        yield f'<path d="M{x1:.2f} {y1:.2f}L{x2:.2f} {y2:.2f}" stroke="#666"/>'
        yield (
            f'<text x="{x:.2f}" y="{y:.2f}" dy="0.35em" text-anchor="middle" font-size="12" '
            f'fill="#666">{mark}</text>'
        )


def _middle(ring: Mapping[str, Any]) -> Iterator[str]:
    quorums = f"N={ring['replicas']} R={ring['read_quorum']} W={ring['write_quorum']}"
    members = len(ring["members"])
    texts = (
        (f"{ring['partitions']} partitions", 20, "#222"),
        (f"{members} member{'' if members == 1 else 's'}", 16, "#222"),
        (quorums, 14, "#666"),
        (f"epoch {ring['epoch']}", 14, "#666"),
    )
    for row, (text, size, fill) in enumerate(texts):
        yield (
            f'<text x="{CENTRE}" y="{CENTRE - 34 + 26 * row}" text-anchor="middle" '
            f'font-size="{size}" fill="{fill}">{text}</text>'
        )


def _legend(
    members: Sequence[Mapping[str, Any]], colours: Mapping[str, str], column_width: int
) -> Iterator[str]:
    for place, member in enumerate(members):
        column, row = divmod(place, ROWS_PER_COLUMN)
        x, y = LEGEND_LEFT + column * column_width, LEGEND_TOP + row * ROW_HEIGHT
        share = f"{member['owned']} owned, {member['share_percent']:.1f} %"
        fill = colours[member["name"]]
        yield (
            f'<rect x="{x}" y="{y - 12}" width="14" height="14" fill="{fill}"/>'
            f'<text x="{x + 22}" y="{y}" fill="#222"><title>{escape(member["address"] or "")}'
            f'</title>{escape(member["name"])}<tspan fill="#666" dx="10">{share}</tspan></text>'
        )
