"""A finished tuning as a model: loading it, folding its adapter into the base, and the lines that serve it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune.config import TINIES
from tune.errors import UserError
from tune.folder import read_local
from tune.lock import read_lock
from tune.results import PREDICTIONS, read_lines
from tune.runs import Run, open_run

if TYPE_CHECKING:
    import torch

    from tune.config import Config

#: Beside the result of a model with a head: each label's word, as the run has them.
LABELS = "labels.json"
#: Of a merged model's logits: the largest difference from the adapter's over the largest logit. fp32 stays below 1e-5
#: (DoRA 1e-4); a wrong merge is off by 1e-1 and more.
TOLERANCE = 1e-3
#: Prompts on which merged and adapter are compared.
COMPARED = 16


@dataclass
class Tuned:
    """A finished tuning, ready to answer. `model` is PEFT's wrapper where the method is an adapter."""

    folder: Path
    config: Config
    model: Any
    tokenizer: Any
    prompter: Any
    notes: list[str] = field(default_factory=list)


def load_tuned(folder: Path, device: str | None = None) -> Tuned:
    """Load the tuned model of a tuning's folder, on the GPU where there is one (or on `device`).

    Raises UserError where the folder is no tuning, training isn't finished, or the base model isn't there.
    """
    from tune.methods import METHODS

    config = read_lock(folder).config
    method = METHODS[config.method]
    result = folder / method.folder
    if not (result / method.marker).is_file():
        raise UserError(
            f"{folder}: holds no finished {method.folder}; `python -m tune train RUN --resume` finishes it"
        )
    from transformers.utils import logging

    from tune.model import load_tokenizer
    from tune.objectives import unwrapped
    from tune.reader import make_reader

    logging.disable_progress_bar()  # its bars would stand in the middle of ours
    tokenizer = load_tokenizer(str(result))
    words = _words(result) if config.has_head else {}
    if method.folder == "adapter":
        model = _adapted(folder, config, result, device, words)
    else:
        model = _whole(result, device, config.has_head)
    model.eval()
    own = getattr(unwrapped(model), "generation_config", None)
    prompter = make_reader(tokenizer, model.config, config, words, own)
    return Tuned(folder, config, model, tokenizer, prompter, list(prompter.notes))


