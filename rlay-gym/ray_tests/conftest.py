"""Fixture: a Ray cluster of three nodes on loopback, in a home directory of its own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

# Ray keeps a secret of its clusters there.
os.environ["HOME"] = tempfile.mkdtemp(prefix="rlay-ray-")
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray
from ray.cluster_utils import Cluster

MEMORY = 80 << 20
"""The smallest store of objects that Ray has; none is put there."""


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """Three nodes of six processors; the first one has the driver."""
    node = {"num_cpus": 6, "include_dashboard": False, "object_store_memory": MEMORY}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    for _ in range(2):
        cluster.add_node(num_cpus=6, object_store_memory=MEMORY)
    ray.init(address=cluster.address, log_to_driver=False)
    cluster.wait_for_nodes()
    yield cluster
    ray.shutdown()
    cluster.shutdown()
