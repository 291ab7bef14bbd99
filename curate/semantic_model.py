"""A static embedding model (model2vec) from a folder: texts as unit vectors, with no network at any time."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.types import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

#: What decides a vector; the files of other layouts that model2vec reads have these endings too.
_ENDINGS = (".json", ".safetensors")
_FILES = "model.safetensors, tokenizer.json and config.json"
_CHUNK = 1024


def model_problem(path: str) -> str | None:
    """What is wrong with the model's path as far as a look tells: to be said before anything is read."""
    folder = Path(path)
    if not folder.exists():
        return f"{path!r} is no folder here, and no model is fetched: download it and name its folder"
    if not folder.is_dir() or not any(folder.rglob("*.safetensors")):
        return f"{path!r} is no model2vec model; name the folder that holds {_FILES}"
    return None


def model_sha256(path: str) -> str:
    """The sha256 of all that decides a vector. UserError where there is no such model, or nothing to read it with."""
    if problem := model_problem(path):
        raise UserError(f"semantic_dedup: model {problem}")
    try:
        version("model2vec")
    except PackageNotFoundError:
        raise UserError(
            "semantic_dedup: needs the model2vec library, which is not installed: pip install 'jingtiao[semantic]'"
        ) from None
    folder = Path(path)
    files = sorted(file for file in folder.rglob("*") if file.suffix in _ENDINGS and file.is_file())
    told = hashlib.sha256()
    for file in files:
        name = file.relative_to(folder).as_posix().encode("utf-8")
        with file.open("rb") as raw:
            told.update(b"%d %s %s\n" % (len(name), name, hashlib.file_digest(raw, "sha256").hexdigest().encode()))
    return told.hexdigest()


class Model:
    """Texts as vectors; made by `load_model`."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.dim = int(model.dim)

    def vectors(self, texts: list[str]) -> Vectors:
        """(texts, dim): the mean vector of each text's tokens, of length 1; zero for one with no token it knows.

        A text counts as a whole, however long, and its vector depends on nothing but itself.
        """
        import numpy as np

        found = np.zeros((len(texts), self.dim), np.float32)
        for at in range(0, len(texts), _CHUNK):
            some = texts[at : at + _CHUNK]
            made = self._model.encode(some, max_length=None, normalize=False, use_multiprocessing=False)
            found[at : at + _CHUNK] = made
        length = np.sqrt(np.square(found, dtype=np.float64).sum(axis=1, keepdims=True))
        return np.divide(found, length, out=np.zeros_like(found), where=length > 0, casting="same_kind")


@lru_cache(maxsize=1)
def load_model(path: str) -> Model:
    """The model in a folder. UserError for a folder that holds none that model2vec reads."""
    model_sha256(path)  # says what a look tells: model2vec would take a path that isn't there for a name on the hub
    from model2vec import StaticModel

    try:
        model = StaticModel.from_pretrained(path)
        found = Model(model)
        known = found.vectors(["好"])
    except Exception as error:  # safetensors and tokenizers raise Exception itself
        first = (str(error).strip().split("\n")[0] or type(error).__name__).rstrip(".:")
        raise UserError(f"semantic_dedup: model {path!r} can't be read: {first}; it needs {_FILES}") from None
    if known.shape != (1, found.dim):
        raise UserError(f"semantic_dedup: model {path!r} gives vectors of another size than it says")
    return found
