"""The systemd unit agrees with the configuration beside it, and systemd finds no fault in it."""

from __future__ import annotations

import shutil
import subprocess
from collections import defaultdict
from pathlib import Path, PurePosixPath

import pytest

from tests.deploy.conftest import LoadText
from tests.deploy.manifests import DEPLOY

UNIT = DEPLOY / "systemd" / "shipper.service"
CONFIG = (DEPLOY / "systemd" / "shipper.yml").read_text()
EXPOSURE = 20
"""What `systemd-analyze security` may find at most, in tenths: below 2 is its best grade."""


@pytest.fixture
def service() -> dict[str, list[str]]:
    """The settings of the unit's [Service] section, each with all its values."""
    settings = defaultdict(list)
    section = ""
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line and not line.startswith("#"):
            name, _, value = line.partition("=")
            settings[name].append(value)
    return dict(settings)


def test_the_key_is_where_the_configuration_looks_for_it(
    service: dict[str, list[str]], load_text: LoadText
) -> None:
    (credential,) = service["LoadCredential"]
    name = credential.partition(":")[0]
    config = load_text(CONFIG, {"CREDENTIALS_DIRECTORY": "/run/credentials/some.service"})
    assert config.output.api_key_file == f"/run/credentials/some.service/{name}"


def test_a_command_by_hand_finds_the_key_of_the_running_service(load_text: LoadText) -> None:
    directory = PurePosixPath(load_text(CONFIG, {}).output.api_key_file).parent
    assert directory == PurePosixPath("/run/credentials", UNIT.name)


def test_the_data_directory_is_the_one_that_systemd_makes(
    service: dict[str, list[str]], load_text: LoadText
) -> None:
    (state,) = service["StateDirectory"]
    assert load_text(CONFIG, {}).data_dir == f"/var/lib/{state}"


def test_it_has_longer_to_stop_than_shipper_takes(
    service: dict[str, list[str]], load_text: LoadText
) -> None:
    (seconds,) = service["TimeoutStopSec"]
    assert int(seconds) > load_text(CONFIG, {}).shutdown_timeout


def test_it_is_always_started_again_except_with_a_wrong_configuration(
    service: dict[str, list[str]],
) -> None:
    assert service["Restart"] == ["always"]
    assert service["RestartPreventExitStatus"] == ["2"]


def test_it_is_root_without_any_capability(service: dict[str, list[str]]) -> None:
    assert "User" not in service
    assert "DynamicUser" not in service
    assert service["CapabilityBoundingSet"] == [""]
    assert service["NoNewPrivileges"] == ["yes"]
    assert service["ProtectSystem"] == ["strict"]


def test_systemd_finds_no_fault_in_it_and_little_exposure(
    service: dict[str, list[str]], tmp_path: Path
) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("NOT TESTED: the unit as systemd reads it: systemd-analyze is not installed")
    # verify wants the program to be there.
    (command,) = service["ExecStart"]
    installed = tmp_path / UNIT.name
    installed.write_text(UNIT.read_text().replace(command.partition(" ")[0], "/bin/true"))
    for question in (["verify"], ["security", "--offline=true", f"--threshold={EXPOSURE}"]):
        answer = subprocess.run(
            ["systemd-analyze", *question, "--no-pager", str(installed)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert answer.returncode == 0, answer.stdout
        # verify reads the units that it depends on too, which are the machine's own affair.
        said = [line for line in answer.stderr.splitlines() if UNIT.name in line]
        assert said == []
