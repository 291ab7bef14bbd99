"""The base model and its tokenizer, and the proof that its attention stops at sample borders."""

from __future__ import annotations

import os
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from tune.errors import UserError
from tune.objectives import answer_losses, hidden_states, unwrapped
from tune.pack import build_pack
from tune.virtual import without_virtual

if TYPE_CHECKING:
    from tune.config import Config
    from tune.data import Tokens
    from tune.runs import Run

#: How far packed hidden states may be from one-by-one ones, as a share of their norm. bf16 rounds at 4e-3 and layers
#: add up; samples that see each other are wrong by 0.3 and more.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 1e-1}


@dataclass
class Loaded:
    """A base model on its device. kind: "tiny", "folder" or "hub". name: as the user gave it."""

    model: Any
    tokenizer: Any
    name: str
    kind: str
    device: torch.device
    notes: list[str] = field(default_factory=list)


def load(config: Config, run: Run, device: str | None = None) -> Loaded:
    """Load (or, for `tiny`, make) the model: bf16 on a GPU, fp32 on a CPU.

    Raises:
        UserError: there is no such model here, or it is not one that can be loaded.
    """
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = torch.bfloat16 if place.type == "cuda" else torch.float32
    if config.model == "tiny":
        from tune.tiny import tiny_model, tiny_tokenizer

        tokenizer = tiny_tokenizer(run)
        model: Any = tiny_model(tokenizer, config.seed)
        model = model.to(device=place, dtype=dtype)
        note = "tiny: a small model made on the spot from random weights; it shows the machinery, not quality"
        return Loaded(model, tokenizer, "tiny", "tiny", place, [note])
    kind = "folder" if Path(config.model).is_dir() else "hub"
    if kind == "folder":
        _check_folder(Path(config.model))
    else:
        _check_name(config.model)
    tokenizer = load_tokenizer(config.model)
    # On a CPU, where adapters are merged, the weights stay what they are.
    model = load_model(config.model, place, dtype, in_4_bits=config.method == "qlora" and place.type == "cuda")
    return Loaded(model, tokenizer, config.model, kind, place)


def check_method(config: Config) -> None:
    """Raise UserError where the settings' method can't work here or with the model's family, before any weight is
    loaded. Whatever is wrong with the model itself is said when it is loaded."""
    from tune.methods import METHODS, bare_model

    method = METHODS[config.method]
    if missing := [name for name in method.needs if find_spec(name) is None]:
        raise UserError(
            f"method {method.name}: needs {', '.join(missing)}, not installed here; "
            f"pip install {' '.join(missing)}, or take method lora"
        )
    if method.needs and (config.model == "tiny" or not torch.cuda.is_available()):
        raise UserError(f"method {method.name}: 4-bit weights are for real models on a GPU; take method lora")
    if config.model == "tiny":
        return
    from transformers import AutoConfig

    try:
        local = Path(config.model).is_dir()
        bare = bare_model(AutoConfig.from_pretrained(config.model, local_files_only=local or _offline()))
    except Exception:  # whatever a damaged or missing file makes the libraries raise
        return
    method.prepare(bare, config)


def load_config(name: str) -> Any:
    """The configuration of a folder or hub name. Raises UserError where it can't be loaded."""
    from transformers import AutoConfig

    if not Path(name).is_dir():
        _check_name(name)
    return _load(AutoConfig, name, "configuration")


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a folder or hub name. Raises UserError where it can't be loaded."""
    from transformers import AutoTokenizer

    return _load(AutoTokenizer, name, "tokenizer")


