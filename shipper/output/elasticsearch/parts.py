"""Parts of a body, and what becomes of them: pure functions from an answer to the next step."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from shipper.output.dead_letter import index_of
from shipper.output.elasticsearch.answers import ItemResults, Rejection
from shipper.output.elasticsearch.evidence import ENOUGH_TRIES, Evidence, Suspicion
from shipper.pipeline.batch import Body


@dataclass(slots=True)
class Part:
    """Events that are sent together until each has its outcome."""

    body: Body
    #: Consecutive failures without progress.
    failures: int = 0
    #: Failures of the whole request, rejected events, and events with a 500.
    request: Suspicion = field(default_factory=Suspicion)
    rejected: Suspicion = field(default_factory=Suspicion)
    failing: Suspicion = field(default_factory=Suspicion)
    #: Whether others got through where it failed: it is sent beside them, in a lane of its own.
    is_suspect: bool = False
    #: How many of its events were sent by themselves while nothing got through.
    probes: int = 0
    #: Whether other events of its request were accepted: then its failures say nothing of the host.
    is_remainder: bool = False

    def halves(self, *, same_way: bool) -> tuple["Part", "Part"]:
        """Both halves of its events. `same_way`: what is known of this part counts for each of
        them, so one that fails in the same way is halved in turn; else nothing is known."""
        events, half = self.body.events, self.body.events // 2
        return self._with(range(half), same_way), self._with(range(half, events), same_way)

    def probe(self, index: int) -> tuple["Part", "Part"]:
        """One of its events, and the others, of which all that is known stays known."""
        events = self.body.events
        others = [each for each in range(events) if each != index]
        rest = replace(self, body=self.body.only(others), probes=self.probes + 1)
        return Part(self.body.only([index])), rest

    def _with(self, indexes: range, same_way: bool) -> "Part":
        part = Part(self.body.only(list(indexes)), is_suspect=self.is_suspect)
        if same_way:
            part.request = replace(self.request, hosts=set(self.request.hosts))
        return part


@dataclass(frozen=True, slots=True)
class Sorted:
    """Rejected events, by whose fault it is."""

    #: Their own: dead letters.
    final: tuple[Rejection, ...] = ()
    #: Unclear.
    waiting: tuple[Rejection, ...] = ()


def sort_rejected(
    part: Part, results: ItemResults, evidence: Evidence, host: str, number: int, now: float
) -> Sorted:
    """Sorts the rejected events of an answer, and those with a 500; notes what the answer is
    evidence of. `number`: that of the request."""
    created = results.created(part.body.events)
    if results.rejected or results.server_errors or (created and evidence.is_wanted(now)):
        names = index_names(part.body)
    else:
        # Nothing waits for evidence.
        names = None
    here = {names[index] for index in created} if names is not None else set()
    if created:
        evidence.created(number, here)
    if names is None:
        return Sorted()
    final: list[Rejection] = []
    waiting: list[Rejection] = []
    for rejection in results.rejected:
        index = names[rejection.index]
        is_own_fault = (
            evidence.rejections_are_final or index in here or evidence.proves(index, part.rejected)
        )
        (final if is_own_fault else waiting).append(rejection)
    if waiting:
        part.rejected.again("rejected", host, evidence.mark, now)
        is_first = part.rejected.tries == 1
        evidence.rejected(len(waiting), waiting[0].reason, now, first=is_first)
        if part.rejected.tries >= ENOUGH_TRIES and evidence.are_few:
            final, waiting = [*final, *waiting], []
    if results.server_errors:
        part.failing.again("failing", host, evidence.mark, now)
        evidence.want(now)
        if part.failing.tries >= ENOUGH_TRIES:
            final += [
                each
                for each in results.server_errors
                if evidence.proves(names[each.index], part.failing)
            ]
    return Sorted(tuple(final), tuple(waiting))


def index_names(body: Body) -> Sequence[str]:
    """The index of each event, if its action names one; else all are empty."""
    actions = body.lines()[::2]
    if not actions or b'"_index"' not in actions[0]:
        return [""] * len(actions)
    return [index_of(action) for action in actions]
