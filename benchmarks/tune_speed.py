"""Tokens a second, peak memory and the share of the GEMM ceiling of training steps on one GPU.

    python benchmarks/tune_speed.py RUN [SHAPE-METHOD-TOKENS … | methods] [--profile]

RUN is a run folder such as curated LCQMC, tokenised with a byte-level BPE trained on it (benchmarks/tokenise.py).
Random weights of the Qwen3 shapes; one row of TOKENS tokens an optimiser step, the optimiser included; `methods` is
each method at the 0.6B shape. Only real tokens count, neither padding nor virtual ones; the first steps, in which
layers compile, are timed apart. The ceiling is the time that the step's products with the base weights alone would
take at the rate of a large product, measured on the same machine.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenise import train as train_tokenizer

from tune.config import resolve
from tune.data import Tokens, tokenise
from tune.device import GIB
from tune.memory import LINEARS, Setting, Shape, estimate
from tune.methods import METHODS
from tune.objectives import cut_at_samples, sft_loss, unwrapped
from tune.optim import Optimizer
from tune.pack import Pack, build_pack, fill_rows
from tune.prompt import make_prompter
from tune.runs import open_run
from tune.virtual import virtual_of

SHAPES: dict[str, dict[str, Any]] = {
    "0.6B": {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16},
    "1.7B": {"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28, "num_attention_heads": 16},
    "8B": {
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "tie_word_embeddings": False,
    },
}
SETTINGS = ["0.6B-lora-32768", "1.7B-lora-16384", "8B-lora-8192", "0.6B-full-32768", "1.7B-full-24576"]
#: LoRA first, which the others are held against.
COMPARED = ["lora", "prefix", "p_tuning_v2", "prompt", "p_tuning", "adapter", "ia3", "ln", "full"]
WARM, STEPS = 6, 16


def samples_of(run: str) -> Tokens:
    """The run's train split, tokenised."""
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        train_tokenizer(run, folder)
        prompter = make_prompter(AutoTokenizer.from_pretrained(Path(folder) / "tokenizer"))
        return tokenise(open_run(Path(run)), "train", prompter, resolve(None), Path(folder) / "tokens")


def qwen3(shape: str) -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    size = {"tie_word_embeddings": True, **SHAPES[shape]}
    config = Qwen3Config(vocab_size=151936, num_key_value_heads=8, head_dim=128, rope_theta=1e6, **size)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = Qwen3ForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    return model


def gemm_rate() -> float:
    """FLOP/s of an 8192-cubed bf16 product on random data."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return 2 * 8192**3 / seconds_of(lambda: a @ b, 20)


def seconds_of(work: Any, times: int) -> float:
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(times):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / times


def product_flops(model: Any, method: str, tokens: float, answers: float) -> float:
    """FLOPs of a step's products with the base weights: forward, dX, and dW where the weights are trained."""
    causal = unwrapped(model)
    named = causal.get_decoder().named_parameters()
    added = ("lora_", "embed", "ia3_", ".down", ".up")
    body = sum(p.numel() for n, p in named if p.ndim == 2 and not any(part in n for part in added))
    head = causal.get_output_embeddings().weight.numel()
    return (6 if method == "full" else 4) * (body * tokens + head * answers)


def planned_gib(model: Any, method: str, row_tokens: int, answers: int) -> float:
    """What the plan would say of the peak."""
    total, trained = (sum(p.numel() for p in model.parameters() if p.requires_grad or each) for each in (True, False))
    shape = Shape.of(unwrapped(model).config, total=total, trainable=trained)
    setting = Setting(row_tokens, answers, METHODS[method].kind, compiled=True, targets=LINEARS)
    return estimate(shape, setting).allocated / GIB


def measure(setting: str, samples: Tokens, rate: float, profiled: bool) -> dict[str, Any]:
    shape, method, row_tokens = setting.split("-")[0], setting.split("-")[1], int(setting.split("-")[2])
    config = resolve(None, model=shape, method=method)
    gc.collect()  # the setting before
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    torch._dynamo.reset()
    model = METHODS[method].prepare(qwen3(shape), config).train()
    cut_at_samples(model)
    for layer in unwrapped(model).get_decoder().layers:
        layer.compile(dynamic=False, fullgraph=True)
    optimizer = Optimizer(model)
    virtual = virtual_of(unwrapped(model))
    samples = replace(samples, virtual=virtual.places if virtual else 0)
    order = np.random.default_rng(0).permutation(len(samples))
    rows = fill_rows(samples.places, order, row_tokens)[:-1]
    packs = [build_pack(samples, rows[i % len(rows)], row_tokens).pin() for i in range(WARM + STEPS)]

    def step(pack: Pack) -> None:
        (sft_loss(model, pack.to("cuda")) / pack.answers).backward()
        optimizer.collect()
        optimizer.clip(1.0)
        optimizer.step(1e-5)

    def steps_of(some: list[Pack]) -> float:
        start = time.perf_counter()
        for pack in some:
            step(pack)
        torch.cuda.synchronize()
        return time.perf_counter() - start

    first, seconds = steps_of(packs[:WARM]), steps_of(packs[WARM:]) / STEPS
    tokens, answers = (sum(getattr(pack, key) for pack in packs[WARM:]) / STEPS for key in ("tokens", "answers"))
    result = {
        "setting": setting,
        "tokens_per_second": round(tokens / seconds),
        "share_of_ceiling": round(product_flops(model, method, tokens, answers) / rate / seconds, 3),
        "step_ms": round(seconds * 1e3, 1),
        "fill": round(tokens / row_tokens, 3),
        "peak_gib": round(torch.cuda.max_memory_allocated() / GIB, 1),
        "planned_gib": round(planned_gib(model, method, row_tokens, max(pack.answers for pack in packs)), 1),
        "compile_s": round(first - WARM * seconds, 1),
    }
    if profiled:
        show_kernels(lambda: steps_of(packs[:3]), 3)
    return result


def show_kernels(work: Any, times: int) -> None:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as found:
        work()
    for event in sorted(found.key_averages(), key=lambda event: -event.self_device_time_total)[:32]:
        print(f"{event.self_device_time_total / times / 1e3:8.2f} ms {event.count / times:5.0f} x {event.key[:90]}")


def main(run: str, *words: str) -> None:
    rate, samples = gemm_rate(), samples_of(run)
    lengths = samples.lengths
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}: {rate / 1e12:.0f} TFLOP/s in a large product")
    print(f"{len(samples):,} samples, {lengths.mean():.1f} tokens on average, {lengths.max()} at most")
    asked = [word for word in words if word != "--profile"] or SETTINGS
    if asked == ["methods"]:
        asked = [f"0.6B-{method}-32768" for method in COMPARED]
    for setting in asked:
        print(json.dumps(measure(setting, samples, rate, "--profile" in words)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
