"""The shape of a tuning method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Method:
    """`name` on the command line; `summary`: one line for `tune methods`; `keys`: the settings it reads.

    lr, weight_decay: its defaults. folder: where its result stands in the tuning, "adapter" or "model".
    prepare(model, config): the model to train, with exactly the trained parameters requiring gradients.
    save(model, folder): the result, without tokenizer. load(model, folder): a base model with the result in it.
    """

    name: str
    summary: str
    keys: tuple[str, ...]
    lr: float
    weight_decay: float
    folder: str
    prepare: Callable[[Any, Any], Any]
    save: Callable[[Any, Path], None]
    load: Callable[[Any, Path], Any]
