"""Slices come back as they went in, from memory and from disk; a slice on disk that isn't whole is none."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from curate.store import Store

FRAMES = [
    {
        "rows": pl.DataFrame({"rid": range(n), "turns": [["你好", "", "再见"]] * n}),
        "rejects": pl.DataFrame({"rid": [n], "split": pl.Series(["train"], dtype=pl.Enum(["train", "test"]))}),
    }
    for n in (3, 0, 5, 1)
]


def filled(folder: Path, memory: int) -> Store:
    folder.mkdir(exist_ok=True)
    store = Store(folder, memory)
    for number, frames in enumerate(FRAMES):
        assert store.append(frames, {"number": number, "text": "一\n二"}, {"keys": frames["rejects"]}) == number
    return store


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("memory", [0, 200, 1 << 20])
def test_slices_come_back(tmp_path: Path, memory: int, dropped: bool) -> None:
    store = filled(tmp_path / "slices", memory)
    on_disk = len(list((tmp_path / "slices").iterdir()))
    assert on_disk == len(FRAMES) if not memory else 0 < on_disk < len(FRAMES) if memory == 200 else not on_disk
    for _ in range(2):
        assert_frame_equal(store.peek(2), FRAMES[2]["rows"])
    store.drop(["turns"] if dropped else [])
    for index, frames in enumerate(FRAMES):
        rows, rejects = store.take(index, "rows", "rejects")
        assert_frame_equal(rows, frames["rows"].select("rid") if dropped else frames["rows"])
        assert_frame_equal(rejects, frames["rejects"])
    assert len(list((tmp_path / "slices").iterdir())) == on_disk  # a process that takes over finds them


def test_what_is_held_is_let_go(tmp_path: Path) -> None:
    """The bound is of what is held at a time: what was taken makes room."""
    size = sum(frame.estimated_size() for frame in FRAMES[2].values())
    store = Store(tmp_path, size)
    for _ in range(20):
        store.take(store.append(FRAMES[2]), "rows")
    assert not list(tmp_path.iterdir())
    store.append(FRAMES[2])
    store.append(FRAMES[2])
    assert [path.name for path in tmp_path.iterdir()] == ["000021.slice"]


def test_another_process_takes_over(tmp_path: Path) -> None:
    filled(tmp_path, 0).end(["read"])
    store = Store(tmp_path, 0)
    assert store.ended() == (len(FRAMES), ["read"])
    for number, frames in enumerate(FRAMES):
        kept = store.restore(number)
        assert kept is not None and kept.facts == {"number": number, "text": "一\n二"}
        assert_frame_equal(kept.read("keys"), frames["rejects"])
        store.adopt(kept)
        assert_frame_equal(store.peek(number), frames["rows"])
    assert store.restore(len(FRAMES)) is None


def test_the_end_is_said_only_of_slices_on_disk(tmp_path: Path) -> None:
    filled(tmp_path, 200).end([])
    assert Store(tmp_path).ended() is None


def test_damage_is_noticed(tmp_path: Path) -> None:
    """Any byte changed, any number of bytes missing or added."""
    filled(tmp_path, 0)
    path = tmp_path / "000000.slice"
    whole = path.read_bytes()
    store = Store(tmp_path)
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert store.restore(0) is None, at
        path.write_bytes(whole[:at])
        assert store.restore(0) is None, at
    path.write_bytes(whole + b"\0")
    assert store.restore(0) is None
    path.write_bytes(whole)
    assert store.restore(0) is not None
