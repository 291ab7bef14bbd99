"""A model of a few hundred weights, samples it can learn, and a training of some steps that takes milliseconds."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from tune.config import Config
from tune.data import Tokens
from tune.loop import Result, train
from tune.pack import Pack, build_pack, fill_rows
from tune.plan import count_steps

VOCABULARY = 31


def toy_tokens(samples: int, seed: int = 0, longest: int = 20) -> Tokens:
    """Each token follows from the one before; the last third (at least one token) of a sample is learnt."""
    rng = np.random.default_rng(seed)
    lengths_N = rng.integers(3, longest + 1, samples)
    ids, learn = [], []
    for length in lengths_N:
        sample = [int(rng.integers(VOCABULARY))]
        while len(sample) < length:
            sample.append((3 * sample[-1] + 1) % VOCABULARY)
        ids += sample
        learn += [int(at >= length - max(1, length // 3)) for at in range(length)]
    offsets = np.concatenate([[0], np.cumsum(lengths_N)])
    rows = np.arange(samples, dtype=np.int32)
    return Tokens(
        np.array(ids, dtype=np.int32),
        np.array(learn, dtype=np.uint8),
        offsets,
        rows,
        rows,
        {},
        f"toy {samples} {seed}",
    )


class Toy(torch.nn.Module):
    """The next token from the one before it: embedding, norm, dropout, linear. `frozen` isn't trained."""

    def __init__(self, dropout: float = 0.0, dtype: torch.dtype = torch.float32, seed: int = 1) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.config = SimpleNamespace(vocab_size=VOCABULARY)
        self.embedding = torch.nn.Embedding(VOCABULARY, 16)
        self.frozen = torch.nn.Linear(16, 16)
        self.norm = torch.nn.LayerNorm(16)
        self.dropout = torch.nn.Dropout(dropout)
        self.head = torch.nn.Linear(16, VOCABULARY)
        self.frozen.requires_grad_(False)
        self.to(dtype)

    def forward(self, ids_A: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(self.norm(self.frozen(self.embedding(ids_A)))))


def toy_losses(model: Any, pack: Pack) -> torch.Tensor:
    return F.cross_entropy(model(pack.ids_T[pack.at_A]).float(), pack.target_A, reduction="none")


def toy_loss(model: Any, pack: Pack) -> torch.Tensor:
    return toy_losses(model, pack).sum()


@torch.no_grad()
def toy_nll(model: Any, tokens: Tokens, row_tokens: int, samples: Any) -> tuple[np.ndarray, np.ndarray]:
    was, chosen = model.training, np.array(list(samples))
    model.eval()
    nll, count = np.zeros(len(tokens)), np.zeros(len(tokens), dtype=np.int64)
    for row in fill_rows(tokens.lengths, chosen, row_tokens):
        pack = build_pack(tokens, row, row_tokens)
        of_A = row[pack.sample_A.numpy()]
        np.add.at(nll, of_A, toy_losses(model, pack).numpy())
        np.add.at(count, of_A, 1)
    model.train(was)
    return nll[chosen], count[chosen]


def toy_config(**changes: Any) -> Config:
    base = {"method": "full", "lr": 0.02, "weight_decay": 0.01, "batch": 8, "epochs": 3.0, "warmup": 0.1}
    return Config(**{**base, **changes})


TRAIN, VALID = toy_tokens(30), toy_tokens(12, seed=1)


def toy_train(
    out: Path, *, model: Any = None, pack: int = 64, valid: Tokens | None = VALID, options: Any = None, **changes: Any
) -> Result:
    """Train a toy (with dropout) on TRAIN; `options` go to `train`, everything else to the settings."""
    config = toy_config(**changes)
    model = Toy(dropout=0.2) if model is None else model
    plan = SimpleNamespace(pack=pack, steps=count_steps(len(TRAIN), config))
    functions = {"loss_fn": toy_loss, "nll_fn": toy_nll}
    return train(model, TRAIN, valid, config, out, plan, **{**functions, **(options or {})})


def metrics(out: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without the seconds, which no two runs share."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(line.pop("seconds") >= 0 for line in lines)
    return lines
