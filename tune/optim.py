"""AdamW over fp32 copies of the trained parameters, and the learning rate as a pure function of the step.

A parameter in bf16 can't take a small step: 1 + 2e-4 is 1 in bf16. So the optimiser keeps an fp32 master of each such
parameter, steps the master and rounds it into the parameter. A parameter that is fp32 already is its own master.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

#: The second matrix of LoRA, of a linear and of an embedding: what LoRA+ (Hayou et al., 2024) gives a higher rate.
LORA_B = ("lora_B", "lora_embedding_B")


class Optimizer:
    """One optimiser step of several packs: `collect()` after each backward, then `clip()` and `step()`.

    The caller divides each pack's summed loss by the answer tokens of the whole step, so the sum of the packs'
    gradients is the gradient of the step's mean loss. Nothing here waits for the device.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        loraplus: float | None = None,
    ) -> None:
        """No weight decay on norms and biases (whatever has one dimension); `loraplus` multiplies the rate of B."""
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.names = [name for name, _ in named]
        self.params: list[Tensor] = [p for _, p in named]
        decays = [weight_decay if p.ndim > 1 else 0.0 for p in self.params]
        is_b = [any(part in LORA_B for part in name.split(".")) for name in self.names]
        ratios = [loraplus if loraplus and b else 1.0 for b in is_b]
        self.adamw: Any = _form(self.params)(self.params, decays, ratios, betas=betas, eps=eps)
        self.sums: list[Tensor | None] = [None] * len(named)
        self.scale: Tensor | None = None
        self.count = 0

    @torch.no_grad()
    def collect(self) -> None:
        """Adds each parameter's gradient to the step's sum and clears it.

        The first pack's gradients become the sum as they are. From the second pack on the sum is fp32, and bf16
        gradients need a passing fp32 copy, at a time when the pack's activations are gone.
        """
        grads = [p.grad for p in self.params]
        both = [i for i, g in enumerate(grads) if g is not None and self.sums[i] is not None]
        if both:
            sums = _widen([self.sums[i] for i in both])
            for i, total in zip(both, sums, strict=True):
                self.sums[i] = total
            # Widened first, so that want of memory is found before anything is added.
            more = _widen([grads[i] for i in both])
            torch._foreach_add_(sums, more)  # pyright: ignore[reportPrivateImportUsage]
        self.sums = [g if total is None else total for total, g in zip(self.sums, grads, strict=True)]
        self.drop()

    def drop(self) -> None:
        """Forgets the gradients of a pack whose backward failed half way; the step's sum never saw them."""
        for p in self.params:
            p.grad = None

    @torch.no_grad()
    def clip(self, max_norm: float) -> Tensor:
        """The L2 norm of the step's gradient, on the device; `step` will scale a longer one down to `max_norm`."""
        sums = [total for total in self.sums if total is not None]
        norms = torch._foreach_norm(sums, 2, dtype=torch.float32)  # pyright: ignore[reportPrivateImportUsage]
        norm = torch.linalg.vector_norm(torch.stack(norms))
        self.scale = (max_norm / (norm + 1e-6)).clamp(max=1.0)
        return norm

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """One AdamW step with the summed gradient; a parameter that got none counts as one with a gradient of 0."""
        sums = [
            torch.zeros_like(p) if total is None else total for total, p in zip(self.sums, self.params, strict=True)
        ]
        if len({total.dtype for total in sums}) > 1:
            sums = _widen(sums)
        scale = torch.ones((), device=self.params[0].device) if self.scale is None else self.scale
        self.count += 1
        self.adamw.step(sums, scale, lr, self.count)
        self.sums, self.scale = [None] * len(self.sums), None

    def weights(self) -> dict[str, Tensor]:
        """The trained parameters by name, as the model holds them."""
        return {name: p.detach() for name, p in zip(self.names, self.params, strict=True)}

    def state_dict(self) -> dict[str, Tensor]:
        """Flat and by name: `step`; `NAME.exp_avg`, `NAME.exp_avg_sq`, and `NAME.master` where there is one."""
        state = {"step": torch.tensor(self.count)}
        for i, (name, p) in enumerate(zip(self.names, self.params, strict=True)):
            state |= {f"{name}.exp_avg": self.adamw.exp_avg[i], f"{name}.exp_avg_sq": self.adamw.exp_avg_sq[i]}
            if self.adamw.masters[i] is not p:
                state[f"{name}.master"] = self.adamw.masters[i]
        return state

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Takes back what `state_dict` gave; parameters that have masters are rounded from them again."""
        self.count = int(state["step"])
        for i, (name, p) in enumerate(zip(self.names, self.params, strict=True)):
            self.adamw.exp_avg[i].copy_(state[f"{name}.exp_avg"])
            self.adamw.exp_avg_sq[i].copy_(state[f"{name}.exp_avg_sq"])
            # A checkpoint of another precision has no masters, or has them where none are needed: both are taken.
            self.adamw.masters[i].copy_(state.get(f"{name}.master", p))
            p.copy_(self.adamw.masters[i])


class PlainAdamW:
    """torch's AdamW with masters, for any device and precision: the plain form of `tune.adamw.AdamW`.

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
        self.params = params
        self.masters = [p if p.dtype == torch.float32 else p.detach().float() for p in params]
        self.exp_avg = [torch.zeros_like(master) for master in self.masters]
        self.exp_avg_sq = [torch.zeros_like(master) for master in self.masters]
        groups: dict[tuple[float, float], list[Tensor]] = {}
        for master, decay, ratio in zip(self.masters, decays, ratios, strict=True):
            groups.setdefault((decay, ratio), []).append(master)
        fused = all(p.is_cuda for p in params)
        self.torch = torch.optim.AdamW(
            [{"params": ms, "weight_decay": decay, "ratio": ratio} for (decay, ratio), ms in groups.items()],
            betas=betas,
            eps=eps,
            fused=fused,
        )
        # The fused kernel wants its step counters on the device, the loop wants them here.
        self.counts = torch.zeros(len(params), device=params[0].device if fused else "cpu")
        for master, *state in zip(self.masters, self.counts, self.exp_avg, self.exp_avg_sq, strict=True):
            self.torch.state[master] = dict(zip(("step", "exp_avg", "exp_avg_sq"), state, strict=True))

    def step(self, grads: list[Tensor], clip: Tensor, lr: float, count: int) -> None:
        """One step, the `count`-th (from 1), with `grads` times the scalar `clip`; fp32 gradients are overwritten."""
        grads = _widen(grads)
        torch._foreach_mul_(grads, clip)  # pyright: ignore[reportPrivateImportUsage]
        self.counts.fill_(count - 1)
        for group in self.torch.param_groups:
            group["lr"] = lr * group["ratio"]
        for master, grad in zip(self.masters, grads, strict=True):
            master.grad = grad
        self.torch.step()
        for master in self.masters:
            master.grad = None
        low = [(p, master) for p, master in zip(self.params, self.masters, strict=True) if p is not master]
        _foreach_copy([p for p, _ in low], [master for _, master in low])


