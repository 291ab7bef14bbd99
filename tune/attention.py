"""Attention that stops at the border of each sample of a packed row.

transformers lets a function stand in for a model's attention (`AttentionInterface`). Ours is called `packed`: names
that transformers treats specially (with "flash", "sdpa" or "flex_attention" in them) are avoided. A forward pass that
brings `rows=` is a packed row; any other one (generation, a padded batch) goes to transformers' own sdpa.

Two ways, one meaning: query q sees key k of the same row if both belong to the same sample, k <= q, and, in a layer
with a sliding window W, k > q - W. Where a layer has a learnt prefix (tune/virtual.py), its P keys and values stand
before each sample's own, as if they were P earlier tokens of it: every query sees them, or the part in its window.

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
#: For generation with a prefix: transformers' sdpa, the layer's prefix before the keys it would see.
PREFIXED = "prefixed"


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
    # What an earlier row left with the layer doesn't count for one without a prefix.
    prefix = getattr(module, "prefix", None) if rows.prefix else None
    out_BHTC = rows.attend(query_BHTC, key_BKTC, value_BKTC, scaling, sliding_window, prefix)
    return out_BHTC.transpose(1, 2), None


def prefixed_attention(
    module: torch.nn.Module,
    query_BHTC: Tensor,
    key_BKTC: Tensor,
    value_BKTC: Tensor,
    attention_mask: Tensor | None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Like `packed_attention` without rows, after the module's prefix; positions count it (its first token is 0).

    It is put there anew at every call, in front of what the cache holds: so samples of a batch, padded on the left,
    see it at the same distance as alone.
    """
    prefix: Any = module.prefix
    count, length, seen = prefix[0].shape[2], query_BHTC.shape[2], key_BKTC.shape[2]
    key_BKSC, value_BKSC = before(prefix, key_BKTC, value_BKTC)
    if attention_mask is None:
        everything = torch.ones(1, 1, length, seen, dtype=torch.bool, device=query_BHTC.device)
        attention_mask = everything.tril(seen - length)
    at_P = torch.arange(count, device=query_BHTC.device)
    inside_BTP = at_P > kwargs["position_ids"][..., None] - (sliding_window or 1 << 30)
    shape = (len(query_BHTC), 1, length, -1)
    mask = torch.cat([inside_BTP[:, None].expand(*shape), attention_mask.expand(*shape)], dim=-1)
    return sdpa_attention_forward(module, query_BHTC, key_BKSC, value_BKSC, mask, **kwargs)


