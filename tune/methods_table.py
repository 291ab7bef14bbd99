"""`tune methods`: what each method trains, what it saves, when to choose it, and what it costs on a model at hand.

The costs are worked out from the model's configuration, without its weights: parameters are counted on the device
"meta", the memory is the estimate that plans go by (tune/memory.py), and speed is arithmetic (`flops`). Two methods
are compared in rows of the same length; a run's rows where one is given, else rows as `ASSUMED` says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from jingtiao.memory import parse_memory
from tune import memory as mem
from tune.config import TINIES, TINY_BERT, Config, default_out, resolve
from tune.device import Device, chosen, size
from tune.encoders import family_of, layers_of
from tune.errors import UserError
from tune.memory import Shape
from tune.methods import METHODS, bare_model
from tune.methods.method import head_of
from tune.model import check_method, load_config, load_tokenizer, settle
from tune.objectives import unwrapped
from tune.plan import SIZES, count_steps, setting_of
from tune.reader import head_settings
from tune.runs import Run, open_run
from tune.survey import Survey, choose_row_tokens, survey_rows
from tune.tables import text_table
from tune.virtual import virtual_of
from tune.work import Report

if TYPE_CHECKING:
    from tune.methods import Method

#: Without a run: tokens of a sample, the share of them that is learnt, and the characters that `tiny` knows.
ASSUMED = {"length": 64, "learnt": 1 / 8, "characters": 4000}
#: Without a run, the labels of a head.
_TWO = {"0": "0", "1": "1"}
#: Bytes of a weight of 4 bits (NF4 with double quantisation: 0.127 bits of constants, arXiv:2305.14314, section 3).
BYTES_4_BIT = (4 + 0.127) / 8


class MethodTable(dict[str, Any]):
    """The methods, ready for JSON; as text, a table of costs (of a model), and what one needs to choose by.

    methods: one dict each: name, summary, when, saved, lr, weight_decay, source, settings; of a model also total and
    trainable (parameters), saved_bytes, memory (bytes at the peak), memory_relative, flops (a token), speed_relative,
    fits; or unfit, why the method can't work with it. of: the model, device and rows that the costs are for, or None.
    """

    def __str__(self) -> str:
        parts = [self._costs()] if self["of"] else []
        lines = []
        for row in self["methods"]:
            lines += [
                f"{row['name']:<12} {row['summary']}",
                f"{'':<12} when: {row['when']}",
                f"{'':<12} lr {row['lr']:g} ({row['source']}), weight_decay {row['weight_decay']:g}; "
                f"settings: {', '.join(row['settings']) or '-'}",
                f"{'':<12} saved: {row['saved']}",
            ]
        return "\n\n".join([*parts, "\n".join(lines)])

    def _costs(self) -> str:
        of, rows, notes = self["of"], [], []
        for row in self["methods"]:
            if "unfit" in row:
                rows.append([row["name"], *["–"] * 7])
                notes.append(row["unfit"])
                continue
            share = f"{row['trainable'] / row['total']:.2%}"
            cost = [size(row["memory"]) + ("" if row["fits"] else " !"), _times(row["memory_relative"])]
            saved, speed = _bytes(row["saved_bytes"]), _times(row["speed_relative"])
            rows.append([row["name"], f"{row['trainable']:,}", share, saved, *cost, f"{row['flops']:.3g}", speed])
        head = ["method", "trainable", "share", "saved", "memory", "of full", "FLOPs/token", "speed"]
        if any(not row.get("fits", True) for row in self["methods"]):
            notes.append(
                f"! more than {size(of['limit'])}, what a plan may fill here; shorter rows or checkpointing may help"
            )
        return "\n".join(
            [
                f"{of['model']} on {of['device']}, {of['rows']}",
                "",
                text_table(head, rows),
                "",
                "memory: at the peak, planned, for these rows without gradient checkpointing",
                "speed: full's arithmetic over the method's (a weight and token take 2 FLOPs forward, 2 for the "
                "gradient of the input, 2 for the weight's own; Kaplan et al. 2020), not measured; small models on a "
                "GPU gain less",
                "left out: the networks that make virtual tokens, DoRA's norms, the unpacking of 4-bit weights",
                *(f"note: {note}" for note in [*notes, *of["notes"]]),
            ]
        )


def _times(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}×"


def _bytes(value: float) -> str:
    return size(value) if value >= 1 << 20 else f"{value / 1024:,.1f} KiB"


def methods_table(
    asked: dict[str, Any],
    path: Path | None = None,
    *,
    memory: str | None = None,
    progress: Report = lambda text: None,
) -> MethodTable:
    """The table of all methods: with costs where `asked`, the settings as `config.resolve` takes them, or the run at
    `path` says of what.

    Raises UserError where there is no such model or run, or a setting is wrong for any method.
    """
    run = open_run(path) if path is not None else None
    rows = [_words(method) for method in METHODS.values()]
    if run is None and asked.get("model") is None:
        return MethodTable(of=None, methods=rows)
    config = settle(resolve(run, **{**asked, "method": "full"}), run, [])
    progress("reading the model's configuration")
    model_config, device = _model_config(config, run), Device.of(*chosen())
    progress("reading the run")
    rows_of = _run_rows(run, config, model_config, device) if run is not None else _assumed_rows(config, device)
    for row in rows:
        progress(f"working out {row['name']}")
        row |= _costs(row["name"], asked, run, model_config, device, rows_of)
    full = next(row for row in rows if row["name"] == "full")
    limit = int(mem.FILL * (device.memory if memory is None else parse_memory(memory)))
    for row in rows:
        if "unfit" not in row:
            row |= {
                "memory_relative": row["memory"] / full["memory"],
                "speed_relative": full["flops"] / row["flops"],
                "fits": row["memory"] <= limit,
            }
    notes = list(Shape.of(model_config, total=0, trainable=0).notes)
    of = {"model": config.model, "device": device.name, "limit": limit, "rows": rows_of.said, "notes": notes}
    return MethodTable(of=of, methods=rows)


def _words(method: Method) -> dict[str, Any]:
    keys = ("name", "summary", "when", "saved", "lr", "weight_decay", "source")
    return {key: getattr(method, key) for key in keys} | {"settings": list(method.keys)}


def _model_config(config: Config, run: Run | None) -> Any:
    if config.model not in TINIES:
        return load_config(config.model)
    from tune.tiny import tiny_config

    return tiny_config(_tiny_tokenizer(run, config) if run is not None else _Characters(), config.model == TINY_BERT)


def _tiny_tokenizer(run: Run, config: Config) -> Any:
    from tune.tiny import tiny_bert_tokenizer, tiny_tokenizer

    return tiny_bert_tokenizer(run) if config.model == TINY_BERT else tiny_tokenizer(run)


class _Characters:
    """As much of a tokenizer as `tiny` needs of one."""

    eos_token_id, pad_token_id = 2, 0

    def __len__(self) -> int:
        return int(ASSUMED["characters"])


@dataclass(frozen=True)
class _Rows:
    """The rows that methods are compared in. length: tokens of the sample that a token stands in, on average."""

    tokens: int
    survey: Survey
    length: float
    said: str


def _assumed_rows(config: Config, device: Device) -> _Rows:
    tokens = config.pack or SIZES[device.type][0][-1]
    answers, length = max(1, round(tokens * ASSUMED["learnt"])), ASSUMED["length"]
    said = (
        f"rows of {tokens:,} tokens; samples of {length}, {answers / tokens:.0%} of them learnt, assumed: name a RUN"
    )
    return _Rows(tokens, Survey(packs=1, most=1, answers=answers, fill=1.0, notes=()), length, said)


def _run_rows(run: Run, config: Config, model_config: Any, device: Device) -> _Rows:
    """The rows of a run's train split, as a plan without virtual tokens would cut them."""
    from tune.data import tokenise
    from tune.reader import make_reader
    from tune.tuning import CACHE

    tokenizer = _tiny_tokenizer(run, config) if config.model in TINIES else load_tokenizer(config.model)
    prompter = make_reader(tokenizer, model_config, config, run.labels)
    train = tokenise(run, "train", prompter, config, default_out(run, config).parent / CACHE)
    lengths_N = train.lengths.astype(float)
    longest = int(train.lengths.max())
    tokens = config.pack or choose_row_tokens(train.places, config.batch, SIZES[device.type][0][0], longest)
    survey = survey_rows(train, config, tokens, count_steps(len(train), config))
    length = float((lengths_N**2).sum() / lengths_N.sum())
    said = f"rows of {tokens:,} tokens as {run.name} fills them, at most {survey.answers:,} of them learnt"
    return _Rows(tokens, survey, length, said)


