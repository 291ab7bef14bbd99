"""What a packed row is worth: the loss that training lowers, and each sample's likelihood.

Three objectives. `sft`: the answer's tokens, by a causal model. `classify`: a sample's label, by a head; the loss is
the cross-entropy, which label smoothing (Szegedy et al. 2016, arXiv:1512.00567) and class weights may change in
training. `regress`: a sample's score, by a head of one output; the loss is the squared error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tune.attention import NAME, NO_MASK, Rows
from tune.encoders import family_of, first_position, logits_of, pooled
from tune.heads import plain_weight, summed_loss, token_losses
from tune.pack import Pack, build_pack, fill_rows, round_up
from tune.virtual import virtual_of

if TYPE_CHECKING:
    from tune.config import Config
    from tune.data import Tokens


def cut_at_samples(model: Any) -> Rows:
    """Make a model's attention stop at sample borders in packed rows; other passes work as before."""
    causal = unwrapped(model)
    causal.set_attn_implementation(NAME)
    causal.packed_rows = Rows(causal.config, causal.device, causal=family_of(causal) is None)
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
    virtual, family = virtual_of(causal), family_of(causal)
    found = {
        "input_ids": pack.ids_T[None],
        "position_ids": pack.positions_T[None] + first_position(causal.config),
        "attention_mask": NO_MASK,
        "rows": causal.packed_rows.load(pack, virtual.prefix if virtual else 0),
    }
    if family is None:
        found["use_cache"] = False
    elif family.types and causal.config.type_vocab_size > 1:
        found["token_type_ids"] = pack.types_T[None]
    elif family.types or hasattr(causal.config, "type_vocab_size"):
        # Left out, they would be looked up by positions of a row, of which there are more than of a text.
        found["token_type_ids"] = torch.zeros_like(pack.types_T)[None]
    return found | virtual.packed(causal, pack) if virtual else found


def loss_of(config: Config, train: Tokens) -> Callable[[Any, Pack], Tensor]:
    """The summed loss of a row, with its gradient, as training with these settings lowers it."""
    if not train.labelled:
        return sft_loss
    weight_C = class_weights(train.label_N) if config.class_weights == "balanced" else None
    return partial(head_loss, smoothing=config.label_smoothing, weight_C=weight_C)


def class_weights(label_N: np.ndarray) -> Tensor:
    """n / (C n_c) for each of C classes: all classes weigh the same, and the train samples 1 on average (King and Zeng
    2001; scikit-learn's "balanced"). A class without samples weighs 0."""
    count_C = np.bincount(label_N.astype(np.int64))
    there = np.maximum(count_C, 1)
    return torch.from_numpy(np.where(count_C > 0, len(label_N) / ((count_C > 0).sum() * there), 0.0)).float()


def head_loss(model: Any, pack: Pack, smoothing: float = 0.0, weight_C: Tensor | None = None) -> Tensor:
    """The row's summed loss of its labels: an fp32 scalar with its gradient, for each sample what torch's
    `cross_entropy` (or the squared error of a score) says of it alone, times its class's weight.

    The caller divides by the samples of the whole optimiser step, not by the sum of their weights, so that a sample
    weighs the same whatever shares its step.
    """
    logits_SC = head_logits(model, pack)
    if unwrapped(model).config.problem_type == "regression":
        return (logits_SC[:, 0] - pack.target_A.to(logits_SC.dtype)).square().sum()
    if weight_C is not None:
        weight_C = F.pad(weight_C, (0, logits_SC.shape[1] - len(weight_C))).to(logits_SC.device)
    options: dict[str, Any] = {"weight": weight_C, "label_smoothing": smoothing, "reduction": "sum"}
    return F.cross_entropy(logits_SC, pack.target_A.long(), **options)


