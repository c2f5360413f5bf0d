"""The same work on a Ray cluster: shards as tasks, done again elsewhere where a worker dies, each counted once."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from tqdm import tqdm

from vi_fusion_ros.evaluation import parallel

Item = TypeVar("Item")
Value = TypeVar("Value")

_ATTEMPTS = 4  # of a shard whose workers die; more would go on for ever where the shard itself is what kills them
_SHARDS_PER_CPU = 4


@contextmanager
def connected(jobs: int) -> Iterator[None]:
    """Have ``map_in_order`` work on a cluster: of ``RAY_ADDRESS``, else one on this machine, else a new one.

    Args:
        jobs: processes of a new cluster, which ends with the block.

    Raises:
        ValueError: ray is not installed, or the cluster cannot be reached; one sentence.
    """
    try:
        import ray
    except ImportError as error:
        raise ValueError(
            "--engine ray needs the Python package ray, which is not installed; pip install 'ray>=2.44', "
            "or leave --engine away"
        ) from error
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody asked for a report to Ray's makers
    joined = not ray.is_initialized()
    if joined:
        _join(ray, jobs)
    try:
        with parallel.carried_out_by(_map_on_cluster):
            yield
    finally:
        if joined:
            ray.shutdown()


def _join(ray: Any, jobs: int) -> None:
    address = os.environ.get("RAY_ADDRESS", "")
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdigit():
        _check_reachable(host, int(port))
    try:
        ray.init("auto", log_to_driver=False, logging_level="error")
    except ConnectionError as error:
        if address:
            raise _no_cluster(address, error) from error
        ray.init(num_cpus=jobs, include_dashboard=False, log_to_driver=False, logging_level="error")


def _check_reachable(host: str, port: int) -> None:
    """Ray itself would try for minutes."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError as error:
        raise _no_cluster(f"{host}:{port}", error) from error


def _no_cluster(address: str, error: Exception) -> ValueError:
    return ValueError(f"--engine ray: no cluster at RAY_ADDRESS {address} ({error}); start one with 'ray start --head'")


def _map_on_cluster(
    function: Callable[[Item], Value], items: Sequence[Item], title: str, chunk: int
) -> Iterator[tuple[int, Value]]:
    import ray

    if not items:
        return
    cpus = int(ray.cluster_resources().get("CPU", 1))
    size = max(chunk, -(-len(items) // (cpus * _SHARDS_PER_CPU)))
    work: Any = ray.remote(num_cpus=1, max_retries=_ATTEMPTS - 1)(_work)
    starts = {work.remote(function, items[start : start + size]): start for start in range(0, len(items), size)}
    waiting = list(starts)
    with tqdm(total=len(items), desc=title, unit="item", disable=None) as progress:
        while waiting:
            done, waiting = ray.wait(waiting)
            for reference in done:
                values = _outcome(ray, reference, title)
                progress.update(len(values))
                yield from enumerate(values, starts[reference])


def _work(function: Callable[[Item], Value], shard: Sequence[Item]) -> list[Value]:
    parallel.prepare_worker()
    return [function(item) for item in shard]


def _outcome(ray: Any, reference: Any, title: str) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[0]
        raise OSError(f"a shard of {title} failed on the cluster {_ATTEMPTS} times: {reason}") from error
