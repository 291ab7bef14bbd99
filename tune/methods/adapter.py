"""Bottleneck adapters: a small network with a residual after the attention and the feed-forward network of each layer.

    y + up(gelu(down(y)))        y: what o_proj, or down_proj, gives; down [size, D], up [D, size], without biases

`up` begins at zero, so that the untrained model is the base model. placement `houlsby`: after both (Houlsby et al.
2019, arXiv:1902.00751); `pfeiffer`: after the feed-forward network only (Pfeiffer et al. 2020, arXiv:2005.00247).
PEFT has no such method. The result is two files: adapter.json (size, placement, activation) and adapter.safetensors
with the tensors `layers.N.self_attn.down`, `layers.N.self_attn.up`, `layers.N.mlp.down` and `layers.N.mlp.up` (other
names in an encoder: those of its modules), and a classifier's head under its own names behind `head.`.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tune.encoders import layers_of
from tune.errors import UserError
from tune.methods.method import Method, head_of, unfit

SETTINGS, WEIGHTS = "adapter.json", "adapter.safetensors"
ACTIVATION = "gelu"
#: The linear layers whose outputs get an adapter (houlsby: both, pfeiffer: the second), of decoders, BERT's relatives
#: and ModernBERT.
PLACES = (
    (("self_attn", "o_proj"), ("mlp", "down_proj")),
    (("attention.output", "dense"), ("output", "dense")),
    (("attn", "Wo"), ("mlp", "Wo")),
)
HEAD = "head."


class Bottleneck(torch.nn.Module):
    """A linear layer and the adapter on what it gives."""

    def __init__(self, base_layer: torch.nn.Linear, size: int) -> None:
        super().__init__()
        self.base_layer = base_layer
        like = {"device": base_layer.weight.device, "dtype": base_layer.weight.dtype}
        self.down = torch.nn.Parameter(torch.empty(size, base_layer.out_features, **like))
        self.up = torch.nn.Parameter(torch.zeros(base_layer.out_features, size, **like))
        torch.nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        y = self.base_layer(x)
        return y + F.linear(F.gelu(F.linear(y, self.down)), self.up)


def prepare(model: Any, config: Any, tokenizer: Any = None) -> Any:
    model.requires_grad_(False)
    for parent, name in _linears(model, config.placement):
        setattr(parent, name, Bottleneck(getattr(parent, name), config.bottleneck))
    for parameter in _head(model).values():
        parameter.requires_grad_(True)
    return model


def _head(model: Any) -> dict[str, torch.nn.Parameter]:
    """The parameters of a classifier's head by name; none of a causal model."""
    parts = head_of(model)
    return {name: p for name, p in model.named_parameters() if any(f".{part}." in f".{name}" for part in parts)}


def _linears(model: Any, placement: str) -> list[tuple[Any, str]]:
    found, layers = [], layers_of(model)
    if not layers:
        raise unfit("adapter", model, "its layers are not called layers", "method lora")
    known = next((places for places in PLACES if all(_linear(layers[0], *place) for place in places)), PLACES[0])
    for layer in layers:
        for part, name in known if placement == "houlsby" else known[1:]:
            if not _linear(layer, part, name):
                raise unfit("adapter", model, f"not every layer has a linear layer {part}.{name}", "method lora")
            found.append((layer.get_submodule(part), name))
    return found


def _linear(layer: Any, part: str, name: str) -> bool:
    modules = dict(layer.named_modules())
    return isinstance(getattr(modules.get(part), name, None), torch.nn.Linear)


def adapters(model: Any) -> dict[str, Bottleneck]:
    """By the names that their tensors are saved under."""
    layers = enumerate(layers_of(model))
    found = {f"layers.{i}.{name}": module for i, layer in layers for name, module in layer.named_modules()}
    return {name.rpartition(".")[0]: m for name, m in found.items() if isinstance(m, Bottleneck)}


def save(model: Any, folder: Path) -> None:
    from safetensors.torch import save_file

    found = adapters(model)
    tensors = {f"{name}.{part}": getattr(m, part) for name, m in found.items() for part in ("down", "up")}
    tensors |= {f"{HEAD}{name}": parameter for name, parameter in _head(model).items()}
    placement = "houlsby" if len(found) > len(layers_of(model)) else "pfeiffer"
    size = len(next(iter(found.values())).down)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)
    settings = {"size": size, "placement": placement, "activation": ACTIVATION}
    (folder / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def load(model: Any, folder: Path) -> Any:
    from safetensors.torch import load_file

    settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    if settings["activation"] != ACTIVATION:
        raise UserError(f"{folder / SETTINGS}: activation {settings['activation']!r} is not known; it is {ACTIVATION}")
    tensors = load_file(folder / WEIGHTS)
    for parent, name in _linears(model, settings["placement"]):
        setattr(parent, name, Bottleneck(getattr(parent, name), settings["size"]))
    for name, module in adapters(model).items():
        module.down.data.copy_(tensors[f"{name}.down"])
        module.up.data.copy_(tensors[f"{name}.up"])
    for name, parameter in model.named_parameters():
        if (saved := tensors.get(f"{HEAD}{name}")) is not None:
            parameter.data.copy_(saved)
    return model.requires_grad_(False)


METHOD = Method(
    name="adapter",
    kind="adapter",
    summary="bottleneck networks after attention and feed-forward network",
    when="about LoRA's quality where a nonlinear change is wanted; can't be merged, costs a little at inference",
    keys=("bottleneck", "placement"),
    lr=3e-4,
    weight_decay=0.0,
    source="LLM-Adapters (arXiv:2304.01933), and the middle of Houlsby et al.'s 3e-5 to 3e-3",
    tiny_lr=1e-2,
    folder="adapter",
    saved=f"{WEIGHTS} and {SETTINGS}; PEFT has no such method",
    marker=SETTINGS,
    prepare=prepare,
    save=save,
    load=load,
    unmerged="its networks are not linear, so no weight can take them up",
)
