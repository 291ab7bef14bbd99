"""Samples into rows of exactly T tokens: which samples make a step, which share a row, and the row as tensors.

All of it is a pure function of the lengths, the seed and the epoch, so that a run that was cut off goes on where it
was, and another machine makes the same steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

    from tune.data import Tokens

#: Rows are whole blocks of this many tokens, the block of the attention mask on a GPU.
BLOCK = 128


def step_samples(n: int, batch: int, seed: int, epoch: int) -> list[np.ndarray]:
    """The sample numbers of each optimiser step of an epoch: a permutation of `n`, cut every `batch` samples.

    The last step of an epoch may have fewer.
    """
    order = np.random.default_rng([seed, epoch]).permutation(n)
    return [order[at : at + batch] for at in range(0, n, batch)]


def fill_rows(lengths_N: np.ndarray, samples: np.ndarray, row_tokens: int) -> list[np.ndarray]:
    """Next-fit: samples go into the open row in their order; one that doesn't fit opens the next.

    On shuffled short samples that leaves about one per cent of a row empty, so no search for a better fit is worth its
    time, and the order stays random.

    Raises:
        ValueError: a sample is longer than a row.
    """
    ends = np.cumsum(lengths_N[samples])
    rows, first, used = [], 0, 0
    while first < len(samples):
        last = int(np.searchsorted(ends, used + row_tokens, side="right"))
        if last == first:
            sample = int(samples[first])
            raise ValueError(f"sample {sample} has {int(lengths_N[sample])} tokens, a row only {row_tokens}")
        rows.append(samples[first:last])
        first, used = last, int(ends[last - 1])
    return rows


def round_up(tokens: int) -> int:
    """`tokens` rounded up to whole blocks."""
    return -(-tokens // BLOCK) * BLOCK


@dataclass(frozen=True)
class Pack:
    """One row: S samples side by side in T tokens, the rest padding.

    ids_T: token ids. types_T: token types (1 in the second text of a pair, of an encoder). positions_T: positions,
    from 0 in each sample. start_T: where the token's sample begins in the row (a padding token: itself). at_A: the A
    positions whose next token is learnt; target_A: that token; sample_A: which of the row's samples it belongs to.
    With a head, the last token of each sample, and its label (float64). virtual_V: the positions of virtual tokens,
    the same number before each sample (ids_T holds any id there). bounds: 0, the end of each sample, and T if there is
    padding. samples: the sample numbers. tokens: real tokens, without padding and virtual ones.
    """

    ids_T: torch.Tensor
    types_T: torch.Tensor
    positions_T: torch.Tensor
    start_T: torch.Tensor
    at_A: torch.Tensor
    target_A: torch.Tensor
    sample_A: torch.Tensor
    virtual_V: torch.Tensor
    bounds: tuple[int, ...]
    samples: np.ndarray
    tokens: int

    @property
    def row_tokens(self) -> int:
        return len(self.ids_T)

    @property
    def answers(self) -> int:
        """How many tokens the row teaches; with a head, how many labels."""
        return len(self.at_A)

    @property
    def longest(self) -> int:
        """Tokens of the longest sample."""
        return max(end - start for start, end in zip((0, *self.bounds), self.bounds, strict=False))

    def to(self, device: Any) -> Pack:
        """The same row on another device; from pinned memory the copies don't wait."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin(self) -> Pack:
        """The same row in page-locked memory."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, change: Any) -> Pack:
        tensors = {f.name: change(getattr(self, f.name)) for f in fields(self) if f.name.endswith(("_T", "_A", "_V"))}
        return replace(self, **tensors)


def build_pack(tokens: Tokens, samples: np.ndarray, row_tokens: int, pad_id: int = 0) -> Pack:
    """The row that holds `samples` (numbers into `tokens`) in this order, the virtual tokens before each."""
    pieces = [tokens.sample(int(sample)) for sample in samples]
    pack = pack_pieces(pieces, samples, row_tokens, pad_id, tokens.virtual)
    return _labelled(pack, tokens.label_N[samples], tokens.second_N[samples]) if tokens.labelled else pack


def _labelled(pack: Pack, label_S: np.ndarray, second_S: np.ndarray) -> Pack:
    """The row with a label for each sample instead of learnt tokens; second_S: where its second text begins."""
    import torch

    ends = np.array(pack.bounds[1 : len(pack.samples) + 1], dtype=np.int64)
    starts = np.array(pack.bounds[: len(pack.samples)], dtype=np.int64)
    types_T = np.zeros(pack.row_tokens, dtype=np.int64)
    virtual = len(pack.virtual_V) // max(1, len(pack.samples))
    for start, end, second in zip(starts, ends, second_S, strict=True):
        types_T[start + virtual + second : end] = 1
    return replace(
        pack,
        types_T=torch.from_numpy(types_T),
        at_A=torch.from_numpy(ends - 1),
        target_A=torch.from_numpy(np.asarray(label_S, dtype=np.float64)),
        sample_A=torch.arange(len(ends)),
    )


def pack_pieces(
    pieces: Sequence[tuple[np.ndarray, np.ndarray]],
    samples: np.ndarray,
    row_tokens: int,
    pad_id: int = 0,
    virtual: int = 0,
) -> Pack:
    """A row from (ids, learn) of each sample; `learn` is 1 where a token is a target. `virtual` tokens, which are none
    of the vocabulary and never learnt, stand before each sample and count as its first positions."""
    import torch

    if virtual:
        before, never = np.full(virtual, pad_id, np.int32), np.zeros(virtual, np.uint8)
        pieces = [(np.concatenate([before, ids]), np.concatenate([never, learn])) for ids, learn in pieces]
    lengths_S = np.array([len(ids) for ids, _ in pieces], dtype=np.int64)
    ends_S = np.cumsum(lengths_S)
    used = int(ends_S[-1]) if len(pieces) else 0
    if used > row_tokens:
        raise ValueError(f"{used} tokens don't fit a row of {row_tokens}")
    ids_T = np.full(row_tokens, pad_id, dtype=np.int64)
    start_T = np.arange(row_tokens, dtype=np.int64)
    learn_T = np.zeros(row_tokens, dtype=bool)
    sample_T = np.zeros(row_tokens, dtype=np.int64)
    if pieces:
        ids_T[:used] = np.concatenate([ids for ids, _ in pieces])
        learn_T[:used] = np.concatenate([learn for _, learn in pieces])
        start_T[:used] = np.repeat(ends_S - lengths_S, lengths_S)
        sample_T[:used] = np.repeat(np.arange(len(pieces)), lengths_S)
    positions_T = np.arange(row_tokens) - start_T
    # A sample's first token has nothing before it to be predicted from. Virtual tokens don't change that: what is
    # learnt of a sample is the same with every method.
    learnt = np.flatnonzero(learn_T & (positions_T > virtual))
    virtual_SV = (ends_S - lengths_S)[:, None] + np.arange(virtual)
    bounds = (0, *ends_S.tolist(), *([row_tokens] if used < row_tokens else []))
    return Pack(
        ids_T=torch.from_numpy(ids_T),
        types_T=torch.zeros(row_tokens, dtype=torch.int64),
        positions_T=torch.from_numpy(positions_T),
        start_T=torch.from_numpy(start_T.astype(np.int32)),
        at_A=torch.from_numpy(learnt - 1),
        target_A=torch.from_numpy(ids_T[learnt]),
        sample_A=torch.from_numpy(sample_T[learnt]),
        virtual_V=torch.from_numpy(virtual_SV.reshape(-1)),
        bounds=bounds,
        samples=np.asarray(samples),
        tokens=used - virtual_SV.size,
    )
