"""One base model for many tunings: read once, and lent as it was each time.

Methods change a model for good: layers are wrapped, weights trained, with PiSSA even the frozen ones. So what is lent
is a copy, on the device; the original waits in the main memory.
"""

from __future__ import annotations

import copy
import gc
import sys
from dataclasses import replace
from typing import Any

import torch

from tune.config import TINIES, Config
from tune.model import Loaded, load
from tune.runs import Run

#: Bytes of weights from which on a model that is done with can't wait for Python to notice.
LARGE = 1 << 28


class Lender:
    """Called like `tune.model.load`, it gives a model that is bit by bit the one that `load` would give."""

    def __init__(self) -> None:
        self._key: Any = None
        self._kept: Any = None

    def __call__(self, config: Config, run: Run) -> Loaded:
        self._forget_last()
        if config.method == "qlora":  # 4-bit weights are made while they are read, and don't leave the device
            return load(config, run)
        # Tiny's weights and tokenizer are made of the seed and the run, a new head of the seed and the run's labels.
        own = config.model in TINIES or config.has_head
        key = (config.model, config.objective, *((config.seed, run.fingerprint) if own else ()))
        if key != self._key:
            self._kept = None
            kept = load(config, run)
            self._key, self._kept = key, replace(kept, model=kept.model.to("cpu"))
        return replace(self._kept, model=copy.deepcopy(self._kept.model).to(self._kept.device))

    def _forget_last(self) -> None:
        """Free the memory of the model that was lent last (wrapped layers refer to one another), and what was compiled
        for its layers."""
        kept = self._kept
        if kept is None or sum(p.numel() * p.element_size() for p in kept.model.parameters()) >= LARGE:
            gc.collect()
        if "torch._dynamo" in sys.modules:
            torch.compiler.reset()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
