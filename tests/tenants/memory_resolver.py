"""A Resolver whose zones are a dictionary: what is in it is found, the rest is absent.

`is_down` makes every name server fail to answer, which is not the same as absent; `breaks_on`
names the errors of a mistake of ours.
"""

from dataclasses import dataclass, field

from tenants.dns import Delegation, Expected, NameServer, Outcome, ServerAnswer

SERVER = NameServer("ns1.test", ("192.0.2.53",))


@dataclass(slots=True)
class MemoryResolver:
    records: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    is_down: bool = False
    breaks_on: dict[str, Exception] = field(default_factory=dict)
    questions: int = 0

    @classmethod
    def publishing(cls, *expected: Expected) -> "MemoryResolver":
        """A resolver that finds exactly these records."""
        return cls({(record.name, record.rdtype): record.values for record in expected})

    def begin(self) -> "MemoryResolver":
        return self

    def delegation(self, name: str) -> Delegation:
        return Delegation(name, (SERVER,))

    def query(self, server: NameServer, name: str, rdtype: str) -> ServerAnswer:
        self.questions += 1
        if name in self.breaks_on:
            raise self.breaks_on[name]
        if self.is_down:
            return ServerAnswer(server, Outcome.FAILED, reason="SERVFAIL")
        found = self.records.get((name, rdtype))
        if found is None:
            return ServerAnswer(server, Outcome.ABSENT, reason="NXDOMAIN")
        return ServerAnswer(server, Outcome.FOUND, found, 300, "192.0.2.53")

    def resolve(self, name: str, rdtype: str) -> ServerAnswer:
        return self.query(SERVER, name, rdtype)
