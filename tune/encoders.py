"""Encoders: which families can be packed, what their positions begin with, and how each makes logits of a sample.

An encoder looks both ways and can't write answers; what it learns is a head on the state of each sample's first token
(`[CLS]`). Heads are transformers' own modules, called on gathered states, so that a packed row gives what
`AutoModelForSequenceClassification` gives one by one, and the result loads there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Family:
    """Of a `model_type`. logits: from the states of the first tokens, [S, 1, D], or of ModernBERT the pooled ones,
    [S, D]. offset: positions begin behind the padding's (RoBERTa, arXiv:1907.11692, as fairseq numbers them). types:
    the second text of a pair has a type of its own. prefix: attention takes keys and values from before, so that
    prefix methods work.
    """

    logits: Callable[[Any, Tensor], Tensor]
    offset: bool = False
    types: bool = True
    prefix: bool = True


def _pooler(model: Any, states_S1D: Tensor) -> Tensor:
    return model.classifier(model.dropout(model.base_model.pooler(states_S1D)))


def _classification_head(model: Any, states_S1D: Tensor) -> Tensor:
    return model.classifier(states_S1D)


def _modernbert(model: Any, pooled_SD: Tensor) -> Tensor:
    return model.classifier(model.drop(model.head(pooled_SD)))


FAMILIES = {
    "bert": Family(_pooler),
    "ernie": Family(_pooler),
    "electra": Family(_classification_head),
    "roberta": Family(_classification_head, offset=True, types=False),
    "xlm-roberta": Family(_classification_head, offset=True, types=False),
    "camembert": Family(_classification_head, offset=True, types=False),
    "modernbert": Family(_modernbert, types=False, prefix=False),
}
#: What is offered in the place of an encoder that can't be packed.
INSTEAD = "a BERT, RoBERTa, XLM-RoBERTa, ERNIE, ELECTRA or ModernBERT model"
_OWN_ATTENTION = "its attention is its own, so that packed samples would see each other"
_UNFIT = {
    "deberta": _OWN_ATTENTION,
    "deberta-v2": _OWN_ATTENTION,
    "xlnet": _OWN_ATTENTION,
    "funnel": _OWN_ATTENTION,
    "big_bird": _OWN_ATTENTION,
    "longformer": _OWN_ATTENTION,
    "albert": "all its layers are one, which no method here takes apart",
}


def is_encoder(config: Any) -> bool:
    """Whether a transformers configuration is of an encoder: a family for masked tokens, or one named here."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    kind = config.model_type
    return kind in FAMILIES or kind in _UNFIT or (kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not _writes(config))


def _writes(config: Any) -> bool:
    return bool(getattr(config, "is_encoder_decoder", False) or getattr(config, "is_decoder", False))


def why_not(config: Any) -> str:
    """Why an encoder of this configuration can't be packed; "" where it can."""
    if config.model_type in FAMILIES:
        return ""
    return _UNFIT.get(config.model_type, "it is not known how such an encoder reads a packed row")


def family_of(model: Any) -> Family | None:
    """The family of an encoder; None for a decoder."""
    return FAMILIES.get(model.config.model_type)


def positions(config: Any) -> int | None:
    """How many tokens a model of this configuration has positions for; None where they are not counted."""
    most = getattr(config, "max_position_embeddings", None)
    return most - first_position(config) if most else None


def first_position(config: Any) -> int:
    """The position of a sample's first token."""
    family = FAMILIES.get(config.model_type)
    return config.pad_token_id + 1 if family and family.offset else 0


def layers_of(model: Any) -> Any:
    """A model's layers in their order; none where they are not called as usual."""
    trunk = model.get_decoder()
    encoder = getattr(trunk, "encoder", None)
    return getattr(trunk, "layers", None) or getattr(encoder, "layer", None) or ()


def pooled(model: Any, hidden_TD: Tensor, first_S: Tensor, last_S: Tensor) -> Tensor:
    """What a head reads of each packed sample: [S, 1, D], the first token of an encoder or the last of a decoder; of a
    ModernBERT [S, D], the first or the mean, as its configuration says."""
    if family_of(model) is None:
        return hidden_TD[last_S][:, None]
    if model.config.model_type != "modernbert":
        return hidden_TD[first_S][:, None]
    if model.config.classifier_pooling == "cls":
        return hidden_TD[first_S]
    length_S = last_S - first_S + 1
    of_T = torch.repeat_interleave(torch.arange(len(first_S), device=hidden_TD.device), length_S)
    sums_SD = hidden_TD.new_zeros(len(first_S), hidden_TD.shape[1]).index_add(0, of_T, hidden_TD[: len(of_T)])
    return sums_SD / length_S[:, None]


def logits_of(model: Any, states: Tensor) -> Tensor:
    """[S, C] from `pooled`, by the model's own modules: an encoder's head, or a decoder's `score`."""
    family = family_of(model)
    return family.logits(model, states) if family else model.score(states[:, 0])