def _words(result: Path) -> dict[str, str]:
    try:
        return json.loads((result / LABELS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError(f"{result / LABELS}: can't be read, and names the labels of the head; train again") from None


def _adapted(folder: Path, config: Config, adapter: Path, device: str | None, words: dict[str, str]) -> Any:
    from tune.methods import METHODS
    from tune.model import load

    # Only `tiny` is made from its run; any other model is loaded by its name, wherever the run may be by now.
    run: Any = _run_of(folder) if config.model in TINIES else None
    base = load(config, run, device, words).model
    try:
        return METHODS[config.method].load(base, adapter)
    except Exception as error:  # whatever PEFT makes of a damaged file, or of another base model
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{adapter}: the adapter can't be loaded: {first}") from None


def _whole(folder: Path, device: str | None, has_head: bool) -> Any:
    import torch

    from tune.model import load_classifier, load_model

    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = torch.bfloat16 if place.type == "cuda" else torch.float32
    return (load_classifier if has_head else load_model)(str(folder), place, dtype)


def _run_of(folder: Path) -> Run:
    """The run that a tuning, finished or about to be, was made from."""
    run = open_run(Path(str(read_local(folder).get("run"))))
    if run.fingerprint != read_lock(folder).hashes.get("run"):
        raise UserError(f"{run.path}: is another run than the one that {folder} was tuned on; bring that one back")
    return run


def merge(
    tuning: Path, out: Path | None = None, *, force: bool = False, report: Callable[[str], None] | None = None
) -> str:
    """Fold a tuning's adapter into its base model and write the result, as plain transformers loads it, to `out`.

    Merged in fp32 on the CPU; then the logits of merged model and adapter are compared on prompts of the run, and
    where they differ by more than TOLERANCE nothing is written. The result has the base model's type and stands, with
    tokenizer, chat template and generation config, in `out` (TUNING/merged). Returns what to tell the user.

    Raises UserError: no adapter, `out` is in use (without `force`), or the merged model answers otherwise.
    """
    from tune.methods import METHODS

    config = read_lock(tuning).config
    method = METHODS[config.method]
    if method.folder != "adapter":
        model = tuning / method.folder
        raise UserError(f"{tuning}: method {config.method} makes no adapter: {model} is the whole model already")
    if method.unmerged:
        raise UserError(
            f"{tuning}: what method {config.method} learnt can't be merged: {method.unmerged}. "
            f"`python -m tune chat {_quoted(tuning)}` talks with it as it is"
        )
    place = out or tuning / "merged"
    _check_place(place, force)
    say = report or (lambda _: None)
    say("loading the model in fp32")
    tuned = load_tuned(tuning, device="cpu")
    prompts = _real_prompts(tuned)
    say("merging")
    merged, difference = merge_model(tuned.model, prompts)
    if not difference <= TOLERANCE:
        raise UserError(
            f"{tuning}: the merged model's logits differ from the adapter's by {difference:.2g} of the largest "
            f"(allowed {TOLERANCE:g}); nothing was written. Serve the adapter as it is instead"
        )
    say("writing")
    dtype = base_dtype(config.model)
    _save(merged.to(dtype), tuned.tokenizer, place)
    served = [load_line(place)] if config.has_head else serve_model(place, thinks(tuned.tokenizer))
    lines = "\n".join(f"  {line}" for line in served)
    return (
        f"merged: {place} ({str(dtype).removeprefix('torch.')}; logits within {difference:.1g} of the adapter's on "
        f"{len(prompts)} prompts, in fp32)\nserve it with one of\n{lines}"
    )


def merge_model(model: Any, prompts: Sequence[Sequence[int]]) -> tuple[Any, float]:
    """A PEFT model merged into its base (in place), and the largest relative difference of logits on the prompts.

    The difference is max |merged - adapter| / max |adapter| over all positions and prompts; NaN counts as infinite.
    """
    before = [_logits(model, prompt) for prompt in prompts]
    merged = model.merge_and_unload()
    worst = 0.0
    for prompt, logits_TV in zip(prompts, before, strict=True):
        difference = float((_logits(merged, prompt) - logits_TV).abs().max() / logits_TV.abs().max())
        worst = max(worst, difference if difference == difference else float("inf"))
    return merged, worst


def _logits(model: Any, prompt: Sequence[int]) -> torch.Tensor:
    import torch

    with torch.no_grad():
        return model(input_ids=torch.tensor([list(prompt)])).logits[0].float()


def _real_prompts(tuned: Tuned) -> list[list[int]]:
    """Token ids of prompts of the run: those that were evaluated, else the first of its train split."""
    if (tuned.folder / PREDICTIONS).is_file():
        texts = [row["prompt"] for row in read_lines(tuned.folder / PREDICTIONS)[:COMPARED]]
        return [tuned.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    samples = list(islice(_run_of(tuned.folder).rows("train"), COMPARED))
    return tuned.prompter.prompt_ids(samples)


def base_dtype(model: str) -> torch.dtype:
    """The type that the base model was published in; fp32 for `tiny` and where its config names none."""
    import torch
    from transformers import AutoConfig

    if model in TINIES:
        return torch.float32
    dtype = AutoConfig.from_pretrained(model, local_files_only=Path(model).is_dir()).dtype
    return dtype if isinstance(dtype, torch.dtype) else torch.float32


def _check_place(place: Path, force: bool) -> None:
    if place.exists() and not force:
        raise UserError(f"{place}: is there already; choose another folder with --out, or replace it with --force")
    if place.exists() and not (place / "config.json").is_file():
        raise UserError(f"{place}: is no model, so it won't be replaced; choose another folder with --out")


def _save(model: Any, tokenizer: Any, place: Path) -> None:
    """Written aside and moved in: what stands at `place` is a whole model."""
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = place.with_name(f".{place.name}.partial-{os.getpid()}")
    try:
        model.save_pretrained(aside)
        tokenizer.save_pretrained(aside)
        if place.exists():
            shutil.rmtree(place)
        aside.rename(place)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


# ---- the lines that serve a tuning with tools that users have


def serving(folder: Path, config: Config, tokenizer: Any, called: Path | None = None) -> list[str]:
    """Shell lines that serve a tuning; where the adapter can't be served as it is, merging comes first, and where it
    can't be merged either, our own `chat` is what there is.

    `called`: what the lines call the folder, where they are to be run elsewhere.
    """
    from tune.methods import METHODS

    called = folder if called is None else called
    method = METHODS[config.method]
    if config.has_head:
        return [f"python -m tune chat {_quoted(called)}"]
    if method.folder == "model":
        return serve_model(called / "model", thinks(tokenizer))
    if method.unmerged:
        return [f"python -m tune chat {_quoted(called)}"]
    merged = [f"python -m tune merge {_quoted(called)}", *serve_model(called / "merged", thinks(tokenizer))]
    served = method.kind == "lora" and not config.dora and config.init != "pissa" and config.method != "qlora"
    if config.model in TINIES or not served:
        return merged  # no base model on a disk, or an adapter that vLLM doesn't load, or puts on the unaltered base
    adapter = called / "adapter"
    line = (
        f"vllm serve {_quoted(config.model)} --enable-lora --max-lora-rank {_vllm_rank(config.r)} "
        f"--lora-modules {_quoted(f'tuned={adapter}')}"
    )
    if (folder / "adapter" / "chat_template.jinja").is_file():
        line += f" --chat-template {_quoted(adapter / 'chat_template.jinja')}"
    return [line + _no_thinking(thinks(tokenizer)), *merged]


def load_line(folder: Path) -> str:
    """What loads a whole classifier, and calls it."""
    return f"transformers.pipeline('text-classification', {str(folder)!r})"


def serve_model(folder: Path, thinking: bool) -> list[str]:
    """Lines that serve a whole model."""
    off = " --reasoning off" if thinking else ""
    return [f"transformers serve {_quoted(folder)}{off}", f"vllm serve {_quoted(folder)}{_no_thinking(thinking)}"]


def thinks(tokenizer: Any) -> bool:
    """Whether the chat template knows a think block, which training leaves out."""
    return "enable_thinking" in str(getattr(tokenizer, "chat_template", None) or "")


def _no_thinking(thinking: bool) -> str:
    return """ --default-chat-template-kwargs '{"enable_thinking": false}'""" if thinking else ""


def _vllm_rank(r: int) -> int:
    """The smallest of the ranks that vLLM takes as its maximum which holds an adapter of rank `r`."""
    return next((rank for rank in (8, 16, 32, 64, 128, 256, 320, 512) if rank >= r), r)


def _quoted(path: Any) -> str:
    return shlex.quote(str(path))
