"""What only a GPU can show: that its fast paths compute what the plain ones do, within the error of bf16 itself.

    python benchmarks/tune_check.py [FAMILY …]

The measure is a model in fp32, one sample at a time. bf16 one at a time, through transformers' own sdpa, is wrong by
some amount; the packed, compiled path may be wrong by half as much again, not more. Prints a line a check, exits 1 if
one fails.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from tune.adamw import AdamW
from tune.config import resolve
from tune.generate import generate
from tune.methods import METHODS
from tune.objectives import cut_at_samples, sft_loss, unwrapped
from tune.pack import pack_pieces
from tune.virtual import virtual_of

failed: list[str] = []


def check(name: str, found: float, allowed: float) -> None:
    good = found <= allowed
    print(f"{'ok  ' if good else 'FAIL'} {name}: {found:.3g} (allowed {allowed:.3g})", flush=True)
    if not good:
        failed.append(name)


def model_of(family: str) -> Any:
    import transformers

    size: dict[str, Any] = {"vocab_size": 4000, "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 4}
    size |= {"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64}
    if family == "Gemma3":
        size |= {"sliding_window": 64, "layer_types": ["sliding_attention", "full_attention"] * 2}
        config = transformers.Gemma3TextConfig(**size)
    else:
        config = getattr(transformers, f"{family}Config")(**size)
    torch.manual_seed(0)
    with torch.device("cuda"):
        return getattr(transformers, f"{family}ForCausalLM")(config)


def gradient(model: Any, loss: torch.Tensor) -> torch.Tensor:
    loss.backward()
    flat = torch.cat([p.grad.float().flatten() for p in model.parameters() if p.grad is not None])
    model.zero_grad(set_to_none=True)
    return flat


def one_by_one(model: Any, pieces: list[tuple[np.ndarray, np.ndarray]]) -> torch.Tensor:
    total = torch.zeros((), device="cuda")
    for ids, learn in pieces:
        ids_L = torch.from_numpy(ids).long().cuda()
        # PEFT gives logits of its virtual tokens too.
        logits = model(input_ids=ids_L[None], use_cache=False).logits[0, -len(ids) : -1].float()
        total = (
            total
            + F.cross_entropy(logits, ids_L[1:], reduction="none")[torch.from_numpy(learn[1:]).bool().cuda()].sum()
        )
    return total


def pair_of(family: str, method: str) -> tuple[Any, Any]:
    """The same model with the same untrained method in fp32 and in bf16; what begins at nothing is moved a little."""
    config = resolve(None, model=family, method=method)
    exact = METHODS[method].prepare(model_of(family), config)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, p in exact.named_parameters():
            if any(part in name for part in ("lora_B", ".up", "ia3_", "ln_tuning_")):
                p.add_(torch.randn_like(p), alpha=0.02)
    low = METHODS[method].prepare(model_of(family).to(torch.bfloat16), config)
    with torch.no_grad():  # the same weights, rounded alike
        for p, rounded in zip(exact.parameters(), low.parameters(), strict=True):
            p.copy_(rounded.copy_(p))
    return exact, low


def packed_equals_one_by_one(family: str, method: str, compiled: bool) -> None:
    rng = np.random.default_rng(0)
    lengths = [*rng.integers(8, 120, 40), 300, 5]
    pieces = [(rng.integers(3, 4000, n, dtype=np.int32), (np.arange(n) > n * 0.6).astype(np.uint8)) for n in lengths]
    exact, low = pair_of(family, method)
    wanted_loss = one_by_one(exact, pieces)
    wanted = gradient(exact, wanted_loss)
    plain_loss = one_by_one(low, pieces)
    plain = gradient(low, plain_loss)
    cut_at_samples(low)
    if compiled:
        for layer in unwrapped(low).get_decoder().layers:
            layer.compile(dynamic=False, fullgraph=True)
    virtual = virtual_of(unwrapped(low))
    pack = pack_pieces(pieces, np.arange(len(pieces)), 4096, virtual=virtual.places if virtual else 0).to("cuda")
    packed_loss = sft_loss(low, pack)
    packed = gradient(low, packed_loss)
    name = f"{family} {method}{' compiled' if compiled else ''}"
    own = float((plain - wanted).norm() / wanted.norm())
    check(f"{name}: gradient", float((packed - wanted).norm() / wanted.norm()), 1.5 * own)
    check(
        f"{name}: loss",
        abs(float(packed_loss / wanted_loss) - 1),
        max(1e-3, 1.5 * abs(float(plain_loss / wanted_loss) - 1)),
    )
    unwrapped(low).gradient_checkpointing_enable({"use_reentrant": False})
    again = gradient(low.train(), sft_loss(low, pack))
    check(f"{name}: gradient with checkpointing", float((again - wanted).norm() / wanted.norm()), 1.5 * own)
    torch._dynamo.reset()


def answers_are_those_of_peft(family: str, method: str) -> None:
    """A batch of prompts, padded, against PEFT's own generation one by one, in fp32."""
    exact, _ = pair_of(family, method)
    rng = np.random.default_rng(0)
    prompts = [rng.integers(3, 4000, n).tolist() for n in (5, 40, 90, 1)]
    found = generate(exact, prompts, stop_ids=[2], pad_id=0, max_new_tokens=12)
    options = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    unlike = 0
    for prompt, answer in zip(prompts, found, strict=True):
        ids = torch.tensor([prompt], device="cuda")
        alone = exact.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **options)[
            0, len(prompt) :
        ].tolist()
        unlike += answer != alone[: len(answer)]
    check(f"{family} {method}: answers of a batch unlike PEFT's", unlike, 0)


