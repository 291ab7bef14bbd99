"""What a packed row is worth: the loss that training lowers, and each sample's likelihood."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from tune.attention import NAME, NO_MASK, Rows
from tune.heads import plain_weight, summed_loss, token_losses
from tune.pack import Pack, build_pack, fill_rows, round_up
from tune.virtual import virtual_of

if TYPE_CHECKING:
    from tune.data import Tokens


def cut_at_samples(model: Any) -> Rows:
    """Make a causal model's attention stop at sample borders in packed rows; other passes work as before."""
    causal = unwrapped(model)
    causal.set_attn_implementation(NAME)
    causal.packed_rows = Rows(causal.config, causal.device)
    return causal.packed_rows


def unwrapped(model: Any) -> Any:
    """The transformers model inside PEFT's wrapper (the adapter's layers stand in it), or the model itself."""
    return model.get_base_model() if hasattr(model, "peft_config") else model


def hidden_states(model: Any, pack: Pack) -> Tensor:
    """The last hidden states [T, D] of a row, every sample as if it stood alone."""
    causal = unwrapped(model)
    return causal.get_decoder()(**_packed(causal, pack)).last_hidden_state[0]


def _packed(causal: Any, pack: Pack) -> dict[str, Any]:
    """A row as the model's own forward takes it, with the virtual tokens before each sample where there are any."""
    virtual = virtual_of(causal)
    found = {
        "input_ids": pack.ids_T[None],
        "position_ids": pack.positions_T[None],
        "attention_mask": NO_MASK,
        "use_cache": False,
        "rows": causal.packed_rows.load(pack, virtual.prefix if virtual else 0),
    }
    return found | virtual.packed(causal, pack) if virtual else found


def sft_loss(model: Any, pack: Pack) -> Tensor:
    """The row's summed negative log-likelihood of its learnt tokens: an fp32 scalar with its gradient.

    The caller divides by the learnt tokens of the whole optimiser step, so that a token weighs the same in any row.
    """
    weight_VD = plain_weight(unwrapped(model))
    if weight_VD is None:
        return _own_token_losses(model, pack).sum()
    return summed_loss(hidden_states(model, pack)[pack.at_A], weight_VD, pack.target_A)


@torch.no_grad()
def answer_losses(model: Any, pack: Pack) -> Tensor:
    """The negative log-likelihood of each learnt token of the row, fp32 [A]."""
    weight_VD = plain_weight(unwrapped(model))
    if weight_VD is None:
        return _own_token_losses(model, pack)
    return token_losses(hidden_states(model, pack)[pack.at_A], weight_VD, pack.target_A)


def _own_token_losses(model: Any, pack: Pack) -> Tensor:
    """For a model that reshapes its logits (soft-capping, a scale, a bias): its own forward there."""
    causal = unwrapped(model)
    logits_1AV = causal(**_packed(causal, pack), logits_to_keep=pack.at_A).logits
    return torch.nn.functional.cross_entropy(logits_1AV[0].float(), pack.target_A, reduction="none")


def answer_nll(
    model: Any, tokens: Tokens, row_tokens: int, samples: Iterable[int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(summed negative log-likelihood, number) of the learnt tokens of each sample, [N] each, in the order given.

    Rows are longer than `row_tokens` where a sample is. The model is left in the mode (training or not) it was found
    in.
    """
    virtual = virtual_of(unwrapped(model))
    tokens = replace(tokens, virtual=virtual.places if virtual else 0)
    row_tokens = max(row_tokens, round_up(int(tokens.places.max())))
    chosen = np.arange(len(tokens)) if samples is None else np.fromiter(samples, dtype=np.int64)
    # Longest first: the first row shows whether memory suffices.
    order = np.argsort(-tokens.places[chosen], kind="stable")
    nll_N, count_N = np.zeros(len(chosen)), np.zeros(len(chosen), dtype=np.int64)
    device, training, at = unwrapped(model).device, model.training, 0
    model.eval()
    try:
        for row in fill_rows(tokens.places, chosen[order], row_tokens):
            pack = build_pack(tokens, row, row_tokens)
            losses_A = answer_losses(model, pack.to(device)).double().cpu().numpy()
            where = order[at : at + len(row)]
            nll_N[where] = np.bincount(pack.sample_A.numpy(), weights=losses_A, minlength=len(row))
            count_N[where] = np.bincount(pack.sample_A.numpy(), minlength=len(row))
            at += len(row)
    finally:
        model.train(training)
    return nll_N, count_N
