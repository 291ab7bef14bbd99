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

from tune.config import TINIES, TINY_BERT
from tune.device import chosen
from tune.encoders import family_of
from tune.errors import UserError
from tune.methods.freeze import ABOVE
from tune.objectives import answer_losses, head_logits, hidden_states, unwrapped
from tune.pack import build_pack
from tune.reader import head_settings
from tune.runs import MIXTURE
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


def load(config: Config, run: Run, device: str | None = None, words: dict[str, str] | None = None) -> Loaded:
    """Load (or, for `tiny`, make) the model: bf16 on a GPU, fp32 on a CPU. With a head it is a classifier of `words`,
    each label's word (the run's, if not given).

    Raises:
        UserError: there is no such model here, or it is not one that can be loaded.
    """
    place, dtype = chosen(device)
    head = head_settings(config, run.labels if words is None else words) if config.has_head else None
    if config.model in TINIES:
        from tune.tiny import tiny_bert_tokenizer, tiny_model, tiny_tokenizer

        encoder = config.model == TINY_BERT
        tokenizer = tiny_bert_tokenizer(run) if encoder else tiny_tokenizer(run)
        model: Any = tiny_model(tokenizer, config.seed, head, encoder)
        model = model.to(device=place, dtype=dtype)
        made = f"{config.model}: a small model made on the spot from random weights"
        notes = [f"{made}; it shows the machinery, not quality", *([NEW_HEAD] if head else [])]
        return Loaded(model, tokenizer, config.model, "tiny", place, notes)
    kind = "folder" if Path(config.model).is_dir() else "hub"
    if kind == "folder":
        _check_folder(Path(config.model))
    else:
        _check_name(config.model)
    tokenizer = load_tokenizer(config.model)
    if head is not None:
        model = load_classifier(config.model, place, dtype, head, config.seed)
        _settle_padding(model, tokenizer)
        notes = [NEW_HEAD] if model.new_parts else []
        if dropped := getattr(model.config, "attention_probs_dropout_prob", 0.0):
            notes.append(
                f"dropout of attention weights ({dropped:g}) is left out in packed rows, that of hidden states is not"
            )
        return Loaded(model, tokenizer, config.model, kind, place, notes)
    # On a CPU, where adapters are merged, the weights stay what they are.
    model = load_model(config.model, place, dtype, in_4_bits=config.method == "qlora" and place.type == "cuda")
    return Loaded(model, tokenizer, config.model, kind, place)


#: Said of a model with a head that no file held.
NEW_HEAD = "the head is new: what the untuned model answers is chance"


def _settle_padding(model: Any, tokenizer: Any) -> None:
    """A decoder's classifier finds the last token of a padded text by its padding's id."""
    if family_of(model) is None and model.config.get_text_config().pad_token_id is None:
        pad = tokenizer.pad_token_id
        model.config.get_text_config().pad_token_id = tokenizer.eos_token_id if pad is None else pad


def settle(config: Config, run: Run | None, notes: list[str]) -> Config:
    """The settings with their objective: where none was asked for, an encoder classifies and all else answers.

    Raises UserError, before any weight is loaded, where the objective fits the model, the run or the other settings
    badly.
    """
    from tune.encoders import INSTEAD, is_encoder, why_not

    known = _known_config(config.model)
    encoder = config.model == TINY_BERT or (known is not None and is_encoder(known))
    objective = config.objective or ("classify" if encoder else "sft")
    if encoder:
        kind = known.model_type if known is not None else "bert"
        if why := why_not(known) if known is not None else "":
            raise UserError(f"model {config.model}: {kind} models can't be packed: {why}; take {INSTEAD}")
        if objective == "sft":
            raise UserError(
                f"model {config.model}: is an encoder ({kind}) and can't write answers, so objective sft can't be; "
                "take objective classify, or a causal model (Qwen3, Llama, Gemma)"
            )
        if config.objective is None:
            notes.append(f"model {config.model}: is an encoder, so objective classify: a head learns the label")
    config = config.model_copy(update={"objective": objective})
    _check_objective(config, run, known)
    return config


def _check_objective(config: Config, run: Run | None, known: Any) -> None:
    from transformers import AutoModelForSequenceClassification

    name = config.objective
    if name != "classify" and (config.label_smoothing or config.class_weights != "none"):
        said = "label_smoothing" if config.label_smoothing else "class_weights"
        raise UserError(f"{said}: is of objective classify, and this is {name}; leave it out")
    if not config.has_head:
        return
    if run is not None and run.task == MIXTURE:
        raise UserError(
            f"{run.path}: objective {name}: the corpora of a mixture have labels of their own, and there is one head; "
            "take a run of one corpus, or a causal model with objective sft"
        )
    if name == "classify" and run is not None and not run.labels:
        raise UserError(
            f"{run.path}: objective classify: a {run.task} run has no labels; take a pair or classification run, "
            "or a causal model with objective sft"
        )
    if config.loss == "all":
        raise UserError(f"loss: all is of texts, and objective {name} learns one label a sample; leave it out")
    if config.method == "qlora":
        raise UserError("method qlora: 4-bit weights under a head are not supported; take method lora")
    if known is not None and type(known) not in AutoModelForSequenceClassification._model_mapping:
        raise UserError(
            f"model {config.model}: transformers has no classifier for {known.model_type} models; "
            "take objective sft, or another model (Qwen3, Llama, Gemma, BERT)"
        )


