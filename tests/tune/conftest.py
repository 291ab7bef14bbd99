"""Fixtures of tune's tests. One thread each: several test processes on few cores slow one another down otherwise."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

# Before torch is imported, and inherited by child processes.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """OMP_NUM_THREADS comes too late where torch was imported first (a plugin, another test folder)."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def golden() -> Path:
    """The folder of hand-made runs: pair, mrc, dialogue. Only to be read."""
    return GOLDEN


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A copy of the hand-made pair run, to be damaged at will."""
    return Path(shutil.copytree(GOLDEN / "pair", tmp_path / "runs" / "pair"))