def _costs(
    name: str, asked: dict[str, Any], run: Run | None, model_config: Any, device: Device, rows: _Rows
) -> dict[str, Any]:
    """What a method costs on a model of this configuration, or why it can't work with it."""
    method = METHODS[name]
    dtype = {2: torch.bfloat16, 4: torch.float32}[device.dtype]
    try:
        config = settle(resolve(run, **{**asked, "method": name}), run, [])
        check_method(config, run)
        bare = bare_model(model_config, head_settings(config, run.labels if run else _TWO)).to(dtype)
        linears = sum(m.weight.numel() for m in bare.get_decoder().modules() if isinstance(m, torch.nn.Linear))
        model = method.prepare(bare, config)
    except UserError as error:
        if not error.messages[0].startswith(f"method {name}:"):
            raise
        return {"unfit": error.messages[0]}
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    total, trainable = sum(n for n, _ in sizes), sum(n for n, trains in sizes if trains)
    held = None
    if method.needs:
        held = round((total - linears) * device.dtype + linears * BYTES_4_BIT)
    shape = Shape.of(model_config, total=total, trainable=trainable, held=held)
    compiled = config.compile == "on" or (config.compile == "auto" and device.type == "cuda")
    setting = setting_of(config, device, rows.tokens, rows.survey, compiled, config.checkpointing == "on")
    return {
        "total": total,
        "trainable": trainable,
        "saved_bytes": saved_bytes(model, method),
        "memory": mem.estimate(shape, replace(setting, length=rows.length)).peak,
        "flops": flops(model, rows.length, rows.survey.answers / rows.tokens),
    }


