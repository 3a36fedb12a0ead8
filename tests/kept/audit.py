"""What arrived and what is recorded as lost, compared with what was written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shipper.files.losses import Loss
from tests.kept.model import Content

NUMBER = re.compile(r'{"n":([0-9]+),')


@dataclass(frozen=True, slots=True)
class Audit:
    """Of one history, at its end."""

    contents: Sequence[Content]
    #: What the cluster has, by `_id`.
    documents: Mapping[str, Mapping[str, Any]]
    losses: Sequence[Loss]
    #: Whether something may be recorded as lost that is there: it was acknowledged, and that was
    #: forgotten.
    forgetful: bool

    def check(self) -> None:
        """Every line arrived once, as it was written, or is in a range that is recorded."""
        delivered: dict[int, list[str]] = {}
        for document in self.documents.values():
            if document.get("event", {}).get("action") == "log-lines-lost":
                continue
            message = str(document["message"])
            number = NUMBER.match(message)
            assert number, f"a line is delivered in one piece: {message}"
            delivered.setdefault(int(number[1]), []).append(message)
        doubled = {number: found for number, found in delivered.items() if len(found) > 1}
        assert doubled == {}, "nothing is delivered twice"
        missing = []
        for content in self.contents:
            of_content = [each for each in self.losses if _is_of(each, content)]
            for line in content.lines:
                found = delivered.get(line.number)
                if found is not None:
                    assert found == [line.text.decode()], "what is delivered is what was written"
                    continue
                known = content.known is None or line.start < content.known
                lost = any(each.start <= line.start < each.end for each in of_content)
                if known and not lost and not line.optional:
                    missing.append((line.number, line.start, content.names))
            for loss in of_content:
                self._check_loss(content, loss, delivered)
        assert missing == [], f"what is missing is recorded: {missing}; recorded is {self.losses}"

    def _check_loss(self, content: Content, loss: Loss, delivered: dict[int, list[str]]) -> None:
        if loss.lines is None:
            return
        lost = [each for each in content.lines if loss.start <= each.start < loss.end]
        # What is in flight when the end of its file is cut off is read again, and may be given up.
        if self.forgetful or any(line.is_cut for line in content.lines):
            # What was cut off before it was known is not in the record of what took its place.
            absent = sum(each.number not in delivered and not each.optional for each in lost)
            assert absent - 1 <= loss.lines <= len(lost), f"a record of {content.names}: {loss}"
            return
        # Whether half a line counts is a matter of taste.
        least = len(lost) - bool(lost and lost[-1].rest)
        assert least <= loss.lines <= len(lost), f"a record of {content.names}: {loss}"
        there = [each.number for each in lost if each.number in delivered]
        assert there == [], f"what is recorded as lost is not there: {loss}"


def _is_of(loss: Loss, content: Content) -> bool:
    if loss.identity:
        return loss.identity == content.identity
    return loss.path in content.names
