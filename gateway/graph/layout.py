"""Places for the nodes of a tree: a column for each step, a line for each end.

A node stands beside the first of what follows it, so that the way in is at the top however many
targets there are; lines leave it to the right and run down beside the column.
"""

from dataclasses import dataclass, field

from gateway.graph.tree import Node

# Units of the picture, which are pixels where it is shown in its own size.
WIDTH, HEIGHT = 204, 46
GAP, LEADING = 28, 12
MARGIN = 2
LONGEST = 23  # characters of a title that fit into a box; of the smaller line below, a few more
LONGEST_BELOW = 29


@dataclass(frozen=True, slots=True)
class Box:
    """A node with its upper left corner, and its texts as long as fits."""

    node: Node
    x: int
    y: int

    @property
    def title(self) -> str:
        return shorten(self.node.title)

    @property
    def about(self) -> str:
        """The line below: what became of it, or how it gets there."""
        node = self.node
        is_plain = node.state == "taken" or node.kind == "recipient"
        parts = (node.note or node.via or node.kind,) if is_plain else (node.state, node.note)
        return below(": ".join(filter(None, parts)))

    @property
    def is_via(self) -> bool:
        """Whether the line below names the next hop."""
        return bool(self.node.via) and self.about == below(self.node.via)

    @property
    def text_x(self) -> int:
        return self.x + 12

    @property
    def title_y(self) -> int:
        return self.y + 19

    @property
    def about_y(self) -> int:
        return self.y + 36


@dataclass(frozen=True, slots=True)
class Edge:
    """A line from the right of one box to the left of another."""

    start: Box
    end: Box

    @property
    def path(self) -> str:
        """As SVG writes it: right, down where the end stands lower, right."""
        x, y = self.start.x + WIDTH, self.start.y + HEIGHT // 2
        middle, down = x + GAP // 2, self.end.y + HEIGHT // 2
        turn = f" H{middle} V{down}" if down != y else ""
        return f"M{x} {y}{turn} H{self.end.x}"


@dataclass(slots=True)
class Picture:
    """All boxes and lines, and the size that holds them."""

    boxes: list[Box] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    box_width: int = WIDTH
    box_height: int = HEIGHT

    @property
    def width(self) -> int:
        return max(box.x for box in self.boxes) + WIDTH + MARGIN

    @property
    def height(self) -> int:
        return max(box.y for box in self.boxes) + HEIGHT + MARGIN


def place(root: Node) -> Picture:
    """The picture of a tree: no two boxes overlap, and each has its own line to what it follows."""
    picture = Picture()
    _place(root, 0, 0, picture)
    return picture


def _place(node: Node, column: int, line: int, picture: Picture) -> tuple[Box, int]:
    """Place a node and all that follows it from a line on; the box and the next free line."""
    box = Box(node, MARGIN + column * (WIDTH + GAP), MARGIN + line * (HEIGHT + LEADING))
    picture.boxes.append(box)
    free = line
    for child in node.children:
        end, free = _place(child, column + 1, free, picture)
        picture.edges.append(Edge(box, end))
    return box, max(free, line + 1)


def shorten(text: str) -> str:
    """At most LONGEST characters: of an address its beginning and its domain's end."""
    if len(text) <= LONGEST:
        return text
    tail = LONGEST // 2 - 1
    return f"{text[: LONGEST - tail - 1]}…{text[-tail:]}"


def below(text: str) -> str:
    """The line below a title, as much of its beginning as fits."""
    return text if len(text) <= LONGEST_BELOW else f"{text[: LONGEST_BELOW - 1]}…"
