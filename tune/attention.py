"""Attention that stops at the border of each sample of a packed row.

transformers lets a function stand in for a model's attention (`AttentionInterface`). Ours is called `packed`: names
that transformers treats specially (with "flash", "sdpa" or "flex_attention" in them) are avoided. A forward pass that
brings `rows=` is a packed row; any other one (generation, a padded batch) goes to transformers' own sdpa.

Two ways, one meaning: query q sees key k of the same row if both belong to the same sample, k <= q, and, in a layer
with a sliding window W, k > q - W.

- `LoopRows` (CPU, and the reference): one sdpa call a sample.
- `FlexRows` (CUDA): flex_attention with a block mask made by hand. A block of 128 queries may hold several samples,
  and blocks inside a long one need no mask at all. That makes it faster than torch's `varlen_attn`, which works in
  blocks of 128 queries a sample, from 50 to 8,000 tokens a sample (benchmarks/README.md).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from tune.pack import BLOCK, Pack

NAME = "packed"


def packed_attention(
    module: torch.nn.Module,
    query_BHTC: Tensor,
    key_BKTC: Tensor,
    value_BKTC: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    rows: Any = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """transformers' attention interface: H query heads, K key/value heads, C channels a head; returns [B, T, H, C]."""
    if rows is None:
        kwargs |= {"dropout": dropout, "scaling": scaling, "sliding_window": sliding_window}
        return sdpa_attention_forward(module, query_BHTC, key_BKTC, value_BKTC, attention_mask, **kwargs)
    out_BHTC = rows.attend(query_BHTC, key_BKTC, value_BKTC, scaling, sliding_window)
    return out_BHTC.transpose(1, 2), None


AttentionInterface.register(NAME, packed_attention)
# A pass without `rows=` gets the mask that sdpa would get; a packed one brings `NO_MASK`.
AttentionMaskInterface.register(NAME, sdpa_mask)
#: A ready-made 4-D mask is handed through by transformers as it is, so this one keeps it from building a T x T mask.
NO_MASK = torch.zeros(1, 1, 1, 1)


class LoopRows:
    """One sdpa call a sample: slow, plain, exact."""

    kind = "loop"

    def load(self, pack: Pack) -> LoopRows:
        self.bounds = pack.bounds
        return self

    def attend(
        self, query_BHTC: Tensor, key_BKTC: Tensor, value_BKTC: Tensor, scaling: float | None, window: int | None
    ) -> Tensor:
        parts = []
        for start, end in zip(self.bounds, self.bounds[1:], strict=False):
            q, k, v = (x[:, :, start:end] for x in (query_BHTC, key_BKTC, value_BKTC))
            inside = _window(end - start, window, q.device)
            parts.append(
                F.scaled_dot_product_attention(
                    q,
                    k,
                    v,
                    attn_mask=inside,
                    is_causal=inside is None,
                    scale=scaling,
                    enable_gqa=q.shape[1] != k.shape[1],
                )
            )
        return torch.cat(parts, dim=2)


def _window(length: int, window: int | None, device: torch.device) -> Tensor | None:
    """The causal mask of a sliding window, or None where the window covers the whole sample."""
    if window is None or length <= window:
        return None
    at = torch.arange(length, device=device)
    return (at[None] <= at[:, None]) & (at[None] > at[:, None] - window)


class FlexRows:
    """flex_attention over rows of T tokens; its mask lives in buffers that every row is copied into.

    The buffers stay the same tensors for the whole run: a compiled layer sees nothing change, and never compiles
    again.
    """

    kind = "flex"

    def __init__(self, row_tokens: int, windows: tuple[int, ...], device: torch.device) -> None:
        from torch.nn.attention.flex_attention import flex_attention

        # Uncompiled, flex_attention would build the whole T x T matrix.
        self.flex_attention = torch.compile(flex_attention, dynamic=False)
        self.masks = {None: _BlockMask(row_tokens, device)} | {w: _BlockMask(row_tokens, device) for w in windows}

    def load(self, pack: Pack) -> FlexRows:
        start_T = pack.start_T
        for window, mask in self.masks.items():
            if window is None:
                mask.load(start_T)
            else:
                # A window is a later start.
                at_T = torch.arange(len(start_T), dtype=torch.int32, device=start_T.device)
                mask.load(torch.maximum(start_T, at_T - window + 1))
        return self

    def attend(
        self, query_BHTC: Tensor, key_BKTC: Tensor, value_BKTC: Tensor, scaling: float | None, window: int | None
    ) -> Tensor:
        return self.flex_attention(
            query_BHTC,
            key_BKTC,
            value_BKTC,
            block_mask=self.masks[window].block_mask,
            scale=scaling,
            enable_gqa=query_BHTC.shape[1] != key_BKTC.shape[1],
        )


