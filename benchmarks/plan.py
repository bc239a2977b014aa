"""How long and how often a benchmark measures, on how many rows, and which cases of them."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a benchmark; the defaults are those of the published table."""

    only: tuple[str, ...] = ()  # names of cases; none means all of them
    sizes: tuple[int, ...] = (1_000, 100_000, 1_000_000)  # aliases; most cases use the largest
    connections: tuple[int, ...] = (1, 16, 64)
    processes: int = 1  # of our gateway
    repeats: int = 3
    warmup_seconds: float = 2.0
    seconds: float = 3.0
    limit: int = 500_000  # decisions or messages of one run
    message_octets: int = 10_240
    large_octets: int = 2**20
    crowd_octets: int = 25_000_000
    crowd_connections: int = 50
    crowd_seconds: float = 12.0
    domain_sizes: tuple[int, ...] = (10, 10_000)
    domain_aliases: int = 100_000
    idle_connections: int = 1_000
    toggles: int = 1_000
    backlog: int = 1_000_000

    def quick(self) -> "Plan":
        """A look in six minutes: fewer rows, one repeat, shorter runs."""
        return replace(
            self,
            sizes=(1_000, 100_000),
            connections=(16,),
            repeats=1,
            warmup_seconds=1.0,
            seconds=1.5,
            crowd_seconds=6.0,
            domain_aliases=20_000,
            idle_connections=200,
            toggles=200,
            backlog=100_000,
        )

    @property
    def few(self) -> int:
        """Aliases of the smallest database."""
        return min(self.sizes)

    @property
    def many(self) -> int:
        """Aliases of the largest database."""
        return max(self.sizes)
