"""Virtual tokens: learnt vectors that stand before every sample, as embeddings or as keys and values of each layer.

PEFT makes, names, saves and loads the parameters; its forward passes put them before a *row*, so that of several
samples in one only the first would see them. Ours put them before each sample, and so does generation: a batch is
padded on the left, the virtual tokens stand between padding and prompt.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from tune.attention import PREFIXED
from tune.encoders import first_position, layers_of

if TYPE_CHECKING:
    from tune.pack import Pack


@dataclass(frozen=True)
class Virtual:
    """`tokens` virtual tokens. encoder: PEFT's module that makes their vectors; bare: it holds the vectors alone, as
    one that was loaded does.

    places: tokens that stand in the row before each sample. prefix: keys and values that stand before its own.
    """

    encoder: Any
    tokens: int
    bare: bool
    attention: ClassVar[str] = "sdpa"

    @property
    def places(self) -> int:
        return 0

    @property
    def prefix(self) -> int:
        return 0

    def vectors(self) -> Tensor:
        """[P, width], with their gradient; the width is the encoder's."""
        weight = self.encoder.embedding.weight
        return weight if self.bare else self.encoder(torch.arange(self.tokens, device=weight.device)[None])[0]


class Embeddings(Virtual):
    """Of the prompt methods: vectors like those of words, at the start of each sample."""

    @property
    def places(self) -> int:
        return self.tokens

    def packed(self, causal: Any, pack: Pack) -> dict[str, Tensor | None]:
        """What of the decoder's input differs, for a row that has places for them."""
        samples = len(pack.virtual_V) // self.tokens
        words_TD = causal.get_input_embeddings()(pack.ids_T)
        prompts_VD = self.vectors().to(words_TD.dtype).repeat(samples, 1)
        return {"input_ids": None, "inputs_embeds": words_TD.index_copy(0, pack.virtual_V, prompts_VD)[None]}

    def prompted(self, causal: Any, ids_BS: Tensor, mask_BS: Tensor) -> dict[str, Tensor]:
        """What `generate` takes instead of a batch of prompts that are padded on the left."""
        batch, longest, P = *ids_BS.shape, self.tokens
        words_BSD = causal.get_input_embeddings()(ids_BS)
        seen_BE = torch.cat([torch.zeros_like(mask_BS[:, :1]).expand(-1, P), mask_BS], dim=1)
        embeds_BED = torch.cat([words_BSD[:, :1].expand(-1, P, -1), words_BSD], dim=1)
        begin_B1 = longest - mask_BS.sum(dim=1, keepdim=True)
        at_BP = begin_B1 + torch.arange(P, device=ids_BS.device)
        prompts_PD = self.vectors().to(words_BSD.dtype)
        embeds_BED[torch.arange(batch, device=ids_BS.device)[:, None], at_BP] = prompts_PD
        return {"inputs_embeds": embeds_BED, "attention_mask": seen_BE.scatter(1, at_BP, 1)}

    @contextmanager
    def generating(self, causal: Any) -> Iterator[None]:
        yield


class KeysAndValues(Virtual):
    """Of prefix tuning: in each layer keys, not rotated, and values. What follows has positions from P on."""

    attention: ClassVar[str] = PREFIXED

    @property
    def prefix(self) -> int:
        return self.tokens

    def packed(self, causal: Any, pack: Pack) -> dict[str, Tensor]:
        """What of the decoder's input differs; the keys and values are left with the layers, where gradient
        checkpointing finds them once more."""
        self._put(causal)
        return {"position_ids": pack.positions_T[None] + self.tokens + first_position(causal.config)}

    def prompted(self, causal: Any, ids_BS: Tensor, mask_BS: Tensor) -> dict[str, Tensor]:
        """What `generate` takes instead of a batch of prompts that are padded on the left."""
        positions_BS = (mask_BS.cumsum(dim=1) - 1).clamp(min=0) + self.tokens
        return {"input_ids": ids_BS, "attention_mask": mask_BS, "position_ids": positions_BS}

    @contextmanager
    def generating(self, causal: Any) -> Iterator[None]:
        """The layers' attention is PREFIXED inside."""
        self._put(causal)
        try:
            yield
        finally:
            for attention in attentions(causal):
                attention.prefix = None

    def _put(self, causal: Any) -> None:
        layers = attentions(causal)
        # In fp32 the MLP would cost more than it is worth: what it makes is rounded anyway.
        with torch.autocast(causal.device.type, dtype=causal.dtype, enabled=causal.dtype != torch.float32):
            vectors_PW = self.vectors().to(causal.dtype)
        width = getattr(layers[0], "head_dim", None) or layers[0].attention_head_size
        kv_PYKC = vectors_PW.view(self.tokens, 2 * len(layers), -1, width)
        # As PEFT lays them out: keys of the first layer, its values, keys of the second, …
        parts = kv_PYKC.permute(1, 2, 0, 3)[:, None].unbind()
        for attention, key_1KPC, value_1KPC in zip(layers, parts[::2], parts[1::2], strict=True):
            attention.prefix = key_1KPC, value_1KPC


def attentions(causal: Any) -> list[Any]:
    """The attention of each layer; layers without one (of state-space models) are left out."""
    named = (module for layer in layers_of(causal) for module in layer.modules() if hasattr(module, "layer_idx"))
    return [module for module in named if type(module).__name__.endswith("Attention")]


def virtual_of(causal: Any) -> Any:
    """What stands before the samples of a transformers model: Embeddings, KeysAndValues or None."""
    return getattr(causal, "virtual", None)


def install(wrapped: Any, kind: type[Virtual]) -> Any:
    """Let the model inside a PEFT wrapper of a prompt method put its virtual tokens before each sample."""
    config = wrapped.active_peft_config
    encoder = wrapped.prompt_encoder[wrapped.active_adapter]
    wrapped.get_base_model().virtual = kind(encoder, config.num_virtual_tokens, config.inference_mode)
    return wrapped


@contextmanager
def without_virtual(causal: Any) -> Iterator[None]:
    """The model as it was before it got virtual tokens."""
    virtual = virtual_of(causal)
    causal.virtual = None
    try:
        yield
    finally:
        causal.virtual = virtual
