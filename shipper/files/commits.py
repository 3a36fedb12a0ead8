"""Commits: what changes in the files of all inputs is saved in the registry, and what was lost is
handed out to be shipped. All of it on one thread of the registry's own.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

from shipper.clock import Clock
from shipper.errors import RegistryError
from shipper.files.changes import Changes
from shipper.files.losses import Loss, LossId, StoredLoss
from shipper.files.records import Recorded
from shipper.files.registry import Registry
from shipper.internal_errors import InternalErrors, Where
from shipper.logs import Log
from shipper.logs.events import REGISTRY_COMMIT_FAILED, REGISTRY_COMMITTED
from shipper.metrics import Metrics
from shipper.offload import ThreadPool
from shipper.option_names import OWN_NAMES, OptionNames

_P = ParamSpec("_P")
_T = TypeVar("_T")


class RegistryThread:
    """Calls what blocks on the disk. One thread: a call whose waiter was cancelled is over before
    the next one begins."""

    def __init__(self) -> None:
        self._thread = ThreadPool("registry", each=1)

    async def __call__(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Calls it there, and waits for it."""
        return await self._thread(partial(call, *args, **kwargs))

    @property
    def hanging(self) -> int:
        """As `ThreadPool.hanging`."""
        return self._thread.hanging


class OnCommit(Protocol):
    """Who is told of each commit."""

    def __call__(self, source: Recorded, changes: Changes) -> None: ...


class Commits:
    """Saves the records and losses of all inputs."""

    def __init__(
        self,
        registry: Registry,
        thread: RegistryThread,
        *,
        unsaved: asyncio.Event,
        interval: float,
        clock: Clock,
        metrics: Metrics,
        log: Log,
        errors: InternalErrors,
        names: OptionNames = OWN_NAMES,
    ) -> None:
        """`unsaved`: set when there is something that the registry does not know yet. `interval`:
        seconds between two commits, at least. `names`: what messages call the options."""
        self._registry = registry
        self._thread = thread
        self._unsaved = unsaved
        self._interval = interval
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._errors = errors
        self._names = names
        #: In words, while commits fail; None otherwise.
        self.trouble: str | None = None
        # A commit is over when the next one begins: what it was handed is in the registry then, or
        # is part of the next one.
        self._lock = asyncio.Lock()

    async def run(self, inputs: Sequence[Recorded], on_commit: OnCommit) -> None:
        """Commits at once when something changed, and then not before the interval is over: even a
        life of a second leaves its trace, and an idle daemon does nothing."""
        while True:
            await self._unsaved.wait()
            self._unsaved.clear()
            await self.commit(inputs, on_commit)
            await self._clock.sleep(self._interval)

    async def commit(self, inputs: Sequence[Recorded], on_commit: OnCommit) -> None:
        """Saves what changed; what cannot be saved is part of the next commit. `on_commit` is told
        what is saved."""
        for source in inputs:
            async with self._lock:
                changes = source.records.changes()
                if not changes.is_empty and await self._save(source, changes):
                    self._errors.guarded(Where.COMMIT, partial(on_commit, source, changes))

    async def _save(self, source: Recorded, changes: Changes) -> bool:
        records = source.records
        began = self._clock.monotonic()
        try:
            await self._thread(
                self._registry.save,
                changes.records,
                changes.forgotten,
                losses=changes.losses,
                durable=changes.durable,
            )
        except RegistryError as error:
            records.failed(changes)
            self._unsaved.set()
            self.trouble = words = str(error.in_words_of(self._names))
            self._metrics.count("shipper_registry_commit_failures_total")
            self._log.emit(REGISTRY_COMMIT_FAILED, key="registry", error=words)
            return False
        except asyncio.CancelledError:
            # The thread may or may not succeed: saving the same once more is harmless.
            records.failed(changes)
            raise
        except Exception as error:
            records.failed(changes)
            self._unsaved.set()
            self.trouble = f"internal error: {type(error).__name__}"
            self._metrics.count("shipper_registry_commit_failures_total")
            self._errors.report(Where.COMMIT, error, input=source.input_id)
            return False
        records.committed(changes)
        for loss in changes.losses:
            self._metrics.count_loss(loss.reason.value, loss.bytes, loss.lines)
        self.trouble = None
        self._metrics.count("shipper_registry_commits_total")
        if self._log.debug_enabled:
            self._log.emit(
                REGISTRY_COMMITTED,
                input=source.input_id,
                rows=len(changes.records),
                deleted=len(changes.forgotten),
                duration=self._clock.monotonic() - began,
            )
        return True


class RecordedLosses:
    """The losses in the registry, for who ships them (`output.loss_shipper.LossStore`), and for who
    records those of dead letters (`output.dead_letter_losses.LossesOnce`)."""

    def __init__(self, registry: Registry, thread: RegistryThread) -> None:
        self._registry = registry
        self._thread = thread

    async def unshipped(self, limit: int) -> Sequence[StoredLoss]:
        """As `Registry.unshipped`."""
        return await self._thread(self._registry.unshipped, limit)

    async def record_once(self, name: str, losses: Sequence[Loss]) -> bool:
        """As `Registry.save_losses_once`."""
        return await self._thread(self._registry.save_losses_once, name, losses)

    async def losses_shipped(self, ids: Sequence[LossId]) -> None:
        """As `Registry.losses_shipped`."""
        await self._thread(self._registry.losses_shipped, ids)
