"""The loss of the answer tokens, from hidden states: logits of those positions only, a chunk at a time.

A row of 16,384 tokens and a vocabulary of 150,000 would make 10 GiB of logits in fp32; the answers of a
classification corpus are one token in twenty.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

#: fp32 logits held at a time, in numbers (1 GiB).
CHUNK_LOGITS = 1 << 28
#: Configuration keys by which models change their logits after the head; such a model's own forward makes them.
_RESHAPED = {"final_logit_softcapping": None, "logit_scale": 1, "logits_scaling": 1, "output_multiplier_scale": 1}


def plain_weight(model: Any) -> Tensor | None:
    """The head's weight [V, D] if logits are nothing but hidden states times it, else None."""
    head = model.get_output_embeddings()
    if type(head) is not torch.nn.Linear or head.bias is not None:
        return None
    if any(getattr(model.config, key, None) not in (None, plain) for key, plain in _RESHAPED.items()):
        return None
    return head.weight


def summed_loss(hidden_AD: Tensor, weight_VD: Tensor, target_A: Tensor) -> Tensor:
    """Negative log-likelihood of the targets, summed: an fp32 scalar, differentiable in both arguments.

    The gradient is worked out chunk by chunk together with the loss, since the logits are at hand then; `backward`
    only scales it.
    """
    if torch.is_grad_enabled() and (hidden_AD.requires_grad or weight_VD.requires_grad):
        return _SummedLoss.apply(hidden_AD, weight_VD, target_A)
    return token_losses(hidden_AD, weight_VD, target_A).sum()


@torch.no_grad()
def token_losses(hidden_AD: Tensor, weight_VD: Tensor, target_A: Tensor) -> Tensor:
    """Negative log-likelihood of each target, fp32 [A], without gradients."""
    chunks = _chunks(hidden_AD, weight_VD, target_A)
    return torch.cat([_chunk(hidden_CD, weight_VD, target_C)[0] for hidden_CD, target_C in chunks])


def _chunks(hidden_AD: Tensor, weight_VD: Tensor, target_A: Tensor) -> list[tuple[Tensor, Tensor]]:
    rows = max(1, CHUNK_LOGITS // len(weight_VD))
    return list(zip(hidden_AD.split(rows), target_A.split(rows), strict=True))


def _chunk(hidden_CD: Tensor, weight_VD: Tensor, target_C: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(losses [C], logits [C, V], their log-sum-exp [C, 1]), all fp32."""
    logits_CV = (hidden_CD @ weight_VD.T).float()
    total_C1 = torch.logsumexp(logits_CV, dim=-1, keepdim=True)
    return (total_C1 - logits_CV.gather(1, target_C[:, None]))[:, 0], logits_CV, total_C1


class _SummedLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_AD: Tensor, weight_VD: Tensor, target_A: Tensor) -> Tensor:
        losses, d_hidden, d_weight_VD = [], [], None
        for hidden_CD, target_C in _chunks(hidden_AD, weight_VD, target_A):
            loss_C, logits_CV, total_C1 = _chunk(hidden_CD, weight_VD, target_C)
            losses.append(loss_C)
            # d loss / d logits = softmax - one-hot, in place of the logits.
            d_logits_CV = logits_CV.sub_(total_C1).exp_()
            d_logits_CV.scatter_add_(1, target_C[:, None], torch.full_like(total_C1, -1.0))
            d_logits_CV = d_logits_CV.to(hidden_CD.dtype)
            if ctx.needs_input_grad[0]:
                d_hidden.append(d_logits_CV @ weight_VD)
            if ctx.needs_input_grad[1]:
                part_VD = d_logits_CV.T @ hidden_CD
                d_weight_VD = part_VD if d_weight_VD is None else d_weight_VD.add_(part_VD)
            del logits_CV, d_logits_CV  # before the next chunk's are made
        ctx.save_for_backward(torch.cat(d_hidden) if d_hidden else None, d_weight_VD)
        return torch.cat(losses).sum()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        # A scalar of fp32 leaves the others' type as it is, and is not rounded to it.
        d_hidden_AD, d_weight_VD = (None if d is None else d * grads[0] for d in ctx.saved_tensors)
        return d_hidden_AD, d_weight_VD, None
