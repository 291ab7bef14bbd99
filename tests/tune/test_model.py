"""Loading a base model: whatever is wrong is one error, and a hub out of reach is said at once."""

from __future__ import annotations

import json
import shutil
import socket
import time
from pathlib import Path

import pytest

from tune import model as models
from tune.config import Config
from tune.errors import UserError
from tune.runs import open_run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small model and its tokenizer."""
    from tune.tiny import tiny_model, tiny_tokenizer

    folder = tmp_path_factory.mktemp("model") / "whole"
    run = open_run(Path(__file__).resolve().parents[1] / "golden" / "pair")
    tokenizer = tiny_tokenizer(run)
    tiny_model(tokenizer, 0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def load(name: object) -> models.Loaded:
    return models.load(Config.model_validate({"model": str(name)}), None, "cpu")  # pyright: ignore[reportArgumentType]


def test_a_whole_folder(whole: Path) -> None:
    loaded = load(whole)
    assert loaded.kind == "folder" and loaded.device.type == "cpu"


def _cut(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:10_000])


def _drop_weight(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def _other_size(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 64}), encoding="utf-8")


def _no_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "config.json").write_text("{", encoding="utf-8"), "can't be loaded"),
        (
            lambda folder: (folder / "tokenizer.json").write_text("{", encoding="utf-8"),
            "its tokenizer can't be loaded",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), "its model can't be loaded"),
        (_no_tokenizer, "no tokenizer"),
        (_cut, "its model can't be loaded"),
        (_drop_weight, "lack 1 of the weights.*layers.1.mlp.up_proj"),
        (_other_size, "hold other sizes"),
    ],
)
def test_a_damaged_folder(whole: Path, tmp_path: Path, damage, said: str) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "damaged"))
    damage(folder)
    with pytest.raises(UserError, match=said) as raised:
        load(folder)
    assert len(raised.value.messages) == 1 and "\n" not in raised.value.messages[0]


@pytest.mark.parametrize("name", ["./nothing", "/nothing/here", "a/b/c", __file__])
def test_no_such_folder(name: str) -> None:
    with pytest.raises(UserError, match=r"no such folder|is a file"):
        load(name)


def test_the_hub_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    with socket.socket() as closed:  # a port at which nothing listens
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"no folder of that name here.*check the name and the connection"):
        load("nobody/nothing")
    assert time.monotonic() - begun < 10
    assert constants.HF_HUB_OFFLINE