def _form(params: list[Tensor]) -> Any:
    """One kernel for everything where there can be: bf16 on a GPU for which Triton is installed."""
    if all(p.is_cuda and p.dtype == torch.bfloat16 and p.is_contiguous() for p in params):
        try:
            from tune.adamw import AdamW

            return AdamW
        except ImportError:  # Triton isn't made for every system; the result is the same without
            pass
    return PlainAdamW


def _widen(tensors: list[Any]) -> list[Tensor]:
    """The tensors in fp32: themselves where they are."""
    wide = [t if t.dtype == torch.float32 else torch.empty_like(t, dtype=torch.float32) for t in tensors]
    cast = [(w, t) for w, t in zip(wide, tensors, strict=True) if w is not t]
    _foreach_copy([w for w, _ in cast], [t for _, t in cast])
    return wide


def _foreach_copy(into: list[Tensor], source: list[Tensor]) -> None:
    """`into[i].copy_(source[i])` in a few kernels; an empty list is refused by torch, so it is left out."""
    if into:
        torch._foreach_copy_(into, source)  # pyright: ignore[reportPrivateImportUsage]


SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),
    "linear": lambda done: 1.0 - done,
    "constant": lambda done: 1.0,
}


def schedule(name: str, step: int, steps: int, warmup: float) -> float:
    """The factor on the learning rate at `step` (from 0) of `steps`, in 0..1.

    The first `warmup` share of the steps rises linearly to 1 (its first step is not 0: a step that moves nothing is
    wasted), then `name` (a key of SCHEDULES) goes from 1 to 0 at step `steps`, which is one after the last.
    """
    rise = math.ceil(warmup * steps - 1e-9)  # 0.07 * 100 is a hair above 7
    if step < rise:
        return (step + 1) / rise
    return SCHEDULES[name]((step - rise) / (steps - rise) if rise < steps else 1.0)
