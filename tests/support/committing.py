"""Commits without a registry."""

from __future__ import annotations

from shipper.files.tracked_input import TrackedInput


async def committing(source: TrackedInput) -> None:
    """Take what changed, as if the registry had it now."""
    records = source.catalog.records
    records.committed(records.changes())
