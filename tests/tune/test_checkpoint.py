"""A checkpoint is there whole or not at all, and what was changed on the disk is found out."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_training import Toy

from tune import checkpoint
from tune.errors import UserError

FILES = ["weights.safetensors", "optimizer.safetensors", "state.json", "manifest.json"]


def save(root: Path, step: int, keep: int = 2, best: int | None = None) -> Path:
    weights = {"w": torch.full((50,), float(step)), "b": torch.full((3,), step, dtype=torch.bfloat16)}
    return checkpoint.save(root, step, weights, {"w.exp_avg": -weights["w"]}, {"step": step}, keep=keep, best=best)


def assert_whole(folder: Path) -> int:
    """The checkpoint loads and is all of one step; returns the step."""
    saved = checkpoint.load(folder)
    step = saved.state["step"]
    assert (saved.weights["w"] == step).all() and (saved.optimizer["w.exp_avg"] == -step).all()
    assert saved.weights["b"].dtype == torch.bfloat16
    return step


def test_save_and_load(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path) is None
    folder = save(tmp_path, 3)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert checkpoint.newest(tmp_path) == folder
    for path in (folder, tmp_path / "last"):
        assert assert_whole(path) == 3
    assert not (tmp_path / "best").exists()
    assert checkpoint.load(folder, optimizer=False).optimizer == {}


def test_last_best_and_how_many_are_kept(tmp_path: Path) -> None:
    for step in range(1, 12):
        save(tmp_path, step, keep=3, best=4 if step >= 4 else 1)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["best", "last", *(f"step-{step:08d}" for step in (4, 9, 10, 11))]
    assert assert_whole(tmp_path / "last") == 11 and assert_whole(tmp_path / "best") == 4


def test_the_folder_can_be_moved(tmp_path: Path) -> None:
    save(tmp_path / "here", 1, best=1)
    (tmp_path / "here").rename(tmp_path / "there")
    assert assert_whole(tmp_path / "there" / "last") == assert_whole(tmp_path / "there" / "best") == 1


def test_a_step_that_is_there_is_left_alone(tmp_path: Path) -> None:
    folder = save(tmp_path, 1)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    save(tmp_path, 1, best=1)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert assert_whole(tmp_path / "best") == 1


# Kills


class Killed(BaseException):
    """Not an Exception: nothing that handles errors sees a kill."""


class _Audit:
    """Counts what touches the file system (Python tells its audit hooks) and can end the process's work there."""

    on, left, seen = False, -1, 0
    events = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "shutil.rmtree", "os.listdir")

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if self.on and event in self.events:
            self.seen += 1
            self.left -= 1
            if self.left == 0:
                self.on = False
                raise Killed

    @contextmanager
    def killing(self, at: int) -> Iterator[None]:
        self.on, self.left, self.seen = True, at, 0
        try:
            yield
        finally:
            self.on = False


@pytest.fixture(scope="module")
def audit() -> _Audit:
    hook = _Audit()  # a hook can't be taken away again: one for the module, off by default
    sys.addaudithook(hook)
    return hook


def test_a_kill_between_any_two_file_operations_loses_nothing(tmp_path: Path, audit: _Audit) -> None:
    before = tmp_path / "before"
    for step in (1, 2, 3):
        save(before, step, best=1)
    at, outcomes = 0, []
    while True:
        at += 1
        root = Path(shutil.copytree(before, tmp_path / str(at), symlinks=True))
        try:
            with audit.killing(at):
                save(root, 4, best=4)
        except Killed:
            newest = checkpoint.newest(root)
            assert newest is not None
            outcomes.append(assert_whole(newest))
            for folder in root.glob("step-*"):
                assert_whole(folder)
            assert assert_whole(root / "last") in (3, 4) and assert_whole(root / "best") in (1, 4)
            for _ in range(2):  # going on cleans up
                save(root, 5, best=5)
            names = sorted(path.name for path in root.iterdir())
            assert names == ["best", "last", f"step-{4 if outcomes[-1] == 4 else 3:08d}", "step-00000005"]
            assert assert_whole(root / "last") == assert_whole(root / "best") == 5
        else:
            break
    # The sequence reached from before the first file to after the last.
    assert outcomes == sorted(outcomes) and outcomes.count(3) >= 10 and outcomes.count(4) >= 10


def test_everything_is_on_the_disk_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    real_fsync, real_rename = os.fsync, Path.rename

    def fsync(handle: int) -> None:
        log.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        real_fsync(handle)

    def rename(self: Path, target: Path) -> Path:
        log.append(f"rename {self.name}")
        return real_rename(self, target)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("the system doesn't say which file a handle is")
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    save(tmp_path / "checkpoints", 7)
    assert sorted(log[:5]) == sorted([*FILES, ".step-00000007"])
    assert log[5:] == ["rename .step-00000007", "checkpoints", "checkpoints"]