def _known_config(name: str) -> Any:
    """A model's configuration; None for one that is made on the spot, or where none can be loaded: what is wrong there
    is said when the model is loaded."""
    from transformers import AutoConfig

    if name in TINIES:
        return None
    try:
        return AutoConfig.from_pretrained(name, local_files_only=Path(name).is_dir() or _offline())
    except Exception:  # whatever a damaged or missing file makes the libraries raise
        return None


def check_method(config: Config, run: Run | None = None) -> None:
    """Raise UserError where the settings' method can't work here or with the model's family, before any weight is
    loaded. Whatever is wrong with the model itself is said when it is loaded. `run`: whose labels a head is of."""
    from tune.methods import METHODS, bare_model

    method = METHODS[config.method]
    if missing := [name for name in method.needs if find_spec(name) is None]:
        raise UserError(
            f"method {method.name}: needs {', '.join(missing)}, not installed here; "
            f"pip install {' '.join(missing)}, or take method lora"
        )
    if method.needs and (config.model in TINIES or not torch.cuda.is_available()):
        raise UserError(f"method {method.name}: 4-bit weights are for real models on a GPU; take method lora")
    known = _known_config(config.model)
    if known is None:
        return
    try:
        bare = bare_model(known, head_settings(config, run.labels if run else {"0": "0", "1": "1"}))
    except Exception:  # whatever a damaged or missing file makes the libraries raise
        return
    if config.has_head and family_of(bare) is None and not hasattr(bare, "score"):
        raise UserError(
            f"model {config.model}: {known.model_type}'s classifier is not a head called score on the last token; "
            "take objective sft, or another model (Qwen3, Llama, Gemma, BERT)"
        )
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
    return model if in_4_bits else _placed(model, name, place)


def load_classifier(
    name: str, place: torch.device, dtype: torch.dtype, head: dict[str, Any] | None = None, seed: int = 0
) -> Any:
    """The classifier of a folder or hub name on its device; with `head`, the settings of its labels, what of it the
    files don't hold is made from the seed and named in its `new_parts`. Raises UserError where it can't be loaded."""
    from transformers import AutoModelForSequenceClassification

    options: dict[str, Any] = {"dtype": dtype, "output_loading_info": True, "ignore_mismatched_sizes": True}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, found = _load(AutoModelForSequenceClassification, name, "model", **options, **(head or {}))
    lacking = sorted({*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])})
    parts = sorted({part for key in lacking for part in ABOVE if f".{part}." in f".{key}"})
    lost = [key for key in lacking if not any(f".{part}." in f".{key}" for part in ABOVE)]
    if wrong := lost if head is not None else lacking:
        raise UserError(
            f"model {name}: its files lack {len(wrong):,} of the weights, or hold other sizes of them ({wrong[0]}): "
            "it is cut off, or no such model; choose one that is whole"
        )
    model.new_parts = parts
    return _placed(model, name, place)


def _placed(model: Any, name: str, place: torch.device) -> Any:
    try:
        return model.to(place)
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
    if tokens.labelled:
        return _probe_head(model, tokens, row_tokens, samples)
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


@torch.no_grad()
def _probe_head(model: Any, tokens: Tokens, row_tokens: int, samples: int) -> float:
    """Compare the logits of packed samples with those that the classifier's own forward pass makes one by one."""
    core, training = unwrapped(model), model.training
    fitting = np.flatnonzero(np.cumsum(tokens.lengths[:samples]) <= row_tokens)
    pack = build_pack(replace(tokens, virtual=0), fitting, row_tokens).to(core.device)
    family = family_of(core)
    model.eval()
    try:
        with without_virtual(core):
            packed_SC, alone = head_logits(model, pack), []
            for start, end in zip(pack.bounds[: len(pack.samples)], pack.bounds[1:], strict=False):
                inputs = {"input_ids": pack.ids_T[None, start:end]}
                if family and family.types and core.config.type_vocab_size > 1:
                    inputs["token_type_ids"] = pack.types_T[None, start:end]
                alone.append(core(**inputs).logits[0].float())
    finally:
        model.train(training)
    alone_SC = torch.stack(alone)
    worst = float((packed_SC - alone_SC).norm() / alone_SC.norm().clamp(min=1e-6))
    if not worst <= TOLERANCE[core.dtype]:  # NaN is no less wrong
        raise UserError(
            f"model {core.config.model_type}: its packed samples' labels are not those of one by one (error "
            f"{worst:.2g}): its attention doesn't pass through transformers' AttentionInterface, or its head is "
            "another; choose a model of another family (BERT, RoBERTa, ModernBERT, Qwen3)"
        )
    return worst
