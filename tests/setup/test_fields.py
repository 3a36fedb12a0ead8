"""The types of fields are those of the integration's list, which is beside this file by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shipper.setup.fields import FIELDS, LABELS, NEXT_BEST

GUIDE = dict(
    line.split("\t")
    for line in Path(__file__).with_name("guide_fields.tsv").read_text().splitlines()
)


def test_the_list_of_the_guide_is_all_there() -> None:
    assert len(GUIDE) == 168


@pytest.mark.parametrize("name", GUIDE)
def test_a_field_has_the_type_that_the_guide_has(name: str) -> None:
    # Labels are one field that takes any of them: see the module.
    field, labels = re.subn(r"\.pod_labels\..*", ".pod_labels", name)
    assert FIELDS[field] == (LABELS if labels else GUIDE[name])


def test_no_field_stands_where_others_are_below_it() -> None:
    for name in FIELDS:
        assert not any(other.startswith(f"{name}.") for other in FIELDS), name


def test_every_replacement_ends_with_a_type_that_all_servers_have() -> None:
    for wanted in NEXT_BEST:
        seen = []
        while wanted in NEXT_BEST:
            assert wanted not in seen
            seen.append(wanted)
            wanted = NEXT_BEST[wanted]
        assert wanted in ("keyword", "text", "an object that is not searched")
