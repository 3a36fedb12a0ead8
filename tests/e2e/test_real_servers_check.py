"""`shipper check` asks the real Elasticsearch and OpenSearch, and says what is wrong in words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import MakeShipper
from tests.e2e.checks import check
from tests.servers import SearchServer, client
from tests.servers.bulk import new_name
from tests.servers.stream import Stream
from tests.support.logdir import LogDirectory
from tests.support.reverse_proxy import ReverseProxy

pytestmark = pytest.mark.real_server


def test_check_finds_nothing_wrong_where_there_is_a_template(
    stream: Stream, log_directory: LogDirectory, tmp_path: Path
) -> None:
    done = check(tmp_path, log_directory, stream.output)
    assert (done.returncode, done.stderr) == (0, "")
    assert stream.server.url in done.stdout
    assert f"found one for {stream.name}" in done.stdout
    assert done.stdout.endswith("result: OK (1 UNKNOWN)\n")
    # Asking has made nothing.
    assert client.backing_indices(stream.server.url, stream.name) == []


def test_check_finds_nothing_wrong_where_lines_were_shipped(
    stream: Stream, log_directory: LogDirectory, shipper: MakeShipper, tmp_path: Path
) -> None:
    log_directory.write(5)
    daemon = shipper({"output": stream.output})
    daemon.start()
    daemon.wait_until(lambda: stream.count() >= 5, "all documents are there")
    assert daemon.sigterm() == 0
    done = check(tmp_path, log_directory, stream.output)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"OK +bulk request +[0-9,]+ bytes, gzip", done.stdout)
    assert re.search(r"OK +write permission", done.stdout)
    assert stream.count() == 5


def test_a_document_that_a_pipeline_would_make_a_good_one_is_not_stored(
    stream: Stream, log_directory: LogDirectory, tmp_path: Path
) -> None:
    url = stream.server.url
    client.request(
        url,
        "POST",
        f"/{stream.name}/_bulk",
        '{"create":{}}\n{"@timestamp":"2026-01-01T00:00:00Z"}\n',
    ).expect(200)
    # Only OpenSearch of the two has processors here.
    processors = [{"set": {"field": "@timestamp", "value": "{{{_ingest.timestamp}}}"}}]
    processors = processors if stream.server.name == "opensearch" else []
    client.request(
        url, "PUT", f"/_ingest/pipeline/{stream.name}", {"processors": processors}
    ).expect(200)
    done = check(tmp_path, log_directory, {**stream.output, "pipeline": stream.name})
    client.request(url, "DELETE", f"/_ingest/pipeline/{stream.name}").expect(200)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"OK +write permission", done.stdout)
    assert re.search(rf"OK +pipeline +{stream.name}", done.stdout)
    assert stream.count() == 1
    done = check(tmp_path, log_directory, {**stream.output, "pipeline": "of-nobody"})
    assert done.returncode == 1
    assert "pipeline with id [of-nobody] does not exist" in done.stdout
    assert re.search(r"FAILED +pipeline +of-nobody does not exist", done.stdout)
    assert stream.count() == 1


def test_a_write_block_is_found_and_no_field_is_mapped(
    stream: Stream, log_directory: LogDirectory, shipper: MakeShipper, tmp_path: Path
) -> None:
    log_directory.write(2)
    daemon = shipper({"output": stream.output})
    daemon.start()
    daemon.wait_until(lambda: stream.count() >= 2, "all documents are there")
    assert daemon.sigterm() == 0
    stream.change_settings({"index.blocks.write": True})
    done = check(tmp_path, log_directory, stream.output)
    stream.change_settings({"index.blocks.write": None})
    assert done.returncode == 1
    assert re.search(r"FAILED +write permission .*FORBIDDEN/8/index write", done.stdout)
    assert stream.count() == 2


def test_a_proxy_that_takes_content_encoding_away_is_found(
    stream: Stream, log_directory: LogDirectory, tmp_path: Path
) -> None:
    with ReverseProxy(stream.server.url, drop=frozenset({"content-encoding"})) as proxy:
        output = {**stream.output, "hosts": [proxy.url]}
        done = check(tmp_path, log_directory, output)
        assert done.returncode == 1
        assert re.search(
            r"FAILED +bulk request .*something on the way removes Content-Encoding", done.stdout
        )
        assert "set output.compression to none" in done.stdout
        done = check(tmp_path, log_directory, {**output, "compression": "none"})
        assert (done.returncode, done.stderr) == (0, "")


def test_a_limit_of_the_size_on_the_way_is_found(
    stream: Stream, log_directory: LogDirectory, tmp_path: Path
) -> None:
    with ReverseProxy(stream.server.url, limit=100_000) as proxy:
        done = check(tmp_path, log_directory, {**stream.output, "hosts": [proxy.url]})
    assert done.returncode == 0
    assert re.search(r"WARNING +bulk request .*is refused: HTTP 413", done.stdout)


def test_check_says_that_the_template_is_missing_and_what_to_do(
    search_server: SearchServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    stream = Stream(search_server, new_name())
    done = check(tmp_path, log_directory, stream.output)
    assert (done.returncode, done.stderr) == (1, "")
    assert re.search(rf"FAILED +template +none found for {stream.name}", done.stdout)
    assert "-> install the Tetragon integration" in done.stdout
    assert done.stdout.endswith("result: FAILED (1 FAILED)\n")
    assert client.count(search_server.url, stream.name) == 0


def test_check_says_that_the_data_stream_is_a_plain_index(
    search_server: SearchServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    stream = Stream(search_server, new_name())
    client.request(search_server.url, "PUT", f"/{stream.name}").expect(200)
    done = check(tmp_path, log_directory, stream.output)
    client.request(search_server.url, "DELETE", f"/{stream.name}").expect(200)
    assert (done.returncode, done.stderr) == (1, "")
    assert re.search(rf"FAILED +data stream +{stream.name} is a plain index", done.stdout)


def test_check_says_that_the_template_makes_no_data_stream(
    search_server: SearchServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    stream = Stream(search_server, new_name())
    template = {"index_patterns": [stream.name], "priority": 500, "template": {}}
    path = f"/_index_template/{stream.name}"
    client.request(search_server.url, "PUT", path, template).expect(200)
    done = check(tmp_path, log_directory, stream.output)
    client.request(search_server.url, "DELETE", path).expect(200)
    assert (done.returncode, done.stderr) == (1, "")
    assert re.search(r"FAILED +template .*data.stream", done.stdout)
