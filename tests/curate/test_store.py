"""Slices come back as they went in, from memory and from disk."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from curate.store import Store


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("memory", [0, 200, 1 << 20])
def test_slices_come_back(tmp_path: Path, memory: int, dropped: bool) -> None:
    frames = [pl.DataFrame({"rid": range(n), "turns": [["你好", "", "再见"]] * n}) for n in (3, 0, 5, 1)]
    store = Store(tmp_path, memory)
    for frame in frames:
        store.append(frame)
    assert bool(list(tmp_path.iterdir())) == (memory < 1 << 20)
    for _ in range(2):
        assert_frame_equal(store.peek(2), frames[2])
    store.drop(["turns"] if dropped else [])
    for index, frame in enumerate(frames):
        assert_frame_equal(store.take(index), frame.select("rid") if dropped else frame)
    assert not list(tmp_path.iterdir())
