"""What stands in the way of links in `.shipper`, for an operator: which directories of logs, and of
what kind the problem is.

A problem is told once, is there as long as each scan meets it again, and goes with the first link
that can be made, or when nothing there has to be linked any more.
"""

import errno
from collections.abc import Mapping
from enum import Enum

from msgspec import Struct


class LinkProblem(Enum):
    """Why no link can be made."""

    READ_ONLY = "read_only"
    #: Also where `.shipper` belongs to another user.
    PERMISSION = "permission"
    NO_SPACE = "no_space"
    #: The file system has no hard links, or none from there.
    UNSUPPORTED = "unsupported"
    #: Something else has the name `.shipper`.
    NOT_A_DIRECTORY = "not_a_directory"
    LOCKED = "locked"
    OTHER = "other"


_PROBLEMS = {
    errno.EROFS: LinkProblem.READ_ONLY,
    errno.EACCES: LinkProblem.PERMISSION,
    errno.EPERM: LinkProblem.PERMISSION,
    errno.ENOSPC: LinkProblem.NO_SPACE,
    errno.EDQUOT: LinkProblem.NO_SPACE,
    errno.EXDEV: LinkProblem.UNSUPPORTED,
    errno.EOPNOTSUPP: LinkProblem.UNSUPPORTED,
    errno.ENOSYS: LinkProblem.UNSUPPORTED,
    errno.ELOOP: LinkProblem.NOT_A_DIRECTORY,
    errno.ENOTDIR: LinkProblem.NOT_A_DIRECTORY,
    errno.EWOULDBLOCK: LinkProblem.LOCKED,
}


class _Met(Struct):
    problem: LinkProblem
    #: The last scan that met it.
    scan: int


class LinkProblems:
    """The directories of one input in which no links can be made."""

    def __init__(self) -> None:
        self._met: dict[str, _Met] = {}
        self._scan = 0

    def begin_scan(self) -> None:
        """A scan begins, in which every link that is missing is tried again. Forgets what the one
        before did not meet."""
        self._met = {place: met for place, met in self._met.items() if met.scan == self._scan}
        self._scan += 1

    def meet(self, place: str, error: OSError) -> bool:
        """No link could be made beside the logs in `place`. Returns whether that is new."""
        is_new = place not in self._met
        problem = _PROBLEMS.get(error.errno or 0, LinkProblem.OTHER)
        self._met[place] = _Met(problem, self._scan)
        return is_new

    def solve(self, place: str) -> None:
        """A link was made there, or nothing is kept there any more."""
        self._met.pop(place, None)

    @property
    def counts(self) -> Mapping[LinkProblem, int]:
        """How many directories have which problem."""
        counts = dict.fromkeys(LinkProblem, 0)
        for met in self._met.values():
            counts[met.problem] += 1
        return counts
