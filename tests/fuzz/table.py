"""All targets, by name."""

from __future__ import annotations

from tests.fuzz.target import Target
from tests.fuzz.targets import (
    admin,
    answers,
    commands,
    configuration,
    dead_letters,
    documents,
    files,
    golang,
    logs,
    registry,
    secrets,
)

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (
        answers,
        secrets,
        commands,
        dead_letters,
        registry,
        files,
        documents,
        golang,
        admin,
        configuration,
        logs,
    )
    for target in module.TARGETS
}
