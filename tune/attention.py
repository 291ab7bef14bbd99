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
    again. A prefix is put once behind the row's keys, not once before each sample: every query may look there.
    """

    kind = "flex"

    def __init__(self, row_tokens: int, windows: tuple[int, ...], device: torch.device, prefix: int = 0) -> None:
        from torch.nn.attention.flex_attention import flex_attention

        # Uncompiled, flex_attention would build the whole T x T matrix.
        self.flex_attention = torch.compile(flex_attention, dynamic=False)
        self.prefix = prefix
        self.masks = {window: _BlockMask(row_tokens, device, prefix) for window in (None, *windows)}

    def load(self, pack: Pack) -> FlexRows:
        start_T = pack.start_T
        at_T = torch.arange(len(start_T), dtype=torch.int32, device=start_T.device)
        for window, mask in self.masks.items():
            if window is None:
                mask.load(start_T)
            else:
                # A window is a later start, in the sample and in the prefix before it.
                mask.load(torch.maximum(start_T, at_T - window + 1), at_T - start_T + self.prefix - window + 1)
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
        if prefix is not None:
            rest = -prefix[0].shape[2] % BLOCK
            key_BKTC, value_BKTC = (
                torch.cat([x, F.pad(own, (0, 0, 0, rest))], dim=2)
                for x, own in zip((key_BKTC, value_BKTC), prefix, strict=True)
            )
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
    no T x T. The blocks of a prefix, behind those of the row, are needed by all query blocks, and masked: query q
    sees prefix key p from `gone[q]` on, all of them where no window ends.
    """

    def __init__(self, row_tokens: int, device: torch.device, prefix: int = 0) -> None:
        from torch.nn.attention.flex_attention import BlockMask

        blocks, more = row_tokens // BLOCK, -(-prefix // BLOCK)
        self.start_T = torch.arange(row_tokens, dtype=torch.int32, device=device)
        self.gone_T = torch.zeros_like(self.start_T)
        self.at_N = torch.arange(blocks, dtype=torch.int32, device=device)
        start_T, gone_T = self.start_T, self.gone_T

        def from_its_start_to_itself(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
            return (k >= start_T[q]) & (k <= q)

        def and_the_prefix(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
            in_prefix = (k >= row_tokens + gone_T[q]) & (k >= row_tokens) & (k < row_tokens + prefix)
            return from_its_start_to_itself(b, h, q, k) | in_prefix

        self.prefix_M = torch.arange(blocks, blocks + more, dtype=torch.int32, device=device)
        by_query = {name: self._list(blocks, blocks + more, device) for name in ("kv", "full_kv")}
        by_key = {name: self._list(blocks + more, blocks, device) for name in ("q", "full_q")}
        lists = by_query | by_key
        listed: dict[str, Any] = {f"{name}_num_blocks": count for name, (count, _) in lists.items()}
        listed |= {f"{name}_indices": indices for name, (_, indices) in lists.items()}
        self.block_mask = BlockMask(
            seq_lengths=(row_tokens, row_tokens + more * BLOCK),
            **listed,
            BLOCK_SIZE=(BLOCK, BLOCK),
            mask_mod=and_the_prefix if prefix else from_its_start_to_itself,
        )
        self.lists = lists
        # Every query block looks at the prefix; a block of the prefix is looked at by all, from the first to the last.
        self.lists["q"][0][..., blocks:] = blocks
        self.lists["q"][1][..., blocks:, :] = self.at_N
        self.load(start_T.clone())

    @staticmethod
    def _list(blocks: int, others: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """For each of N blocks, how many others, and which; entries beyond the count are never read."""
        return (
            torch.zeros(1, 1, blocks, dtype=torch.int32, device=device),
            torch.zeros(1, 1, blocks, others, dtype=torch.int32, device=device),
        )

    def load(self, start_T: Tensor, gone_T: Tensor | None = None) -> None:
        at_N, start_NB = self.at_N, start_T.view(-1, BLOCK)
        self.start_T.copy_(start_T)
        if gone_T is not None:
            self.gone_T.copy_(gone_T)
        first_N = torch.div(start_NB[:, 0], BLOCK, rounding_mode="floor")
        whole_N = torch.minimum(torch.div(start_NB[:, -1] + BLOCK - 1, BLOCK, rounding_mode="floor"), at_N)
        # The last query block that needs key block j at all, and the last that needs it whole.
        reach_N = torch.searchsorted(first_N, at_N, right=True, out_int32=True) - 1
        whole_reach_N = torch.searchsorted(whole_N, at_N, right=True, out_int32=True) - 1
        self._fill("kv", first_N, whole_N, torch.cat([at_N[:, None], self.prefix_M.expand(len(at_N), -1)], dim=1))
        self._fill("full_kv", whole_N, at_N)
        self._fill("q", whole_reach_N + 1, reach_N + 1, at_N[:, None])
        self._fill("full_q", at_N + 1, whole_reach_N + 1)

    def _fill(self, name: str, start_N: Tensor, end_N: Tensor, also_NE: Tensor | None = None) -> None:
        """List for each block of the row the blocks from start to end - 1, and then the E of `also`."""
        count, indices = (tensor[0, 0] for tensor in self.lists[name])
        length_N, rows, others = end_N - start_N, len(self.at_N), indices.shape[1]
        at_O = torch.arange(others, dtype=torch.int32, device=start_N.device)
        listed_NO = start_N[:, None] + at_O
        if also_NE is not None:
            beyond_NO = at_O - length_N[:, None]
            also_NO = also_NE.gather(1, beyond_NO.clamp(0, also_NE.shape[1] - 1).long())
            listed_NO = torch.where(beyond_NO < 0, listed_NO, also_NO)
            length_N = length_N + also_NE.shape[1]
        count[:rows].copy_(length_N)
        indices[:rows].copy_(listed_NO.clamp_(max=others - 1))


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
