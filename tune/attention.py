"""Attention that stops at the border of each sample of a packed row.

transformers lets a function stand in for a model's attention (`AttentionInterface`). Ours is called `packed`: names
that transformers treats specially (with "flash", "sdpa" or "flex_attention" in them) are avoided. A forward pass that
brings `rows=` is a packed row; any other one (generation, a padded batch) goes to transformers' own sdpa.

Two ways, one meaning: query q sees key k of the same row if both belong to the same sample, k <= q, and, in a layer
with a sliding window W, k > q - W. In an encoder, which looks both ways, k <= q is not asked, and a window means
|q - k| < W. Where a layer has a learnt prefix (tune/virtual.py), its P keys and values stand
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
    """One sdpa call a sample: slow, plain, exact. causal: whether a token sees only what stands before it."""

    kind = "loop"

    def __init__(self, prefix: int = 0, causal: bool = True) -> None:
        self.prefix, self.causal = prefix, causal

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
            inside = _window(end - start, window, q.device, self.causal)
            if prefix is not None:
                k, v = before(prefix, k, v)
                inside = _causal(k.shape[2], window, q.device)[start - end :] if self.causal else None
            parts.append(
                F.scaled_dot_product_attention(
                    q,
                    k,
                    v,
                    attn_mask=inside,
                    is_causal=inside is None and self.causal,
                    scale=scaling,
                    enable_gqa=q.shape[1] != k.shape[1],
                )
            )
        return torch.cat(parts, dim=2)


def _window(length: int, window: int | None, device: torch.device, causal: bool) -> Tensor | None:
    """The mask of a sliding window, or None where the window covers the whole sample."""
    if window is None or length <= window:
        return None
    mask = _causal(length, window, device)
    return mask if causal else mask | mask.T


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

    def __init__(
        self, row_tokens: int, windows: tuple[int, ...], device: torch.device, prefix: int = 0, causal: bool = True
    ) -> None:
        from torch.nn.attention.flex_attention import AuxRequest, flex_attention

        self.wanted = AuxRequest(lse=True)
        # Uncompiled, flex_attention would build the whole T x T matrix.
        self.flex_attention = torch.compile(flex_attention, dynamic=False)
        self.prefix, self.causal = prefix, causal
        #: The place of each token in its sample, prefix included: decides how much of that a window still holds.
        self.place_T = torch.zeros(row_tokens, dtype=torch.int32, device=device)
        self.masks = {window: _BlockMask(row_tokens, device, causal) for window in (None, *windows)}

    def load(self, pack: Pack) -> FlexRows:
        start_T = pack.start_T
        self.place_T.copy_(pack.positions_T + self.prefix)
        at_T = torch.arange(len(start_T), dtype=torch.int32, device=start_T.device)
        # Starts never fall, and a sample ends where the next one starts.
        end_T = at_T + 1 if self.causal else torch.searchsorted(start_T, start_T, right=True, out_int32=True)
        for window, mask in self.masks.items():
            if window is None:
                mask.load(start_T, end_T)
            else:
                # A window is a later start, and an earlier end.
                mask.load(torch.maximum(start_T, at_T - window + 1), torch.minimum(end_T, at_T + window))
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
    """Which key blocks each query block needs, and the other way round, for "from its start to before its end".

    Starts and ends never fall along a row. So query block i needs the key blocks from `first[i]`, where its first
    query's sample starts, to where its last query's ends; those from `whole[i]`, where its last query's sample starts,
    to where its first query's ends hold no forbidden pair. Causal, a query's end is itself, and key block j is needed
    by the query blocks from j to the last one whose `first` reaches back to it; in an encoder a query sees a key if
    the key, as a query, sees it: both lists are one. No search, no T x T.
    """

    def __init__(self, row_tokens: int, device: torch.device, causal: bool = True) -> None:
        from torch.nn.attention.flex_attention import BlockMask

        blocks = row_tokens // BLOCK
        self.causal = causal
        self.start_T = torch.arange(row_tokens, dtype=torch.int32, device=device)
        self.end_T = self.start_T + 1
        self.at_N = torch.arange(blocks, dtype=torch.int32, device=device)
        start_T, end_T = self.start_T, self.end_T

        def from_its_start_to_itself(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
            return (k >= start_T[q]) & (k <= q)

        def from_its_start_to_its_end(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
            return (k >= start_T[q]) & (k < end_T[q])

        lists = {name: self._list(blocks, device) for name in ("kv", "full_kv", "q", "full_q")}
        listed: dict[str, Any] = {f"{name}_num_blocks": count for name, (count, _) in lists.items()}
        listed |= {f"{name}_indices": indices for name, (_, indices) in lists.items()}
        self.block_mask = BlockMask(
            seq_lengths=(row_tokens, row_tokens),
            **listed,
            BLOCK_SIZE=(BLOCK, BLOCK),
            mask_mod=from_its_start_to_itself if causal else from_its_start_to_its_end,
        )
        self.lists = lists
        self.load(start_T.clone(), end_T.clone())

    @staticmethod
    def _list(blocks: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """For each of N blocks, how many others, and which; entries beyond the count are never read."""
        return (
            torch.zeros(1, 1, blocks, dtype=torch.int32, device=device),
            torch.zeros(1, 1, blocks, blocks, dtype=torch.int32, device=device),
        )

    def load(self, start_T: Tensor, end_T: Tensor | None = None) -> None:
        """Take the next row: the first key that each query sees, and (of an encoder) the one behind its last."""
        at_N, start_NB = self.at_N, start_T.view(-1, BLOCK)
        self.start_T.copy_(start_T)
        if not self.causal and end_T is not None:
            self._load_both_ways(start_NB, end_T)
            return
        first_N = torch.div(start_NB[:, 0], BLOCK, rounding_mode="floor")
        whole_N = torch.minimum(torch.div(start_NB[:, -1] + BLOCK - 1, BLOCK, rounding_mode="floor"), at_N)
        # The last query block that needs key block j at all, and the last that needs it whole.
        reach_N = torch.searchsorted(first_N, at_N, right=True, out_int32=True) - 1
        whole_reach_N = torch.searchsorted(whole_N, at_N, right=True, out_int32=True) - 1
        self._fill("kv", first_N, whole_N, also=at_N)
        self._fill("full_kv", whole_N, at_N)
        self._fill("q", whole_reach_N + 1, reach_N + 1, also=at_N)
        self._fill("full_q", at_N + 1, whole_reach_N + 1)

    def _load_both_ways(self, start_NB: Tensor, end_T: Tensor) -> None:
        self.end_T.copy_(end_T)
        end_NB = end_T.view(-1, BLOCK)
        first_N, last_N = start_NB[:, 0] // BLOCK, (end_NB[:, -1] - 1) // BLOCK
        whole_N, beyond_N = (start_NB[:, -1] + BLOCK - 1) // BLOCK, end_NB[:, 0] // BLOCK
        # Without a whole block between, everything from the first to the last is a part.
        none_N = beyond_N <= whole_N
        whole_N = torch.where(none_N, last_N + 1, whole_N)
        beyond_N = torch.where(none_N, last_N + 1, beyond_N)
        before_N = whole_N - first_N
        listed_NN = first_N[:, None] + self.at_N
        behind_NN = beyond_N[:, None] + self.at_N - before_N[:, None]
        parts_NN = torch.where(self.at_N < before_N[:, None], listed_NN, behind_NN)
        for name in ("kv", "q"):
            self._put(name, before_N + last_N + 1 - beyond_N, parts_NN)
            self._fill(f"full_{name}", whole_N, beyond_N)

    def _fill(self, name: str, start_N: Tensor, end_N: Tensor, also: Tensor | None = None) -> None:
        """List for each block the blocks from start to end - 1, and then `also`."""
        length_N = end_N - start_N
        listed_NN = start_N[:, None] + self.at_N
        if also is not None:
            listed_NN = torch.where(self.at_N < length_N[:, None], listed_NN, also[:, None])
            length_N = length_N + 1
        self._put(name, length_N, listed_NN)

    def _put(self, name: str, length_N: Tensor, listed_NN: Tensor) -> None:
        count, indices = self.lists[name]
        count.copy_(length_N.view_as(count))
        indices.copy_(listed_NN.clamp(min=0, max=len(self.at_N) - 1).view_as(indices))


def sliding_windows(config: Any) -> tuple[int, ...]:
    """The sliding windows that layers of a model with this configuration ask for."""
    window = getattr(config, "sliding_window", None)
    if window and config.model_type == "modernbert":
        window += 1  # as its layers do: half a window to each side, the token itself not counted
    kinds = getattr(config, "layer_types", None) or ()
    return (window,) if window and "sliding_attention" in kinds else ()


class Rows:
    """The attention of a model's packed rows on its device, made once for each row length that comes up."""

    def __init__(self, config: Any, device: torch.device, causal: bool = True) -> None:
        self.windows, self.device, self.causal = sliding_windows(config), device, causal
        self.kind = "flex" if device.type == "cuda" else "loop"
        self.made: dict[tuple[int, int], LoopRows | FlexRows] = {}

    def load(self, pack: Pack, prefix: int = 0) -> LoopRows | FlexRows:
        """What to pass as `rows=` with this row, `prefix` learnt keys before each of its samples; it holds until the
        next `load`."""
        key = pack.row_tokens, prefix
        if key not in self.made:
            shape = pack.row_tokens, self.windows, self.device
            on_gpu = self.kind == "flex"
            self.made[key] = FlexRows(*shape, prefix, self.causal) if on_gpu else LoopRows(prefix, self.causal)
        return self.made[key].load(pack)