def load_model(name: str, place: torch.device, dtype: torch.dtype, in_4_bits: bool = False) -> Any:
    """The causal language model of a folder or hub name, on its device; with `in_4_bits` its linear layers are
    quantised to NF4 with double quantisation (QLoRA, arXiv:2305.14314), computing in `dtype`. Raises UserError where
    it can't be loaded, or its files lack weights (transformers would make them up)."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    options: dict[str, Any] = {"dtype": dtype, "output_loading_info": True, "ignore_mismatched_sizes": True}
    if in_4_bits:
        nf4 = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": dtype}
        options |= {"quantization_config": BitsAndBytesConfig(load_in_4bit=True, **nf4), "device_map": {"": place}}
    model, found = _load(AutoModelForCausalLM, name, "model", **options)
    if wrong := sorted([*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])]):
        raise UserError(
            f"model {name}: its files lack {len(wrong):,} of the weights, or hold other sizes of them ({wrong[0]}): "
            "it is cut off, or no causal language model; choose one that is whole"
        )
    try:
        return model if in_4_bits else model.to(place)
    except torch.OutOfMemoryError:
        size = sum(p.numel() * p.element_size() for p in model.parameters())
        raise UserError(
            f"model {name}: its weights alone, {size / 2**30:.1f} GiB, don't fit the memory of {place}; "
            "choose a smaller model"
        ) from None


def _load(maker: Any, name: str, part: str, **options: Any) -> Any:
    local = Path(name).is_dir()
    try:
        return maker.from_pretrained(name, local_files_only=local or _offline(), **options)
    except Exception as error:  # whatever a damaged file makes the libraries raise; some raise Exception itself
        raise UserError(_why_not(name, local, part, error)) from None


def _offline() -> bool:
    """Whether the hub can't be reached. Then no library of this process tries to: each would, for half a minute."""
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE and not _answers(constants.ENDPOINT):
        os.environ["HF_HUB_OFFLINE"] = "1"  # PEFT reads this one
        constants.HF_HUB_OFFLINE = True
    return constants.HF_HUB_OFFLINE


def _answers(url: str, seconds: float = 5) -> bool:
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds).close()
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:
        return isinstance(error.reason, ssl.SSLError)  # the hub's client may trust other certificates
    except OSError:
        return False
    return True


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise UserError(f"model {folder}: the folder has no config.json, so it is no model; name one that has")
    if not any(path for pattern in _TOKENIZERS for path in folder.glob(pattern)):
        raise UserError(f"model {folder}: the folder has no tokenizer; copy it there, from where the model came")


#: Some file of every tokenizer.
_TOKENIZERS = ("tokenizer*", "vocab*", "*.model", "*.tiktoken", "tekken*")


def _check_name(name: str) -> None:
    if Path(name).is_file():
        raise UserError(f"model {name}: is a file; name the folder of the model")
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UserError(f"model {name}: there is no such folder")


def _why_not(name: str, local: bool, part: str, error: Exception) -> str:
    first = str(error).strip().splitlines()[0].rstrip(":") if str(error).strip() else type(error).__name__
    if local:
        return f"model {name}: its {part} can't be loaded: {first}"
    return (
        f"model {name}: no folder of that name here, and its {part} can't be had from the hub ({first}); "
        "check the name and the connection, or download the model and give --model FOLDER"
    )


@torch.no_grad()
def probe(model: Any, tokens: Tokens, row_tokens: int, samples: int = 4) -> float:
    """Compare a packed row with the same samples one by one, through the model's own forward pass; virtual tokens are
    left out.

    Returns the largest relative error of hidden states.

    Raises:
        UserError: the model's attention doesn't pass through transformers' interface, so samples would see each other;
            or the loss taken from its hidden states is not the one of its own logits.
    """
    causal, training = unwrapped(model), model.training
    fitting = np.cumsum(tokens.lengths[:samples]) <= row_tokens
    pack = build_pack(replace(tokens, virtual=0), np.flatnonzero(fitting), row_tokens).to(causal.device)
    model.eval()
    try:
        with without_virtual(causal):
            packed_TD, losses_A = hidden_states(model, pack), answer_losses(model, pack)
            errors, own = [], []
            for start, end in zip(pack.bounds[: len(pack.samples)], pack.bounds[1:], strict=False):
                ids_1L = pack.ids_T[None, start:end]
                alone_LD = causal.get_decoder()(input_ids=ids_1L, use_cache=False).last_hidden_state[0].float()
                errors.append(float((packed_TD[start:end].float() - alone_LD).norm() / alone_LD.norm()))
                logits_LV = causal(input_ids=ids_1L, use_cache=False).logits[0, :-1].float()
                own.append(F.cross_entropy(logits_LV, ids_1L[0, 1:], reduction="none"))
    finally:
        model.train(training)
    allowed, kind = TOLERANCE[causal.dtype], causal.config.model_type
    worst = float(np.max(errors))
    if not worst <= allowed:  # NaN is no less wrong
        raise UserError(
            f"model {kind}: packed samples see each other (error {worst:.2g}): its attention doesn't pass through "
            "transformers' AttentionInterface; choose a model whose attention does (Qwen, Llama, Gemma)"
        )
    own_A = torch.cat([F.pad(losses_L, (0, 1)) for losses_L in own])[pack.at_A]
    apart = float((losses_A - own_A).norm() / own_A.norm())
    if not apart <= allowed:
        raise UserError(
            f"model {kind}: it changes its logits in a way that is not known here (its loss is {apart:.2g} off); "
            "choose another model"
        )
    return worst
