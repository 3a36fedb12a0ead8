"""The limiter with clusters of many shapes: as fast as the best fixed number of requests, with a
fraction of the rejections, and a fair share for all who share a cluster.

Each test is statistics over a minute or more of virtual time; the seeds are fixed.
"""

from __future__ import annotations

import functools

import pytest

from tests.simulation.cluster import Cluster, Shape, Shipper, World

MOST = 32
WORKERS = (2, 4, 8, 16)
QUEUES = (0, 2, 10, 50)


def seconds_of(shape: Shape) -> float:
    """Return how long to look: hundreds of requests of each worker, and several backoffs."""
    return max(60.0, 600 * shape.seconds) if shape.seconds > 0.01 else 20.0


def run(shape: Shape, *, most: int = MOST, adaptive: bool, seed: int = 1) -> Shipper:
    world = World(seed)
    shipper = Shipper(world, Cluster(world, shape), adaptive=adaptive, most=most)
    world.run(seconds_of(shape))
    return shipper


@functools.cache
def fixed(shape: Shape, most: int) -> tuple[float, int]:
    """Return the events a second and the rejections with a fixed number."""
    shipper = run(shape, most=most, adaptive=False)
    return _late(shipper, shape), shipper.rejected


def best(shape: Shape) -> float:
    return max(fixed(shape, most)[0] for most in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32))


def _late(shipper: Shipper, shape: Shape) -> float:
    end = seconds_of(shape)
    return shipper.throughput(end / 5, end)


def described(shape: Shape) -> str:
    parts = f"{shape.workers} workers, queue {shape.queue}, {shape.seconds * 1000:g} ms"
    return parts + (f", {shape.shards} shards" if shape.shards > 1 else "")


WHOLE = [Shape(workers, queue, 0.05) for workers in WORKERS for queue in QUEUES]
SPEEDS = [Shape(workers, queue, 0.5) for workers in WORKERS for queue in (2, 10)]
SPEEDS += [Shape(4, 2, 0.005), Shape(8, 10, 0.005)]
ITEMS = [Shape(workers, queue, 0.05, shards=4) for workers in (4, 8, 16) for queue in (10, 50)]
ALL = [*WHOLE, *SPEEDS, *ITEMS]


@pytest.mark.parametrize("shape", ALL, ids=described)
def test_one_shipper_is_nearly_as_fast_as_with_the_best_fixed_number(shape: Shape) -> None:
    assert _late(run(shape, adaptive=True), shape) >= 0.9 * best(shape)


@pytest.mark.parametrize("shape", ALL, ids=described)
def test_it_is_rejected_ten_times_less_often_than_with_a_fixed_32(shape: Shape) -> None:
    assert run(shape, adaptive=True).rejected <= fixed(shape, 32)[1] / 10
