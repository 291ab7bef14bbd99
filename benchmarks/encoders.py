"""Encoders on one GPU: that packed training computes what plain transformers does, and how fast it is beside it.

    python benchmarks/encoders.py [check] [speed]

check: small BERT, RoBERTa and ModernBERT shapes; the measure is fp32, one sample at a time. bf16 one at a time is
wrong by some amount; the packed path (flex_attention, layers compiled) may be wrong by half as much again, not more.
speed: a BERT-base shape with random weights on pairs as long as LCQMC's; real tokens a second of training steps,
beside a padded loop of plain transformers (sdpa, bf16, batches padded to their longest, fused AdamW). Each is JSON.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers

from tune.data import Tokens
from tune.encoders import family_of, layers_of
from tune.methods import METHODS
from tune.objectives import cut_at_samples, head_loss, unwrapped
from tune.optim import Optimizer
from tune.pack import Pack, build_pack, fill_rows
from tune.virtual import virtual_of

BASE: dict[str, Any] = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12}
BASE |= {"num_attention_heads": 12, "vocab_size": 21128, "max_position_embeddings": 512}
SMALL = BASE | {"hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 8}
FAMILIES = ("Bert", "Roberta", "ModernBert")
WARM, STEPS = 6, 20
failed: list[str] = []


def model_of(family: str, size: dict[str, Any], dropout: float = 0.0) -> Any:
    """A random classifier of two labels, in fp32 on the GPU."""
    size = size | {"num_labels": 2, "problem_type": "single_label_classification", "pad_token_id": 0}
    if family == "ModernBert":
        size |= {"local_attention": 64, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
    else:
        size |= {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": 0.0}
    torch.manual_seed(0)
    with torch.device("cuda"):
        config = getattr(transformers, f"{family}Config")(**size)
        return transformers.AutoModelForSequenceClassification.from_config(config)


def samples_of(lengths: np.ndarray, vocabulary: int) -> Tokens:
    """Random samples of these lengths with one of two labels each."""
    rng, offsets = np.random.default_rng(0), np.concatenate([[0], np.cumsum(lengths)])
    return Tokens(
        ids_L=rng.integers(5, vocabulary, offsets[-1], dtype=np.int32),
        learn_L=np.zeros(offsets[-1], np.uint8),
        offsets=offsets,
        prompts=lengths.astype(np.int32),
        rows=np.arange(len(lengths), dtype=np.int32),
        counts={},
        key="",
        label_N=rng.integers(2, size=len(lengths)).astype(float),
        second_N=lengths.astype(np.int32) // 2,
    )


def padded(model: Any, tokens: Tokens, samples: np.ndarray) -> dict[str, torch.Tensor]:
    """A padded batch as plain transformers takes it."""
    lengths = tokens.lengths[samples]
    shape = (len(samples), int(lengths.max()))
    ids_BS, mask_BS, types_BS = (torch.zeros(shape, dtype=torch.long) for _ in range(3))
    for row, sample in enumerate(samples):
        ids = tokens.sample(int(sample))[0]
        ids_BS[row, : len(ids)] = torch.from_numpy(ids)
        mask_BS[row, : len(ids)] = 1
        types_BS[row, int(tokens.second_N[sample]) : len(ids)] = 1
    family, found = family_of(model), {"input_ids": ids_BS, "attention_mask": mask_BS}
    if family and family.types:
        found["token_type_ids"] = types_BS
    return {name: tensor.pin_memory().to("cuda", non_blocking=True) for name, tensor in found.items()}


# ---- check


def gradient(model: Any, loss: torch.Tensor) -> torch.Tensor:
    loss.backward()
    flat = torch.cat([p.grad.float().flatten() for p in model.parameters() if p.grad is not None])
    model.zero_grad(set_to_none=True)
    return flat


def one_by_one(model: Any, tokens: Tokens) -> torch.Tensor:
    total = torch.zeros((), device="cuda")
    for sample in range(len(tokens)):
        inputs = padded(model, tokens, np.array([sample]))
        del inputs["attention_mask"]
        label = torch.tensor([int(tokens.label_N[sample])], device="cuda")
        total = total + F.cross_entropy(model(**inputs).logits.float(), label)
    return total


def check(name: str, found: float, allowed: float) -> None:
    good = found <= allowed
    print(f"{'ok  ' if good else 'FAIL'} {name}: {found:.3g} (allowed {allowed:.3g})", flush=True)
    if not good:
        failed.append(name)


def packed_equals_one_by_one(family: str) -> None:
    lengths = np.concatenate([np.random.default_rng(0).integers(8, 120, 40), [300, 5]])
    tokens = samples_of(lengths, SMALL["vocab_size"])
    low = model_of(family, SMALL).to(torch.bfloat16).train()
    exact = model_of(family, SMALL).train()
    with torch.no_grad():  # the same weights, rounded alike
        for p, rounded in zip(exact.parameters(), low.parameters(), strict=True):
            p.copy_(rounded)
    wanted_loss = one_by_one(exact, tokens)
    wanted = gradient(exact, wanted_loss)
    plain_loss = one_by_one(low, tokens)
    own = float((gradient(low, plain_loss) - wanted).norm() / wanted.norm())
    # Half a unit in the last place of bf16, where rounding happens to cancel in the plain loss.
    near = max(2**-9, 1.5 * abs(float(plain_loss.detach() / wanted_loss.detach()) - 1))
    cut_at_samples(low)
    pack = build_pack(tokens, np.arange(len(tokens)), 4096).to("cuda")
    for layer in layers_of(low):
        layer.compile(dynamic=False, fullgraph=True)
    for way in ("", " with checkpointing"):
        if way:
            low.gradient_checkpointing_enable({"use_reentrant": False})
        loss = head_loss(low, pack)
        check(f"{family}: loss{way}", abs(float(loss / wanted_loss) - 1), near)
        check(f"{family}: gradient{way}", float((gradient(low, loss) - wanted).norm() / wanted.norm()), 1.5 * own)
    torch._dynamo.reset()


# ---- speed


def measure(name: str, steps: list[Any], step: Callable[[Any], Any], tokens: list[int]) -> None:
    """Time `step` on the last STEPS of `steps`; `tokens`: real ones of each."""
    torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    for one in steps[:WARM]:
        step(one)
    torch.cuda.synchronize()
    middle = time.perf_counter()
    for one in steps[WARM:]:
        step(one)
    torch.cuda.synchronize()
    seconds = time.perf_counter() - middle
    result = {
        "setting": name,
        "tokens_per_second": round(sum(tokens[WARM:]) / seconds),
        "step_ms": round(seconds / STEPS * 1e3, 1),
        "warm_s": round(middle - start, 1),
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2),
    }
    print(json.dumps(result), flush=True)
    gc.collect()
    torch.cuda.empty_cache()
    torch._dynamo.reset()


def packed_speed(tokens: Tokens, row_tokens: int, method: str) -> None:
    from tune.config import resolve

    base = model_of("Bert", BASE, dropout=0.1).to(torch.bfloat16)
    model = METHODS[method].prepare(base, resolve(None, model="bert-base", method=method)).train()
    cut_at_samples(model)
    for layer in layers_of(unwrapped(model)):
        layer.compile(dynamic=False, fullgraph=True)
    optimizer, virtual = Optimizer(model), virtual_of(unwrapped(model))
    tokens = replace(tokens, virtual=virtual.places if virtual else 0)
    rows = fill_rows(tokens.places, np.random.default_rng(0).permutation(len(tokens)), row_tokens)[:-1]
    packs = [build_pack(tokens, rows[i % len(rows)], row_tokens).pin() for i in range(WARM + STEPS)]

    def step(pack: Pack) -> None:
        (head_loss(model, pack.to("cuda")) / pack.answers).backward()
        optimizer.collect()
        optimizer.clip(1.0)
        optimizer.step(2e-5)

    measure(f"packed {row_tokens}, {method}, compiled", packs, step, [pack.tokens for pack in packs])


def padded_speed(tokens: Tokens, batch: int) -> None:
    model = model_of("Bert", BASE, dropout=0.1).to(torch.bfloat16).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, fused=True)
    order = np.random.default_rng(0).permutation(len(tokens))
    batches = [order[i * batch : (i + 1) * batch] for i in range(WARM + STEPS)]

    def step(samples: np.ndarray) -> None:
        inputs = padded(model, tokens, samples)
        label_B = torch.from_numpy(tokens.label_N[samples]).long().to("cuda")
        F.cross_entropy(model(**inputs).logits.float(), label_B).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    counts = [int(tokens.lengths[samples].sum()) for samples in batches]
    measure(f"padded, batch {batch}, full, plain transformers", batches, step, counts)


def main(*words: str) -> int:
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, transformers {transformers.__version__}")
    if "check" in words or not words:
        for family in FAMILIES:
            packed_equals_one_by_one(family)
    if "speed" in words or not words:
        # LCQMC: two sentences of 11 characters on average, and three special tokens.
        lengths = np.clip(np.random.default_rng(0).normal(25, 8, 60_000), 9, 100).astype(np.int64)
        tokens = samples_of(lengths, BASE["vocab_size"])
        for batch in (64, 512):
            padded_speed(tokens, batch)
        for row_tokens, method in ((16384, "full"), (32768, "full"), (32768, "lora"), (32768, "p_tuning_v2")):
            packed_speed(tokens, row_tokens, method)
    print(f"{len(failed)} failed" if failed else "all good")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
