"""The client of these tests reads back and deletes all that there is."""

from __future__ import annotations

import pytest

from tests.servers import SearchServer
from tests.servers.bulk import bulk, create, items
from tests.servers.client import count, delete_data_stream, refresh, search_all

pytestmark = pytest.mark.real_server


def test_search_all_returns_more_than_one_search_can(
    search_server: SearchServer, data_stream: str
) -> None:
    body = "".join(create(str(number), log={"offset": number}) for number in range(12_345))
    assert not bulk(search_server, data_stream, body).expect(200).json()["errors"]
    refresh(search_server.url, data_stream)
    hits = search_all(search_server.url, data_stream)
    assert {(hit["_id"], hit["_source"]["log"]["offset"]) for hit in hits} == {
        (str(number), number) for number in range(12_345)
    }
    assert count(search_server.url, data_stream) == len(hits)


def test_delete_data_stream_leaves_no_documents(
    search_server: SearchServer, data_stream: str
) -> None:
    bulk(search_server, data_stream, create("a")).expect(200)
    delete_data_stream(search_server.url, data_stream)
    assert count(search_server.url, data_stream) == 0
    assert items(bulk(search_server, data_stream, create("a")))[0]["status"] == 201
