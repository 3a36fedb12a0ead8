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
    assert re.search(r"OK +write permission", done.stdout)
    assert stream.count() == 5


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