def head_logits(model: Any, pack: Pack) -> Tensor:
    """What the head says of each sample of a row, fp32 [S, C]; of a score C is 1."""
    core, last_S = unwrapped(model), pack.at_A
    first_S = pack.start_T[last_S].long()
    return logits_of(core, pooled(core, hidden_states(model, pack), first_S, last_S)).float()


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
    """The negative log-likelihood of each learnt token of the row, fp32 [A]; with a head, each sample's plain loss."""
    if pack.target_A.is_floating_point():
        return label_losses(head_logits(model, pack), pack.target_A)
    weight_VD = plain_weight(unwrapped(model))
    if weight_VD is None:
        return _own_token_losses(model, pack)
    return token_losses(hidden_states(model, pack)[pack.at_A], weight_VD, pack.target_A)


def label_losses(logits_SC: Tensor, label_S: Tensor) -> Tensor:
    """Of each sample the cross-entropy, or (of one output) the squared error; fp32 [S]."""
    if logits_SC.shape[1] == 1:
        return (logits_SC[:, 0] - label_S.to(logits_SC)).square()
    return F.cross_entropy(logits_SC, label_S.long(), reduction="none")


def _own_token_losses(model: Any, pack: Pack) -> Tensor:
    """For a model that reshapes its logits (soft-capping, a scale, a bias): its own forward there."""
    causal = unwrapped(model)
    logits_1AV = causal(**_packed(causal, pack), logits_to_keep=pack.at_A).logits
    return torch.nn.functional.cross_entropy(logits_1AV[0].float(), pack.target_A, reduction="none")


def answer_nll(
    model: Any, tokens: Tokens, row_tokens: int, samples: Iterable[int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(summed negative log-likelihood, number) of the learnt tokens of each sample, [N] each, in the order given.

    With a head, its loss and 1. Rows are longer than `row_tokens` where a sample is. The model is left in the mode
    (training or not) it was found in.
    """
    tokens, chosen = _as_rows(model, tokens), _chosen(tokens, samples)
    nll_N, count_N = np.zeros(len(chosen)), np.zeros(len(chosen), dtype=np.int64)
    for where, pack in _rows_of(model, tokens, chosen, row_tokens):
        losses_A = answer_losses(model, pack).double().cpu().numpy()
        of_A = pack.sample_A.cpu().numpy()
        nll_N[where] = np.bincount(of_A, weights=losses_A, minlength=len(where))
        count_N[where] = np.bincount(of_A, minlength=len(where))
    return nll_N, count_N


@torch.no_grad()
def all_logits(model: Any, tokens: Tokens, row_tokens: int) -> np.ndarray:
    """What the head says of each sample, float64 [N, C], in the order of the tokens."""
    tokens, found = _as_rows(model, tokens), dict[int, np.ndarray]()
    for where, pack in _rows_of(model, tokens, np.arange(len(tokens)), row_tokens):
        found |= zip(where.tolist(), head_logits(model, pack).double().cpu().numpy(), strict=True)
    return np.stack([found[number] for number in range(len(tokens))])


def _as_rows(model: Any, tokens: Tokens) -> Tokens:
    virtual = virtual_of(unwrapped(model))
    return replace(tokens, virtual=virtual.places if virtual else 0)


def _chosen(tokens: Tokens, samples: Iterable[int] | None) -> np.ndarray:
    return np.arange(len(tokens)) if samples is None else np.fromiter(samples, dtype=np.int64)


def _rows_of(model: Any, tokens: Tokens, chosen: np.ndarray, row_tokens: int) -> Iterator[tuple[np.ndarray, Pack]]:
    """The rows of the chosen samples on the model's device, and which of the chosen each holds.

    Meanwhile the model is not training; afterwards it is as it was.
    """
    row_tokens = max(row_tokens, round_up(int(tokens.places.max())))
    # Longest first: the first row shows whether memory suffices.
    order = np.argsort(-tokens.places[chosen], kind="stable")
    device, training, at = unwrapped(model).device, model.training, 0
    model.eval()
    try:
        for row in fill_rows(tokens.places, chosen[order], row_tokens):
            yield order[at : at + len(row)], build_pack(tokens, row, row_tokens).to(device)
            at += len(row)
    finally:
        model.train(training)
