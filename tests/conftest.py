"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A shared machine may stall in any example: what a property costs is not what it says.
settings.register_profile("jingtiao", deadline=None)
settings.load_profile("jingtiao")


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real corpora: $JINGTIAO_CORPORA, or shared/corpora beside the repository; skips without it."""
    named = os.environ.get("JINGTIAO_CORPORA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "corpora"
    if not folder.is_dir():
        pytest.skip(f"no real corpora at {'$JINGTIAO_CORPORA' if named else '../shared/corpora'}")
    return folder
