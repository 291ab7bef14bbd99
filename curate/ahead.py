"""Ways to keep both cores at work: making ahead, side by side, in passing, writing behind. None changes an order."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")
_END = object()


def ahead(items: Iterator[T], depth: int = 2) -> Iterator[T]:
    """The items, the next `depth` of them already being made in a thread. An error comes out where it belongs."""
    waiting: queue.Queue[Any] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: Any) -> None:
        while not stopped.is_set():
            try:
                return waiting.put(item, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put((item, None))
                if stopped.is_set():
                    return
            put((_END, None))
        except BaseException as error:  # handed over and raised by the consumer
            put((_END, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stopped.set()
        thread.join()


def side_by_side(function: Callable[[T], R], items: Iterator[T], workers: int) -> Iterator[R]:
    """`map`, with up to `workers` calls running in threads; results in order, at most `workers + 1` under way.

    polars lets go of the interpreter while it works, so threads do share the cores.
    """
    if workers < 2:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def in_passing(prepare: Callable[[], object]) -> None:
    """Call `prepare` in a thread, for something that is remembered; an error shows where the thing is then used.

    Python waits for it before it ends: a library must not be half imported while everything is taken apart.
    """

    def work() -> None:
        with suppress(Exception):
            prepare()

    threading.Thread(target=work).start()


class Behind:
    """Runs calls one after the other in a thread, at most `depth` of them waiting; `done` waits for all."""

    def __init__(self, depth: int = 2) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()
        self._depth = depth

    def call(self, function: Callable[..., None], *arguments: Any) -> None:
        while len(self._waiting) >= self._depth:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(function, *arguments))

    def done(self) -> None:
        while self._waiting:
            self._waiting.popleft().result()
        self._pool.shutdown()

    def abandon(self) -> None:
        """After an error: nothing more is started, and what runs is waited for."""
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *more: object) -> None:
        if error is None:
            self.done()
        else:
            self.abandon()