class _BlockMask:
    """Which key blocks each query block needs, and the other way round, for "from its start to itself".

    Starts never fall along a row. So query block i needs the key blocks from `first[i]`, where its first query's
    sample starts, to i; those from `whole[i]`, where its last query's sample starts, to i - 1 hold no forbidden pair.
    And key block j is needed by the query blocks from j to the last one whose `first` reaches back to it. No search,
    no T x T.
    """

    def __init__(self, row_tokens: int, device: torch.device) -> None:
        from torch.nn.attention.flex_attention import BlockMask

        blocks = row_tokens // BLOCK
        self.start_T = torch.arange(row_tokens, dtype=torch.int32, device=device)
        self.at_N = torch.arange(blocks, dtype=torch.int32, device=device)
        start_T = self.start_T

        def from_its_start_to_itself(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
            return (k >= start_T[q]) & (k <= q)

        lists = {name: self._list(blocks, device) for name in ("kv", "full_kv", "q", "full_q")}
        listed: dict[str, Any] = {f"{name}_num_blocks": count for name, (count, _) in lists.items()}
        listed |= {f"{name}_indices": indices for name, (_, indices) in lists.items()}
        self.block_mask = BlockMask(
            seq_lengths=(row_tokens, row_tokens),
            **listed,
            BLOCK_SIZE=(BLOCK, BLOCK),
            mask_mod=from_its_start_to_itself,
        )
        self.lists = lists
        self.load(start_T.clone())

    @staticmethod
    def _list(blocks: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """For each of N blocks, how many others, and which; entries beyond the count are never read."""
        return (
            torch.zeros(1, 1, blocks, dtype=torch.int32, device=device),
            torch.zeros(1, 1, blocks, blocks, dtype=torch.int32, device=device),
        )

    def load(self, start_T: Tensor) -> None:
        at_N, start_NB = self.at_N, start_T.view(-1, BLOCK)
        self.start_T.copy_(start_T)
        first_N = torch.div(start_NB[:, 0], BLOCK, rounding_mode="floor")
        whole_N = torch.minimum(torch.div(start_NB[:, -1] + BLOCK - 1, BLOCK, rounding_mode="floor"), at_N)
        # The last query block that needs key block j at all, and the last that needs it whole.
        reach_N = torch.searchsorted(first_N, at_N, right=True, out_int32=True) - 1
        whole_reach_N = torch.searchsorted(whole_N, at_N, right=True, out_int32=True) - 1
        self._fill("kv", first_N, whole_N, also=at_N)
        self._fill("full_kv", whole_N, at_N)
        self._fill("q", whole_reach_N + 1, reach_N + 1, also=at_N)
        self._fill("full_q", at_N + 1, whole_reach_N + 1)

    def _fill(self, name: str, start_N: Tensor, end_N: Tensor, also: Tensor | None = None) -> None:
        """List for each block the blocks from start to end - 1, and then `also`."""
        count, indices = self.lists[name]
        length_N = end_N - start_N
        listed_NN = start_N[:, None] + self.at_N
        if also is not None:
            listed_NN = torch.where(self.at_N < length_N[:, None], listed_NN, also[:, None])
            length_N = length_N + 1
        count.copy_(length_N.view_as(count))
        indices.copy_(listed_NN.clamp_(max=len(self.at_N) - 1).view_as(indices))


def sliding_windows(config: Any) -> tuple[int, ...]:
    """The sliding windows that layers of a model with this configuration ask for."""
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None) or ()
    return (window,) if window and "sliding_attention" in kinds else ()


class Rows:
    """The attention of a model's packed rows on its device, made once for each row length that comes up."""

    def __init__(self, config: Any, device: torch.device) -> None:
        self.windows, self.device = sliding_windows(config), device
        self.kind = "flex" if device.type == "cuda" else "loop"
        self.made: dict[int, LoopRows | FlexRows] = {}

    def load(self, pack: Pack) -> LoopRows | FlexRows:
        """What to pass as `rows=` with this row; it holds until the next `load`."""
        if pack.row_tokens not in self.made:
            on_gpu = self.kind == "flex"
            self.made[pack.row_tokens] = FlexRows(pack.row_tokens, self.windows, self.device) if on_gpu else LoopRows()
        return self.made[pack.row_tokens].load(pack)
