"""Freeze: only the last layers learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tune.errors import UserError
from tune.methods import full
from tune.methods.method import Method


def prepare(model: Any, config: Any, tokenizer: Any = None) -> Any:
    layers = model.get_decoder().layers
    if not 1 <= config.layers <= len(layers):
        raise UserError(f"layers: {config.layers}, but the model has {len(layers)}; choose 1 to {len(layers)}")
    model.requires_grad_(False)
    for layer in layers[-config.layers :]:
        layer.requires_grad_(True)
    return model


METHOD: Method = replace(
    full.METHOD,
    name="freeze",
    kind="freeze",
    summary="the last `layers` layers",
    when="nearly full training at a part of its memory; fast, for no gradient passes the frozen layers",
    keys=("layers",),
    prepare=prepare,
)
