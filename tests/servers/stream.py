"""A data stream as whoever searches it sees it: how many documents, which, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shipper.demo.audit import Audit, LineCounts
from tests.servers import client
from tests.servers.bulk import new_name
from tests.servers.launcher import SearchServer


@dataclass(frozen=True, slots=True)
class Stream:
    """A data stream of a server."""

    server: SearchServer
    name: str

    @property
    def output(self) -> dict[str, object]:
        """The section of a configuration that ships to it."""
        return {"hosts": [self.server.url], "data_stream": self.name}

    def count(self) -> int:
        """Return how many documents there are now; 0 when there is no data stream."""
        return client.count(self.server.url, self.name) if self._refresh() else 0

    def hits(self) -> list[dict[str, Any]]:
        """Return all documents with their ids, those of a file in the order of its lines."""
        if not self._refresh():
            return []
        return sorted(client.search_all(self.server.url, self.name), key=lambda hit: hit["_id"])

    def audit(self, written: int) -> Audit:
        """Read all documents back; say what became of the numbered lines 0 to ``written`` - 1."""
        counts = LineCounts()
        for hit in self.hits():
            # An id is unique within one backing index alone.
            counts.take(f"{hit['_index']}/{hit['_id']}", hit["_source"]["message"].encode())
        return counts.audit(written)

    def change_settings(self, settings: dict[str, object]) -> None:
        """Change settings of the indices behind it; None puts one back to its default."""
        path = f"/{self.name}/_settings"
        client.request(self.server.url, "PUT", path, settings).expect(200)

    def delete(self) -> None:
        """Delete its documents, and itself where the server can do that."""
        client.delete_data_stream(self.server.url, self.name)

    def _refresh(self) -> bool:
        """Make documents visible to searches; False when there is no data stream yet."""
        if not client.backing_indices(self.server.url, self.name):
            return False
        client.refresh(self.server.url, self.name)
        return True


def new_stream(
    server: SearchServer,
    mappings: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
) -> Stream:
    """Return a new data stream, with a template; ``mappings`` is ``client.MAPPINGS`` by default."""
    name = new_name()
    client.put_data_stream_template(server.url, name, name, mappings, settings)
    return Stream(server, name)
