"""LoRA (Hu et al. 2021, arXiv:2106.09685) and its relatives, through PEFT: rsLoRA, DoRA, LoRA+, PiSSA.

PEFT makes, names, saves and loads the parameters. For training, the plain form `y = xWᵀ + s·(xAᵀ)Bᵀ` gets a forward of
ours: PEFT's makes the low-rank product and the sum as tensors of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, library

from tune.errors import UserError
from tune.methods.method import Method, load_adapter, save_adapter, task_of


def prepare(model: Any, config: Any, tokenizer: Any = None) -> Any:
    from peft import LoraConfig, get_peft_model

    targets = config.targets if isinstance(config.targets, str) else _known(list(config.targets), model)
    try:
        # The adapter keeps the model's type: in fp32, every adapted layer would cast its input. The optimiser holds
        # fp32 masters instead.
        wrapped = get_peft_model(
            model,
            LoraConfig(
                **task_of(model),
                r=config.r,
                lora_alpha=config.alpha,
                lora_dropout=config.dropout,
                target_modules=targets,
                use_rslora=config.rslora,
                use_dora=config.dora,
                # Without weights there are no singular vectors to begin with.
                init_lora_weights=True if model.device.type == "meta" else config.init,
            ),
            autocast_adapter_dtype=False,
        )
    except ValueError as error:
        raise UserError(f"method {config.method}: {error}") from None
    fuse(wrapped)
    join(wrapped)
    return wrapped


def _known(targets: list[str], model: Any) -> list[str]:
    """The names as they are; PEFT would overlook one that no module has, as long as another matches."""
    names = [name for name, _ in model.named_modules()]
    unknown = [t for t in targets if not any(name == t or name.endswith(f".{t}") for name in names)]
    if unknown:
        linears = sorted({n.rpartition(".")[2] for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)})
        raise UserError(f"targets: the model has no {', '.join(unknown)}; its linear layers are {', '.join(linears)}")
    return targets


def load(model: Any, folder: Path) -> Any:
    wrapped = load_adapter(model, folder)
    fuse(wrapped)
    return wrapped


def fuse(model: torch.nn.Module) -> None:
    """Give every plain LoRA layer the fused forward; DoRA, dropout and other variants keep PEFT's."""
    from peft.tuners.lora.layer import Linear

    for module in model.modules():
        if type(module) is Linear and type(module.base_layer) is torch.nn.Linear and _is_plain(module):
            module.__class__ = _fused_class()


def _is_plain(module: Any) -> bool:
    (name,) = module.active_adapters
    plain = not module.lora_variant and not module.lora_bias[name]
    return plain and isinstance(module.lora_dropout[name], torch.nn.Identity)


def _fused_class() -> Any:
    """PEFT's own class with one method replaced, made once and only where PEFT is there."""
    global _FUSED
    if _FUSED is None:
        from peft.tuners.lora.layer import Linear

        class FusedLinear(Linear):
            joint: Joint | None = None

            def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
                if self.disable_adapters or self.merged or args or kwargs:
                    return super().forward(x, *args, **kwargs)
                if self.joint is not None:
                    return self.joint.output(self, x)
                return low_rank_linears(x, [self])[0]

        _FUSED = FusedLinear
    return _FUSED


_FUSED: Any = None
#: Linear layers that models feed with the same input, one after the other.
SIBLINGS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


def join(model: torch.nn.Module) -> None:
    """Let layers with the same input share the reading of it, and their frozen weights one tensor."""
    for parent in model.modules():
        for names in SIBLINGS:
            layers: list[Any] = [getattr(parent, name, None) for name in names]
            if all(type(layer) is _FUSED and layer.base_layer.bias is None for layer in layers):
                Joint(layers)


class Joint:
    """Layers with the same input: the first one called computes the outputs of all, the others pick theirs up."""

    def __init__(self, layers: list[Any]) -> None:
        self.layers, self.x, self.outputs = layers, None, dict[int, Tensor]()
        self.weight_OD = torch.cat([layer.base_layer.weight.data for layer in layers])
        parts = self.weight_OD.split([layer.out_features for layer in layers])
        for layer, part in zip(layers, parts, strict=True):
            layer.joint, layer.base_layer.weight.data = self, part

    def output(self, layer: Any, x: Tensor) -> Tensor:
        number = self.layers.index(layer)
        if self.x is not x or number not in self.outputs:
            self.x, self.outputs = x, dict(enumerate(low_rank_linears(x, self.layers, self.weight_OD)))
        y = self.outputs.pop(number)
        if not self.outputs:
            self.x = None
        return y


def low_rank_linears(x: Tensor, layers: list[Any], weight_OD: Tensor | None = None) -> list[Tensor]:
    """`x Wᵀ + bias + s · (x Aᵀ) Bᵀ` of layers with the same input; `weight_OD` holds all their frozen weights."""
    (name,) = layers[0].active_adapters
    base, scale = layers[0].base_layer, layers[0].scaling[name]
    pairs = [weight for layer in layers for weight in (layer.lora_A[name].weight, layer.lora_B[name].weight)]
    x_TD, frozen_OD = x.reshape(-1, x.shape[-1]), base.weight if weight_OD is None else weight_OD
    if torch.is_grad_enabled():
        parts = _LowRankLinears.apply(x_TD, frozen_OD, base.bias, scale, *pairs)
    else:
        parts, _ = _forward(x_TD, frozen_OD, base.bias, scale, pairs)
    return [part.view(*x.shape[:-1], -1) for part in parts]


