"""Freeze: only the last layers learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tune.encoders import layers_of
from tune.errors import UserError
from tune.methods import full
from tune.methods.method import Method, head_of

#: What stands above the layers of a model with a head.
ABOVE = ("pooler", "head", "classifier", "score")


def prepare(model: Any, config: Any, tokenizer: Any = None) -> Any:
    layers = layers_of(model)
    if not 1 <= config.layers <= len(layers):
        raise UserError(f"layers: {config.layers}, but the model has {len(layers)}; choose 1 to {len(layers)}")
    model.requires_grad_(False)
    for layer in layers[-config.layers :]:
        layer.requires_grad_(True)
    for name, module in model.named_modules():  # a classifier's, and what stands between it and the layers
        if name.rpartition(".")[2] in ABOVE and head_of(model):
            module.requires_grad_(True)
    return model


METHOD: Method = replace(
    full.METHOD,
    name="freeze",
    kind="freeze",
    summary="the last `layers` layers, and a head",
    when="nearly full training at a part of its memory; fast, for no gradient passes the frozen layers",
    keys=("layers",),
    prepare=prepare,
)
