"""Threads for the compiled kernels, which release the interpreter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numba
from threadpoolctl import threadpool_limits


@contextmanager
def thread_map(threads: int | None = None) -> Iterator[Callable]:
    """A `map` that works on several items at once and keeps their order.

    Inside, BLAS has one thread: the matrices are small, and its own threads made a registration twice as long.

    Args:
        threads: how many; by default the processors this process may use, or the environment's NUMBA_NUM_THREADS.

    Raises:
        ValueError: if not positive.
    """
    count = numba.config.NUMBA_NUM_THREADS if threads is None else threads
    if count < 1:
        raise ValueError(f"threads must be at least 1, found {threads}")
    with threadpool_limits(1, user_api="blas"):
        if count == 1:
            yield map
            return
        # Started anew for every registration: threads do not survive a fork.
        with ThreadPoolExecutor(count) as pool:
            yield pool.map
