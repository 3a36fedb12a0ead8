"""`shipper check` finds a Filebeat that still runs, and a registry that is imported or is not."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shipper.check.filebeat import check_filebeat
from shipper.check.findings import Finding, Status
from shipper.config.inputs import InputConfig
from shipper.config.model import Config, RegistryConfig
from shipper.config.outputs import OutputConfig
from shipper.config.units import HostList
from tests.support.filebeat import INPUT, FilebeatRegistry
from tests.support.logdir import LogDirectory


@pytest.fixture
def config(tmp_path: Path, log_directory: LogDirectory) -> Config:
    return Config(
        inputs=(InputConfig(INPUT, (log_directory.glob,)),),
        data_dir=str(tmp_path / "data"),
        output=OutputConfig(HostList(["http://es"])),
    )


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc in which nothing runs."""
    path = tmp_path / "proc"
    path.mkdir()
    (path / "locks").touch()
    return path


def running(proc: Path, number: int, *arguments: str, files: tuple[Path, ...] = ()) -> None:
    (proc / str(number) / "fd").mkdir(parents=True)
    (proc / str(number) / "cmdline").write_bytes("\0".join((*arguments, "")).encode())
    for index, path in enumerate(files):
        (proc / str(number) / "fd" / str(index)).symlink_to(path)


def checked(config: Config, proc: Path, *logs: Path, **places: Any) -> list[Finding]:
    return check_filebeat(config, [str(path) for path in logs], proc=proc, **places)


class TestRunning:
    def test_one_that_reads_the_same_file_is_named(
        self, config: Config, proc: Path, log_directory: LogDirectory
    ) -> None:
        log_directory.write(1)
        running(proc, 12, "/usr/share/filebeat/bin/filebeat", "-e", files=(log_directory.log,))
        (found,) = checked(config, proc, log_directory.log, places=())
        assert (found.subject, found.check, found.status) == ("Filebeat", "running", Status.WARNING)
        assert found.detail.startswith(f"it runs (process 12), and reads {log_directory.log}, too")
        assert "stop it" in found.what_to_do

    def test_one_whose_files_are_others_is_a_warning_too(self, config: Config, proc: Path) -> None:
        running(proc, 12, "filebeat")
        (found,) = checked(config, proc, Path("/logs/a.log"), places=())
        assert found.status is Status.WARNING
        assert "could not be seen, or they are others" in found.detail

    def test_what_is_no_filebeat_is_left_out(self, config: Config, proc: Path) -> None:
        # shipper's own command of that name, others that have it among their arguments, threads of
        # the kernel.
        running(proc, 12, "/usr/bin/python3", "/usr/local/bin/filebeat", "-e")
        running(proc, 13, "/bin/sh", "-c", "filebeat")
        running(proc, 14)
        running(proc, 15, "/usr/bin/metricbeat")
        assert checked(config, proc, places=()) == []

    def test_a_process_that_ends_meanwhile_is_none(self, config: Config, proc: Path) -> None:
        (proc / "12").mkdir()
        assert checked(config, proc, places=()) == []


class TestRegistry:
    def test_what_the_first_start_imports_is_said(
        self, config: Config, proc: Path, log_directory: LogDirectory
    ) -> None:
        log_directory.write(3)
        registry = FilebeatRegistry(Path(config.data_dir))
        registry.read(log_directory.log, log_directory.log.stat().st_size)
        (found,) = checked(config, proc, places=())
        assert (found.check, found.status) == ("registry", Status.OK)
        assert f"imports the registry in {registry.directory}: 1 file of 1 go on" in found.detail

    def test_where_a_registry_of_our_own_is_none_is_imported(
        self, config: Config, proc: Path
    ) -> None:
        registry = FilebeatRegistry(Path(config.data_dir))
        (Path(config.data_dir) / "registry.db").touch()
        assert checked(config, proc, places=(registry.data,)) == []

    def test_a_filebeat_that_has_it_locked_is_wrong(self, config: Config) -> None:
        registry = FilebeatRegistry(Path(config.data_dir))
        with (registry.data / "filebeat.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            failed, imported = check_filebeat(config, [], places=())
        assert (failed.check, failed.status) == ("registry", Status.FAILED)
        assert "Filebeat still runs with the registry" in failed.detail
        assert imported.status is Status.OK

    def test_one_in_another_place_is_a_warning(
        self, config: Config, proc: Path, tmp_path: Path
    ) -> None:
        registry = FilebeatRegistry(tmp_path / "filebeat")
        places = (tmp_path / "no", registry.data)
        (found,) = checked(config, proc, places=places)
        assert found.status is Status.WARNING
        assert found.detail == f"there is a registry in {registry.data}, which is not imported"
        assert "registry.import_from" in found.what_to_do
        named = msgspec.structs.replace(config, registry=RegistryConfig(import_from="none"))
        assert checked(named, proc, places=places) == []

    def test_a_directory_without_one_is_a_warning_where_it_is_named(
        self, config: Config, proc: Path, tmp_path: Path
    ) -> None:
        place = str(tmp_path / "no")
        named = msgspec.structs.replace(config, registry=RegistryConfig(import_from=place))
        (found,) = checked(named, proc, places=())
        assert found.status is Status.WARNING
        assert found.detail == f"no registry of Filebeat in {place}: nothing is imported"

    def test_one_that_cannot_be_read_is_wrong(self, config: Config, proc: Path) -> None:
        above = Path(config.data_dir) / "registry"
        above.mkdir(parents=True)
        (above / "filebeat").symlink_to(above / "filebeat")
        (found,) = checked(config, proc, places=())
        assert (found.check, found.status) == ("registry", Status.FAILED)
        assert "too many levels of symbolic links" in found.detail

    def test_what_of_it_is_damaged_is_a_warning(self, config: Config, proc: Path) -> None:
        registry = FilebeatRegistry(Path(config.data_dir))
        registry.log.write_text("{\n")
        imported, damaged = checked(config, proc, places=())
        assert (imported.status, damaged.status) == (Status.OK, Status.WARNING)
