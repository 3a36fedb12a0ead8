"""Builds the stages from a configuration, owns their tasks, starts them and stops them in order.

The only module that knows all stages. On a signal: reading stops, what is read is sent, requests
under way may finish within `shutdown_timeout`, the registry commits. None of that is needed for
any promise: kill -9 at any moment loses nothing either.
"""

import asyncio
import contextlib
import platform
import random
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

from shipper import __version__
from shipper.admin.status import FileStatus, Status
from shipper.batch import Batcher
from shipper.budget import ByteBudget
from shipper.catalog import Catalog
from shipper.clock import Clock
from shipper.config.model import Compression, Config, Ids, InputConfig
from shipper.discovery import Watch, WakeUp
from shipper.encode import DocumentEncoder
from shipper.errors import RegistryError
from shipper.filesystem import FileSystem
from shipper.harvest import FollowedInput, Harvest
from shipper.logs import Log
from shipper.metrics import Metrics
from shipper.output.bulk import BulkSender
from shipper.output.dead_letter import DeadLetterFile
from shipper.output.hosts import Backoff, Hosts
from shipper.output.transport import HttpTransport
from shipper.registry import Registry
from shipper.tail import ReadBuffer, Tail

#: The version of the Elastic Common Schema that the documents follow.
_ECS_VERSION = "8.11.0"


class Daemon:
    """One running shipper."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        filesystem: FileSystem,
        rng: random.Random,
        log: Log,
    ) -> None:
        self._config = config
        self._clock = clock
        self._filesystem = filesystem
        self._rng = rng
        self._log = log
        self._metrics = Metrics()
        self._budget = ByteBudget(config.memory.max_bytes)
        self._stop = asyncio.Event()
        self._began = clock.monotonic()
        self._registry_trouble: str | None = None

    async def run(self) -> None:
        """Ships until a SIGTERM or SIGINT, or until it is cancelled.

        Raises:
            RegistryError: the data directory cannot be used.
            OutputError: the TLS settings cannot be used.
        """
        config = self._config
        transport = HttpTransport(config.output, self._clock)
        registry, aside = await asyncio.to_thread(Registry.open, Path(config.data_dir))
        if aside is not None:
            self._log.error(
                "the registry could not be read; a new one is begun, and the files are read from "
                "their beginning (what Elasticsearch has is not doubled)",
                put_aside=aside,
            )
        try:
            async with transport, asyncio.TaskGroup() as tasks:
                await self._ship(registry, transport, tasks)
        finally:
            await asyncio.to_thread(registry.close)

    async def _ship(
        self, registry: Registry, transport: HttpTransport, tasks: asyncio.TaskGroup
    ) -> None:
        config = self._config
        output = config.output
        backoff = Backoff(output.backoff.initial, output.backoff.max)
        hosts = Hosts(output.hosts, backoff, self._clock, self._rng)
        dead_letters = DeadLetterFile(
            Path(config.data_dir, "dead-letter.ndjson"), config.dead_letter.max_bytes
        )
        sender = BulkSender(
            transport=transport,
            hosts=hosts,
            backoff=backoff,
            dead_letters=dead_letters,
            budget=self._budget,
            clock=self._clock,
            rng=self._rng,
            metrics=self._metrics,
            log=self._log,
            max_in_flight=output.max_in_flight,
            tasks=tasks,
            on_end=lambda count: harvest.ended(count),
        )
        batcher = Batcher(
            self._clock,
            self._budget,
            sender.submit,
            max_bytes=output.bulk.max_bytes,
            max_events=output.bulk.max_events,
            linger=output.bulk.linger,
            gzip=output.compression is Compression.GZIP,
        )
        inputs = await self._inputs(registry)
        harvest = Harvest(
            inputs,
            filesystem=self._filesystem,
            batcher=batcher,
            budget=self._budget,
            clock=self._clock,
            metrics=self._metrics,
            log=self._log,
        )
        view = _View(self, inputs, harvest, sender, hosts)
        view.publish()
        reading = [
            tasks.create_task(harvest.run()),
            tasks.create_task(batcher.run()),
            *(
                tasks.create_task(self._watch(settings, source, harvest))
                for settings, source in zip(config.inputs, inputs, strict=True)
            ),
        ]
        serving = [
            tasks.create_task(sender.probe()),
            tasks.create_task(self._commit_regularly(registry, inputs)),
            *([tasks.create_task(self._serve(view))] if config.admin.enabled else []),
        ]
        with self._signals():
            self._log.info("shipper runs", version=__version__, data_dir=config.data_dir)
            await self._stop.wait()
            self._log.info("shipper stops: reading ends, what is under way is finished")
            await _cancel(reading)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(config.shutdown_timeout):
                    await batcher.flush()
                    await sender.drain()
            if abandoned := sender.abandon():
                self._log.warning(
                    "requests were not finished in time; the next start sends them again",
                    requests=abandoned,
                )
            await _cancel(serving)
            await self._commit(registry, inputs)
            for source in inputs:
                source.catalog.close()
            self._log.info("shipper ends", in_flight_events=harvest.in_flight_events)

    async def _inputs(self, registry: Registry) -> list[FollowedInput]:
        remembered = await asyncio.to_thread(registry.load)
        ephemeral_id = str(uuid.uuid4())
        inputs = []
        for settings in self._config.inputs:
            catalog = Catalog(
                settings.id,
                filesystem=self._filesystem,
                clock=self._clock,
                buffer=ReadBuffer(settings.max_line_bytes),
                remembered=[record for record in remembered if record.input_id == settings.id],
                new_row=registry.new_row,
            )
            encoder = DocumentEncoder(
                document_constants(self._config, settings, registry.agent_id, ephemeral_id),
                content_ids=self._config.output.ids is Ids.CONTENT,
                on_invalid=settings.on_invalid,
            )
            inputs.append(FollowedInput(settings.id, settings.paths, catalog, encoder, WakeUp()))
        return inputs

    async def _watch(
        self, settings: InputConfig, source: FollowedInput, harvest: Harvest
    ) -> None:
        def report(directory: str, error: OSError) -> None:
            error.filename = directory
            harvest.report_error("a directory cannot be watched; it is scanned regularly", error)

        interval = settings.scan_interval
        await Watch(self._clock, source.patterns, interval, source.bell, report).run()

    async def _commit_regularly(self, registry: Registry, inputs: list[FollowedInput]) -> None:
        while True:
            await self._clock.sleep(self._config.registry.commit_interval)
            await self._commit(registry, inputs)

    async def _commit(self, registry: Registry, inputs: list[FollowedInput]) -> None:
        for source in inputs:
            changes = source.catalog.changes()
            if not changes.records and not changes.forgotten:
                continue
            try:
                await asyncio.to_thread(registry.save, changes.records, changes.forgotten)
            except RegistryError as error:
                source.catalog.failed(changes)
                self._registry_trouble = str(error)
                self._metrics.count("shipper_registry_commit_failures_total")
                self._log.error("offsets could not be saved", key="registry", error=str(error))
            except asyncio.CancelledError:
                # The thread goes on, and may or may not succeed: saving once more is harmless.
                source.catalog.failed(changes)
                raise
            else:
                self._registry_trouble = None
                self._metrics.count("shipper_registry_commits_total")

    async def _serve(self, view: "_View") -> None:
        # aiohttp's server side is a tenth of a second of imports: after the first lines are read.
        from shipper.admin.server import AdminServer

        await AdminServer(
            self._config.admin.listen,
            status=view.status,
            metrics=self._metrics.exposition,
            clock=self._clock,
            log=self._log,
        ).run()