def saved_bytes(model: Any, method: Method) -> int:
    """Bytes of the weights that the method saves of a prepared model, which may be one without weights."""
    if method.folder == "model":
        return sum(p.numel() * p.element_size() for p in model.parameters())
    if not hasattr(model, "peft_config"):
        return sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    if virtual_of(unwrapped(model)):
        settings, (encoder,) = model.active_peft_config, model.prompt_encoder.values()
        numbers = settings.num_virtual_tokens * settings.token_dim
        if method.kind == "prefix":
            numbers *= 2 * settings.num_layers
        head = [p for name, p in model.named_parameters() if p.requires_grad and "modules_to_save" in name]
        return numbers * next(encoder.parameters()).element_size() + sum(p.numel() * p.element_size() for p in head)
    from peft import get_peft_model_state_dict

    tensors = get_peft_model_state_dict(model, save_embedding_layers=False)
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def flops(model: Any, length: float, learnt: float) -> float:
    """Floating-point operations that training a prepared model (which may be one without weights) takes a real token,
    in samples of `length` tokens of which a share `learnt` is learnt.

    A weight takes 2 forward, 2 for the gradient of its input where anything below it trains, and 2 for its own where
    it trains (Kaplan et al. 2020, arXiv:2001.08361, section 2.1); attention takes 4 a width of the queries and key
    that a token sees, and twice that backward. The head counts for learnt tokens. Virtual tokens are keys that every
    token sees (prefix) or tokens of each sample (prompts); the networks that make them run once a row and are left
    out, as are norms and other work by the element.
    """
    causal, virtual = unwrapped(model), virtual_of(unwrapped(model))
    layers, settings = layers_of(causal), causal.config.get_text_config()
    heads = settings.num_attention_heads
    q = heads * (getattr(settings, "head_dim", None) or settings.hidden_size // heads)
    places, prefix = (virtual.places, virtual.prefix) if virtual else (0, 0)
    # A token of an encoder sees all others of its sample, of a decoder half of them.
    keys = (length + places) / (2 if family_of(causal) is None else 1) + prefix
    output = causal.get_output_embeddings()
    heads_of = [causal.get_submodule(name) for name in head_of(causal)] if output is None else [output]
    head = [p for module in heads_of for p in module.parameters() if p.ndim > 1]
    embedding = causal.get_input_embeddings().weight
    below = virtual is not None or embedding.requires_grad
    total = 0.0
    for layer in layers:
        weights = [p for p in layer.parameters() if p.ndim > 1]
        below = below or any(p.requires_grad for p in layer.parameters())
        for p in weights:
            total += p.numel() * (2 + 2 * below + 2 * p.requires_grad)
        total += 4 * q * keys * (3 if below else 1)
    total *= (length + places) / length
    return total + learnt * sum(p.numel() * (4 + 2 * p.requires_grad) for p in head)