def before(prefix: tuple[Tensor, Tensor], key_BKTC: Tensor, value_BKTC: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values [B, K, P + T, C], the prefix [1, K, P, C] in front."""
    joined = [
        torch.cat([own.expand(len(x), -1, -1, -1), x], dim=2)
        for own, x in zip(prefix, (key_BKTC, value_BKTC), strict=True)
    ]
    return joined[0], joined[1]


# A pass without `rows=` gets the mask that sdpa would get; a packed one brings `NO_MASK`.
for _name, _attention in ((NAME, packed_attention), (PREFIXED, prefixed_attention)):
    AttentionInterface.register(_name, _attention)
    AttentionMaskInterface.register(_name, sdpa_mask)
#: A ready-made 4-D mask is handed through by transformers as it is, so this one keeps it from building a T x T mask.
NO_MASK = torch.zeros(1, 1, 1, 1)


class LoopRows:
    """One sdpa call a sample: slow, plain, exact."""

    kind = "loop"

    def __init__(self, prefix: int = 0) -> None:
        self.prefix = prefix

    def load(self, pack: Pack) -> LoopRows:
        self.bounds = pack.bounds
        return self

    def attend(
        self,
        query_BHTC: Tensor,
        key_BKTC: Tensor,
        value_BKTC: Tensor,
        scaling: float | None,
        window: int | None,
        prefix: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        parts = []
        for start, end in zip(self.bounds, self.bounds[1:], strict=False):
            q, k, v = (x[:, :, start:end] for x in (query_BHTC, key_BKTC, value_BKTC))
            inside = _window(end - start, window, q.device)
            if prefix is not None:
                k, v = before(prefix, k, v)
                inside = _causal(k.shape[2], window, q.device)[start - end :]
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
    return None if window is None or length <= window else _causal(length, window, device)


def _causal(length: int, window: int | None, device: torch.device) -> Tensor:
    at = torch.arange(length, device=device)
    return (at[None] <= at[:, None]) & (at[None] > at[:, None] - (window or length))


class FlexRows:
    """flex_attention over rows of T tokens; its mask lives in buffers that every row is copied into.

    The buffers stay the same tensors for the whole run: a compiled layer sees nothing change, and never compiles
    again. A prefix is no part of the mask: a block of 128 keys for the few there are, looked at by every query, would
    cost half as much as all the rest.
    """

    kind = "flex"

    def __init__(self, row_tokens: int, windows: tuple[int, ...], device: torch.device, prefix: int = 0) -> None:
        from torch.nn.attention.flex_attention import AuxRequest, flex_attention

        self.wanted = AuxRequest(lse=True)
        # Uncompiled, flex_attention would build the whole T x T matrix.
        self.flex_attention = torch.compile(flex_attention, dynamic=False)
        self.prefix = prefix
        #: The place of each token in its sample, prefix included: decides how much of that a window still holds.
        self.place_T = torch.zeros(row_tokens, dtype=torch.int32, device=device)
        self.masks = {None: _BlockMask(row_tokens, device)} | {w: _BlockMask(row_tokens, device) for w in windows}

    def load(self, pack: Pack) -> FlexRows:
        start_T = pack.start_T
        self.place_T.copy_(pack.positions_T + self.prefix)
        for window, mask in self.masks.items():
            if window is None:
                mask.load(start_T)
            else:
                # A window is a later start.
                at_T = torch.arange(len(start_T), dtype=torch.int32, device=start_T.device)
                mask.load(torch.maximum(start_T, at_T - window + 1))
        return self

    def attend(
        self,
        query_BHTC: Tensor,
        key_BKTC: Tensor,
        value_BKTC: Tensor,
        scaling: float | None,
        window: int | None,
        prefix: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        options: dict[str, Any] = {"block_mask": self.masks[window].block_mask, "scale": scaling}
        options["enable_gqa"] = query_BHTC.shape[1] != key_BKTC.shape[1]
        if prefix is None:
            return self.flex_attention(query_BHTC, key_BKTC, value_BKTC, **options)
        found: Any = self.flex_attention(query_BHTC, key_BKTC, value_BKTC, return_aux=self.wanted, **options)
        gone_T = self.place_T - window + 1 if window else None
        scale = query_BHTC.shape[-1] ** -0.5 if scaling is None else scaling
        return with_prefix(query_BHTC, found[0], found[1].lse, prefix, scale, gone_T)


def with_prefix(
    query_BHTC: Tensor,
    own_BHTC: Tensor,
    lse_BHT: Tensor,
    prefix: tuple[Tensor, Tensor],
    scale: float,
    gone_T: Tensor | None,
) -> Tensor:
    """Attention over prefix and own keys from that over the own ones and the log of its softmax's denominator.

    The prefix's few scores are made as they are, [T, P] a head, and the two parts weighed by their shares of the
    joint denominator. gone_T: how many of the first prefix keys lie before a query's window.
    """
    keys_1KPC, values_1KPC = prefix
    grouped = (1, keys_1KPC.shape[1], -1, query_BHTC.shape[-1])  # query heads that share keys, one after the other
    scores = (query_BHTC.reshape(grouped) @ keys_1KPC.transpose(-1, -2)).view(
        *query_BHTC.shape[:3], -1
    ).float() * scale
    if gone_T is not None:
        at_P = torch.arange(scores.shape[-1], device=scores.device)
        scores = scores.masked_fill(at_P < gone_T[:, None], float("-inf"))
    joint_BHT1 = torch.logsumexp(torch.cat([scores, lse_BHT[..., None]], dim=-1), dim=-1, keepdim=True)
    weights = torch.exp(scores - joint_BHT1).to(query_BHTC.dtype)
    before = (weights.reshape(1, keys_1KPC.shape[1], -1, scores.shape[-1]) @ values_1KPC).view_as(own_BHTC)
    return own_BHTC * torch.exp(lse_BHT[..., None] - joint_BHT1).to(own_BHTC.dtype) + before


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
        self.made: dict[tuple[int, int], LoopRows | FlexRows] = {}

    def load(self, pack: Pack, prefix: int = 0) -> LoopRows | FlexRows:
        """What to pass as `rows=` with this row, `prefix` learnt keys before each of its samples; it holds until the
        next `load`."""
        key = pack.row_tokens, prefix
        if key not in self.made:
            on_gpu = self.kind == "flex"
            self.made[key] = (
                FlexRows(pack.row_tokens, self.windows, self.device, prefix) if on_gpu else LoopRows(prefix)
            )
        return self.made[key].load(pack)