@library.custom_op("jingtiao::add_product_", mutates_args={"y_TO"})
def _add_product_(y_TO: Tensor, a_TR: Tensor, b_RO: Tensor) -> None:
    """`y += a b` in place. As an operator of its own: the compiler would turn torch's into one that copies y first."""
    y_TO.addmm_(a_TR, b_RO)


def _forward(
    x_TD: Tensor, weight_OD: Tensor, bias_O: Tensor | None, scale: float, pairs: Sequence[Tensor]
) -> tuple[tuple[Tensor, ...], Tensor]:
    """The outputs of n layers side by side, and `s · x Aᵀ`: x is read once for all of them."""
    a_RD, b_OR = _side_by_side(pairs)
    y_TO = F.linear(x_TD, weight_OD, bias_O)
    xa_TR = F.linear(x_TD, a_RD) * scale
    _add_product_(y_TO, xa_TR, b_OR.T)
    return y_TO.split([len(b_PR) for b_PR in pairs[1::2]], dim=1), xa_TR


class _LowRankLinears(torch.autograd.Function):
    """n layers side by side: the low-rank product is added by the kernel that makes it, forward and backward."""

    @staticmethod
    def forward(
        ctx: Any, x_TD: Tensor, weight_OD: Tensor, bias_O: Tensor | None, scale: float, *pairs: Tensor
    ) -> tuple[Tensor, ...]:
        parts, xa_TR = _forward(x_TD, weight_OD, bias_O, scale, pairs)
        ctx.save_for_backward(x_TD, weight_OD, xa_TR, *pairs)
        ctx.scale = scale
        return parts

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        x_TD, weight_OD, xa_TR, *pairs = ctx.saved_tensors
        a_RD, _ = _side_by_side(pairs)
        parts = weight_OD.split([len(b_PR) for b_PR in pairs[1::2]])
        d_xas = [d_y @ b_PR for d_y, b_PR in zip(grads, pairs[1::2], strict=True)]
        d_xa_TR = torch.cat(d_xas, dim=1) * ctx.scale
        d_x_TD = None
        if ctx.needs_input_grad[0]:
            d_x_TD = grads[0] @ parts[0]
            for d_y, part in zip(grads[1:], parts[1:], strict=True):
                _add_product_(d_x_TD, d_y, part)
            _add_product_(d_x_TD, d_xa_TR, a_RD)
        ranks = [len(a_PD) for a_PD in pairs[::2]]
        d_as = (d_xa_TR.T @ x_TD).split(ranks)
        d_bs = [d_y.T @ xa for d_y, xa in zip(grads, xa_TR.split(ranks, dim=1), strict=True)]
        return d_x_TD, None, None, None, *(d for pair in zip(d_as, d_bs, strict=True) for d in pair)


def _side_by_side(pairs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """A of all layers under one another, B as blocks on a diagonal."""
    if len(pairs) == 2:
        return pairs[0], pairs[1]
    ranks, blocks, left = [len(a_PD) for a_PD in pairs[::2]], [], 0
    for rank, b_PR in zip(ranks, pairs[1::2], strict=True):
        blocks.append(F.pad(b_PR, (left, sum(ranks) - left - rank)))
        left += rank
    return torch.cat(list(pairs[::2])), torch.cat(blocks)


METHOD = Method(
    name="lora",
    kind="lora",
    summary="low-rank adapters on the linear layers",
    when="the first to try: near full training's figures at a part of its memory; merged it costs nothing",
    keys=("r", "alpha", "dropout", "targets", "rslora", "dora", "loraplus", "init"),
    lr=2e-4,
    weight_decay=0.0,
    source="usual for LoRA on all linear layers (QLoRA, arXiv:2305.14314); 2e-4 and 5e-4 compared on Gemma 3 270M",
    tiny_lr=2e-2,
    folder="adapter",
    saved="A and B of each linear layer, for PEFT",
    marker="adapter_config.json",
    prepare=prepare,
    save=save_adapter,
    load=load,
)

#: LoRA under the names of its variants: each is `lora` with a setting.
FAMILY = (
    METHOD,
    replace(
        METHOD,
        name="rslora",
        summary="LoRA scaled by alpha / √r (arXiv:2312.03732)",
        when="LoRA of a high rank, from 64 on",
        fixed={"rslora": True},
    ),
    replace(
        METHOD,
        name="dora",
        summary="LoRA with magnitude and direction apart (arXiv:2402.09353)",
        when="LoRA of a low rank that falls short of full training; slower, more memory",
        saved="A, B and magnitude of each linear layer, for PEFT",
        fixed={"dora": True},
    ),
    replace(
        METHOD,
        name="lora_plus",
        summary="LoRA whose B learns 16 times as fast as A (arXiv:2402.12354)",
        when="LoRA that learns too slowly, on wide models",
        own={"loraplus": 16.0},
    ),
    replace(
        METHOD,
        name="pissa",
        summary="LoRA that begins with the weights' largest singular vectors (arXiv:2404.02948)",
        when="LoRA that converges too slowly; it alters the base model when it begins",
        fixed={"init": "pissa"},
    ),
    replace(
        METHOD,
        name="qlora",
        summary="LoRA on a base model of 4-bit weights (arXiv:2305.14314)",
        when="a model whose weights don't fit the memory otherwise; slower",
        needs=("bitsandbytes",),
    ),
)