KILL_LOOP = """
import os, random, signal, sys, time
from pathlib import Path
sys.path[:0] = [{tests!r}, {tests!r} + "/tune"]
import torch
torch.set_num_threads(1)
from test_checkpoint import assert_whole, checkpoint, save

root, rng, before, grown = Path(sys.argv[1]), random.Random(0), 1, 0
save(root, 1)
started = time.perf_counter()
save(root.with_name("timed"), 1)
longest = 4 * (time.perf_counter() - started)
for trial in range(200):
    child = os.fork()
    if child == 0:
        for step in range(before + 1, before + 10_000):
            save(root, step, best=step)
    time.sleep(rng.uniform(0, longest))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    step = assert_whole(checkpoint.newest(root))
    assert step >= before, (step, before)
    # The link may lag, but what it points at is there.
    assert assert_whole(root / "last") <= step
    grown += step > before
    before = step
    if trial >= 20 and grown >= 5:
        break
else:
    sys.exit("hardly ever was a checkpoint written before the kill")
"""


def test_sigkill_at_random_times(tmp_path: Path) -> None:
    tests = str(Path(__file__).resolve().parents[1])
    script = KILL_LOOP.format(tests=tests)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(tests).parent,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


# Damage


def damage_flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def damage_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [damage_flip, damage_cut, Path.unlink, lambda path: path.write_bytes(b"")])
def test_damage_is_found_and_the_cure_named(tmp_path: Path, name: str, damage: Any) -> None:
    save(tmp_path, 1)
    folder = save(tmp_path, 2)
    damage(folder / name)
    for path in (folder, tmp_path / "last"):
        with pytest.raises(UserError, match="corrupt checkpoint") as caught:
            checkpoint.load(path)
        assert len(caught.value.messages) == 1
        assert f"delete {folder}, then --resume goes on from step-00000001" in caught.value.messages[0]
    with pytest.raises(UserError, match="corrupt checkpoint"):
        checkpoint.load_weights(folder, Toy())


def test_damage_to_the_only_one(tmp_path: Path) -> None:
    damage_flip(save(tmp_path, 1) / "weights.safetensors")
    with pytest.raises(UserError, match="start again without --resume"):
        checkpoint.verify(tmp_path / "last")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("whole"), 1)


@settings(max_examples=60)
@given(st.sampled_from(FILES), st.integers(0, 10**6), st.integers(1, 255))
def test_any_changed_byte_is_found(whole: Path, name: str, at: int, change: int) -> None:
    path = whole / name
    raw = path.read_bytes()
    changed = bytearray(raw)
    changed[at % len(raw)] ^= change
    path.write_bytes(changed)
    try:
        if name == "manifest.json" and _same_json(raw, changed):
            return
        with pytest.raises(UserError, match="corrupt checkpoint"):
            checkpoint.verify(whole)
    finally:
        path.write_bytes(raw)


def _same_json(one: bytes, other: bytearray) -> bool:
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return False


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), safetensors.SafetensorError("I/O error")])
def test_a_full_disk_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    save(tmp_path, 1)

    def full(*args: Any, **kwargs: Any) -> None:
        raise error

    with monkeypatch.context() as patch, pytest.raises(UserError, match=r"step 2: .*step-00000001 is untouched"):
        patch.setattr(safetensors.torch, "save_file", full)
        save(tmp_path, 2)
    assert assert_whole(tmp_path / "last") == 1
    save(tmp_path, 2)
    assert assert_whole(tmp_path / "last") == 2


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EPERM, "not here")

    monkeypatch.setattr(os, "symlink", refused)
    for step in range(1, 5):
        save(tmp_path, step, best=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"step-{step:08d}" for step in (1, 3, 4)]
    newest = checkpoint.newest(tmp_path)
    assert newest is not None and assert_whole(newest) == 4


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    model = Toy()
    weights = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    folder = checkpoint.save(tmp_path, 1, weights, {}, {}, keep=1)
    other = Toy(seed=5)
    checkpoint.load_weights(folder, other)
    assert all(torch.equal(p, weights[name]) for name, p in other.named_parameters() if p.requires_grad)
    other.head = torch.nn.Linear(16, 32)
    with pytest.raises(UserError, match=r"head\.bias"):
        checkpoint.load_weights(folder, other)
    other = Toy()
    other.frozen.requires_grad_(True)
    with pytest.raises(UserError, match=r"frozen\.bias"):
        checkpoint.load_weights(folder, other)


# Random states


def draws() -> list[Any]:
    return [
        random.random(),
        random.gauss(0, 1),
        *np.random.normal(size=3),
        *np.random.rand(2),
        *torch.randn(3).tolist(),
    ]


@pytest.mark.parametrize("odd", [0, 1])
def test_random_states_go_through_json(odd: int) -> None:
    for _ in range(odd):  # gauss and normal draw two numbers at a time and keep one
        draws()
        random.gauss(0, 1)
    state = json.loads(json.dumps(checkpoint.rng_state()))
    first = draws()
    assert draws() != first
    checkpoint.set_rng_state(state)
    assert draws() == first
