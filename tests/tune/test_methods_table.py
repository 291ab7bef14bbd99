"""`tune methods`: every cost held against the real thing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rows_of_tokens import small_model
from safetensors import safe_open
from torch.utils.flop_counter import FlopCounterMode

from tune.config import resolve
from tune.errors import UserError
from tune.methods import METHODS, bare_model
from tune.methods_table import flops, methods_table, saved_bytes
from tune.tuning import plan_only

RUN = Path(__file__).resolve().parents[1] / "golden" / "pair"
SMALL = ("virtual_tokens=5", "encoder_hidden=12", "bottleneck=6", "r=4", "layers=1")
TRAINED = [name for name in METHODS if name != "qlora"]


@pytest.fixture(scope="module")
def table() -> Any:
    return methods_table({"model": "tiny", "sets": ["max_length=200"]}, RUN)


def test_what_a_method_costs_is_what_the_plan_says(
    table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.chdir(tmp_path)
    rows = {row["name"]: row for row in table["methods"]}
    assert list(rows) == list(METHODS) and "unfit" in rows["qlora"] and not any("unfit" in rows[n] for n in TRAINED)
    for name in ("lora", "full"):
        asked = {"method": name, "sets": ["max_length=200", "checkpointing=off"]}
        plan = plan_only(RUN, asked, stream=sys.stderr)["plan"]
        assert plan["parameters"] == {key: rows[name][key] for key in ("total", "trainable")}
        assert plan["memory"]["peak"] == rows[name]["memory"]
    assert rows["full"]["memory_relative"] == rows["full"]["speed_relative"] == 1
    assert rows["lora"]["memory_relative"] == rows["lora"]["memory"] / rows["full"]["memory"] < 1
    # Nothing backward below the last layers; all but the weights' own gradients; longer samples.
    speed = {name: rows[name]["speed_relative"] for name in TRAINED}
    assert speed["freeze"] > speed["ln"] > speed["lora"] > speed["prompt"] > 1


def test_as_text_and_without_a_model(table: Any) -> None:
    costs, *_ = str(table).split("\n\nlora ")
    (row,) = [line for line in costs.splitlines() if line.startswith("p_tuning_v2 ")]
    found = next(row for row in table["methods"] if row["name"] == "p_tuning_v2")
    assert row.split()[1:4] == [f"{found['trainable']:,}", f"{found['trainable'] / found['total']:.2%}", "80.0"]
    assert "qlora                –" in costs and "note: method qlora: " in costs and "not measured" in costs
    assert json.loads(json.dumps(table))["of"]["model"] == "tiny"
    plain = methods_table({})
    assert plain["of"] is None and [row.keys() for row in plain["methods"]] == [plain["methods"][0].keys()] * len(
        METHODS
    )
    for method in METHODS.values():
        for text in (method.summary, f"when: {method.when}", f"({method.source})", f"saved: {method.saved}"):
            assert text in str(plain) and text in str(table)


def test_a_model_is_known_by_its_configuration_alone(tmp_path: Path) -> None:
    from transformers import Phi3Config

    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 97}
    Phi3Config(**sizes, num_attention_heads=4, pad_token_id=0).save_pretrained(tmp_path)
    found = methods_table({"model": str(tmp_path)}, memory="1MB")
    rows = {row["name"]: row for row in found["methods"]}
    assert rows["ia3"]["unfit"].startswith("method ia3: can't work with phi3 models")
    assert rows["lora"]["trainable"] > 0 and rows["lora"]["fits"] is False and " !" in str(found)
    with pytest.raises(UserError, match="no folder of that name"):
        methods_table({"model": "no/such-model"})
    with pytest.raises(UserError, match="--set r=x: r: should be a valid integer"):
        methods_table({"model": str(tmp_path), "sets": ["r=x"]})


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_what_is_saved_is_as_large_as_the_file(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    method, config = METHODS[name], resolve(None, model="m", method=name, sets=SMALL)
    model = small_model("qwen3").to(dtype)
    expected = saved_bytes(method.prepare(bare_model(model.config).to(dtype), config), method)
    method.save(method.prepare(model, config), tmp_path)
    size = 0
    for file in tmp_path.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            size += sum(t.numel() * t.element_size() for t in map(tensors.get_tensor, tensors.keys()))
    assert size == expected > 0


@pytest.mark.filterwarnings("ignore:Position ids are not supported")
@pytest.mark.parametrize("name", ["full", "freeze", "lora", "adapter", "ln", "prompt"])
def test_arithmetic_is_what_torch_counts(name: str) -> None:
    """Matrix products forward and backward, but for a few: the first layer's q, k and v need no gradient of their
    input where nothing before them trains, and of this small model that is a good part."""
    # With dropout, LoRA's own forward is PEFT's, whose operations torch knows.
    config = resolve(None, model="m", method=name, sets=[*SMALL, "virtual_tokens=2", "dropout=0.1"])
    model = METHODS[name].prepare(small_model("qwen3"), config).train()
    samples, length = 3, 6
    ids = torch.randint(3, 90, (samples, length))
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, labels=ids).loss.backward()
    counted = counter.get_total_flops() / (samples * length)
    assert flops(model, length, 1.0) == pytest.approx(counted, rel=0.15)
