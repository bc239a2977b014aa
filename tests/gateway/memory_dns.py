"""A Resolver in memory, for checks that need no packets."""

from collections.abc import Mapping, Sequence

from gateway.inspection.resolver import NOWHERE, Answer, DnsTrouble


class MemoryDns:
    """Records by "name TYPE"; names in `broken` fail. `asked` lists what was asked, in order."""

    def __init__(self, records: Mapping[str, Sequence[str]], broken: Sequence[str] = ()) -> None:
        self.records = {key.lower(): tuple(values) for key, values in records.items()}
        self.broken = set(broken)
        self.asked: list[str] = []

    async def ask(self, name: str, kind: str) -> Answer:
        key = f"{name.lower().rstrip('.')} {kind.lower()}"
        self.asked.append(f"{name} {kind}")
        if name.lower() in self.broken:
            raise DnsTrouble(name)
        if key in self.records:
            return Answer(self.records[key])
        owners = {known.partition(" ")[0] for known in self.records}
        below = f".{name.lower()}"
        exists = any(owner == name.lower() or owner.endswith(below) for owner in owners)
        return Answer(()) if exists else NOWHERE
