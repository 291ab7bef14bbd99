"""AdamW for parameters in bf16 with fp32 masters, as one kernel over all of them (CUDA, through Triton).

torch's own fused AdamW wants gradients in fp32 and knows no masters: around it stand a widening of the gradients, a
multiplication by the clipping factor and a rounding of the masters, which move about as many bytes again as the step
itself. On a model of 1.7 billion parameters all of that is a tenth of a training step; here each number is read and
written once. `tune.optim` holds the plain form, and benchmarks/tune_check.py compares the two.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]
from torch import Tensor

#: Numbers of a tensor that one program of the kernel works on.
BLOCK = 4096


@triton.jit
def _adamw(
    weights, masters, grads, means, squares, sizes, tensor_of, block_of, decays, ratios, clip,
    lr, beta1, beta2, eps, correction1, correction2, WIDE_GRADS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    tensor = tl.load(tensor_of + program)
    at = tl.load(block_of + program).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < tl.load(sizes + tensor)
    grad_type: tl.constexpr = tl.float32 if WIDE_GRADS else tl.bfloat16
    weight = tl.multiple_of(tl.load(weights + tensor).to(tl.pointer_type(tl.bfloat16)), 16)
    master = tl.multiple_of(tl.load(masters + tensor).to(tl.pointer_type(tl.float32)), 16)
    grad = tl.multiple_of(tl.load(grads + tensor).to(tl.pointer_type(grad_type)), 16)
    mean = tl.multiple_of(tl.load(means + tensor).to(tl.pointer_type(tl.float32)), 16)
    square = tl.multiple_of(tl.load(squares + tensor).to(tl.pointer_type(tl.float32)), 16)
    rate = lr * tl.load(ratios + tensor)

    g = tl.load(grad + at, mask=inside, other=0.0).to(tl.float32) * tl.load(clip)
    p = tl.load(master + at, mask=inside, other=0.0)
    m = tl.load(mean + at, mask=inside, other=0.0)
    v = tl.load(square + at, mask=inside, other=0.0)
    m += (g - m) * (1 - beta1)
    v = v * beta2 + g * g * (1 - beta2)
    p -= p * rate * tl.load(decays + tensor)
    p -= rate / correction1 * m / (tl.sqrt(v) / correction2 + eps)
    tl.store(mean + at, m, mask=inside)
    tl.store(square + at, v, mask=inside)
    tl.store(master + at, p, mask=inside)
    tl.store(weight + at, p.to(tl.bfloat16), mask=inside)


class AdamW:
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) of N bf16 parameters on one GPU.

    masters, exp_avg, exp_avg_sq: fp32, one a parameter, in the order of `params`. decays, ratios: weight decay and
    multiple of the learning rate of each parameter.
    """

    def __init__(
        self,
        params: list[Tensor],
        decays: list[float],
        ratios: list[float],
        *,
        betas: tuple[float, float],
        eps: float,
    ) -> None:
        device = params[0].device
        self.params, self.betas, self.eps = params, betas, eps
        self.masters = [p.detach().float().contiguous() for p in params]
        self.exp_avg = [torch.zeros_like(m) for m in self.masters]
        self.exp_avg_sq = [torch.zeros_like(m) for m in self.masters]
        blocks = [math.ceil(p.numel() / BLOCK) for p in params]
        self.sizes = torch.tensor([p.numel() for p in params], device=device)
        self.tensor_of = torch.repeat_interleave(torch.arange(len(params)), torch.tensor(blocks)).int().to(device)
        self.block_of = torch.cat([torch.arange(n, dtype=torch.int32) for n in blocks]).to(device)
        self.decays = torch.tensor(decays, dtype=torch.float32, device=device)
        self.ratios = torch.tensor(ratios, dtype=torch.float32, device=device)
        fixed = (self.params, self.masters, self.exp_avg, self.exp_avg_sq)
        self.addresses = [_addresses(tensors, device) for tensors in fixed]

    def step(self, grads: list[Tensor], clip: Tensor, lr: float, count: int) -> None:
        """One step, the `count`-th (from 1), with `grads` (all bf16 or all fp32) times the scalar `clip`.

        Raises:
            ValueError: a gradient that is missing, not contiguous or of another type.
        """
        wide = grads[0].dtype == torch.float32
        if any(g.dtype != grads[0].dtype or not g.is_contiguous() for g in grads) or len(grads) != len(self.params):
            raise ValueError("gradients must be contiguous, of one type, and one for each parameter")
        weights, masters, means, squares = self.addresses
        beta1, beta2 = self.betas
        kernel: Any = _adamw
        kernel[(len(self.tensor_of),)](
            weights, masters, _addresses(grads, self.sizes.device), means, squares,
            self.sizes, self.tensor_of, self.block_of, self.decays, self.ratios, clip,
            lr, beta1, beta2, self.eps, 1 - beta1**count, math.sqrt(1 - beta2**count),
            WIDE_GRADS=wide, BLOCK=BLOCK,
        )  # fmt: skip


def _addresses(tensors: list[Tensor], device: torch.device) -> Tensor:
    return torch.tensor([t.data_ptr() for t in tensors], dtype=torch.int64).to(device, non_blocking=True)