def adamw_is_adamw() -> None:
    """Twenty steps, the kernel's and those of torch in fp32, against fp64; on sizes that don't fill its blocks."""
    torch.manual_seed(0)
    shapes = [(1,), (7,), (4096,), (129, 65), (1000, 1024)]
    params = [torch.randn(s, device="cuda", dtype=torch.bfloat16) for s in shapes]
    decays, ratios = [0.0, 0.1, 0.1, 0.0, 0.1], [1.0, 1.0, 16.0, 1.0, 1.0]
    plain, exact = ([p.to(kind).requires_grad_() for p in params] for kind in (torch.float32, torch.float64))
    references = [
        torch.optim.AdamW(
            [
                {"params": [p], "weight_decay": d, "lr": 1e-3 * r}
                for p, d, r in zip(copies, decays, ratios, strict=True)
            ],
            betas=(0.9, 0.95),
            eps=1e-8,
        )
        for copies in (plain, exact)
    ]
    ours = AdamW(params, decays, ratios, betas=(0.9, 0.95), eps=1e-8)
    clip = torch.tensor(0.5, device="cuda")
    for count in range(1, 21):
        kind = torch.float32 if count % 2 else torch.bfloat16
        grads = [torch.randn(s, device="cuda").to(kind) for s in shapes]
        for copies, reference in zip((plain, exact), references, strict=True):
            for p, g in zip(copies, grads, strict=True):
                p.grad = g.to(p.dtype) * 0.5
            reference.step()
        ours.step(grads, clip, 1e-3, count)

    def error(found: list[torch.Tensor]) -> float:
        return max(float((f.detach() - e.detach()).abs().max()) for f, e in zip(found, exact, strict=True))

    check("AdamW kernel: masters", error(ours.masters), 1.5 * error(plain))
    unlike = sum(int((p != m.to(torch.bfloat16)).sum()) for p, m in zip(params, ours.masters, strict=True))
    check("AdamW kernel: parameters other than their rounded masters", unlike, 0)


def main(*families: str) -> int:
    adamw_is_adamw()
    for family in families or ("Qwen3", "Llama", "Gemma3"):
        for method in ("lora", "full", "prefix", "p_tuning_v2", "prompt", "p_tuning", "adapter", "ia3", "ln"):
            # Uncompiled layers differ in nothing that the compiled ones don't show, but for the two oldest.
            for compiled in (False, True) if method in ("lora", "full") else (True,):
                packed_equals_one_by_one(family, method, compiled)
        for method in ("prefix", "prompt"):
            answers_are_those_of_peft(family, method)
    print(f"{len(failed)} failed" if failed else "all good")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
