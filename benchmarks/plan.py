"""What one benchmark measures: sizes, modes, connections, repeats and their bounds."""

from dataclasses import dataclass, replace

MODES = ("rcpt", "messages")


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a benchmark; the defaults are those of the published table."""

    sizes: tuple[int, ...] = (1_000, 100_000, 1_000_000)
    modes: tuple[str, ...] = MODES
    connections: tuple[int, ...] = (1, 16, 64)
    repeats: int = 3
    warmup_seconds: float = 2.0
    seconds: float = 4.0
    limit: int = 500_000  # decisions or messages of one run
    message_octets: int = 10_240

    def quick(self) -> "Plan":
        """A look in two minutes: one size, one repeat, shorter runs."""
        return replace(self, sizes=(100_000,), repeats=1, seconds=2.0)

    def runs(self, peers: int) -> int:
        """How often the load generator is run."""
        cells = len(self.sizes) * len(self.modes) * len(self.connections)
        return cells * self.repeats * peers
