"""`shipper check` as a process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.support.logdir import LogDirectory


def check(
    tmp_path: Path, log_directory: LogDirectory, output: dict[str, object]
) -> subprocess.CompletedProcess[str]:
    """Return what ``shipper check`` said and ended with."""
    config = tmp_path / "check.yml"
    # JSON is YAML.
    source = {"id": "tetragon", "paths": [log_directory.glob]}
    config.write_text(
        json.dumps(
            {
                "inputs": [source],
                "data_dir": str(tmp_path / "data"),
                "admin": {"enabled": False},
                "output": output,
            }
        )
    )
    return subprocess.run(
        [sys.executable, "-m", "shipper", "check", "-c", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
