"""Reading the run folder that `curate` writes: its manifest, and the samples of each split."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tune.errors import UserError

MANIFEST = "manifest.json"
#: The task of a run whose rows come from several corpora, each with a task of its own.
MIXTURE = "mixture"
#: The splits a run may have, in the order in which they are read and reported.
SPLITS = ("train", "validation", "test")
#: What tuning needs of a manifest, and what each must be.
_NEEDED: dict[str, type] = {"recipe": dict, "fingerprint": str, "task": str, "metrics": list, "outputs": list}


@dataclass(frozen=True)
class Run:
    """A finished run. `name` is its folder's; `splits` counts the samples of each split that has a file.

    `labels` maps a label to the word a model reads and writes (empty for tasks without labels), `tune` is the
    recipe's section of that name, `fingerprint` stands for everything that decided the run's bytes.

    A mixture is evaluated as its `parts`: the same run seen through one corpus, whose name is `corpus`, with that
    corpus's task, labels, metrics and rows; all else, `splits` too, is the whole run's.
    """

    path: Path
    name: str
    task: str
    labels: dict[str, str]
    metrics: tuple[str, ...]
    tune: dict[str, Any]
    fingerprint: str
    manifest: dict[str, Any]
    splits: dict[str, int]
    corpus: str = ""

    @property
    def parts(self) -> list[Run]:
        """What is evaluated by itself: each corpus of a mixture, in the order of their names, else the run."""
        if self.corpus or self.task != MIXTURE:
            return [self]
        return [
            replace(
                self,
                corpus=name,
                task=entry["task"],
                labels=dict(entry.get("labels") or {}),
                metrics=tuple(entry["metrics"]),
            )
            for name, entry in sorted(_corpora(self.manifest).items())
        ]

    def section(self, split: str) -> str:
        """What a split is called where its corpora are told apart: `validation`, or `validation/lcqmc` for a part."""
        return f"{split}/{self.corpus}" if self.corpus else split

    def corpus_of(self, sample: dict[str, Any]) -> str:
        """The corpus of a mixture's row; "" in a run of one corpus."""
        return sample["meta"]["corpus"] if self.corpus or self.task == MIXTURE else ""

    def file(self, split: str) -> Path:
        """The file of a split. Raises UserError where the run has no such split."""
        if split not in self.splits:
            raise UserError(f"{self.path}: the run has no {split} split (it has {', '.join(self.splits) or 'none'})")
        return self.path / f"{split}.jsonl"

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """The samples of a split in the order of the file. Raises UserError, with file and line, at a broken one."""
        return (sample for _, sample in self.numbered(split))

    def numbered(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """`rows`, each with its line in the file, from 0; a part has only the lines of its corpus."""
        path, known, remake = self.file(split), _corpora(self.manifest), _remake(self.manifest)
        # Bytes, so that only "\n" ends a line: texts may hold U+2028 and the like.
        with path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                try:
                    sample = json.loads(line.decode("utf-8"))
                except ValueError as error:
                    raise UserError(f"{path}:{number}: not a line of JSON ({_reason(error)}); {remake}") from None
                if wrong := _wrong(sample, known):
                    raise UserError(f"{path}:{number}: not a sample: {wrong}; {remake}")
                if not self.corpus or sample["meta"]["corpus"] == self.corpus:
                    yield number - 1, sample


_REMAKE = "make the run again with `python -m curate recipe NAME --force`"


def _remake(manifest: dict[str, Any]) -> str:
    mixed = manifest.get("task") == MIXTURE
    return "make the mixture again with `python -m curate mix FILE --force`" if mixed else _REMAKE


def _corpora(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What a mixture's manifest says of each corpus, by name; empty for other runs."""
    return manifest["mixture"]["corpora"] if manifest.get("task") == MIXTURE else {}


def open_run(path: Path) -> Run:
    """Open a run folder and check that the files of its splits are whole (by size).

    Raises UserError where it is missing or no run, its manifest is unreadable, or a file is missing or changed.
    """
    manifest = _manifest(path)
    splits: dict[str, int] = {}
    for split in SPLITS:
        entry = next((entry for entry in manifest["outputs"] if entry.get("file") == f"{split}.jsonl"), None)
        if entry is None:
            continue
        _check_size(path / entry["file"], entry.get("bytes"), _remake(manifest))
        splits[split] = int(entry.get("rows", 0))
    return Run(
        path=path,
        name=path.resolve().name,
        task=manifest["task"],
        labels=dict(manifest.get("labels") or {}),
        metrics=tuple(manifest["metrics"]),
        tune=dict(manifest.get("tune") or {}),
        fingerprint=manifest["fingerprint"],
        manifest=manifest,
        splits=splits,
    )


def _manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    if not path.exists():
        raise UserError(f"{path}: no such run folder; `python -m curate recipe NAME` makes one")
    if not path.is_dir():
        raise UserError(f"{path}: is a file; name the run folder that curate wrote")
    if not file.is_file():
        raise UserError(f"{path}: not a run folder (it has no {MANIFEST}); name a folder that curate wrote")
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file}: can't be read ({_reason(error)}); {_REMAKE}") from None
    if not isinstance(manifest, dict):
        raise UserError(f"{file}: not the manifest of a run; {_REMAKE}")
    wrong = [key for key, kind in _NEEDED.items() if not isinstance(manifest.get(key), kind)]
    wrong += [key for key in ("labels", "tune") if not isinstance(manifest.get(key) or {}, dict)]
    if not wrong and not _are_texts(manifest["metrics"]):
        wrong = ["metrics"]
    if wrong or not all(isinstance(entry, dict) for entry in manifest["outputs"]):
        raise UserError(f"{file}: not the manifest of a run (without {', '.join(wrong or ['outputs'])}); {_REMAKE}")
    if manifest["task"] == MIXTURE:
        _check_corpora(file, manifest)
    return manifest


def _check_corpora(file: Path, manifest: dict[str, Any]) -> None:
    """Raise UserError, naming the place, where a mixture's manifest doesn't say how each corpus is measured."""
    mixture = manifest.get("mixture")
    corpora = mixture.get("corpora") if isinstance(mixture, dict) else None
    if not isinstance(corpora, dict) or not corpora:
        raise UserError(f"{file}: mixture.corpora: must name the corpora of the mixture; {_remake(manifest)}")
    for name, entry in corpora.items():
        said: dict[str, Any] = entry if isinstance(entry, dict) else {}
        task, metrics, labels = said.get("task"), said.get("metrics"), said.get("labels") or {}
        for key, right, what in (
            ("task", isinstance(task, str) and task not in ("", MIXTURE), "the task of the corpus"),
            ("metrics", isinstance(metrics, list) and metrics and _are_texts(metrics), "a list of metrics' names"),
            ("labels", isinstance(labels, dict) and _are_texts(labels.values()), "the word of each label"),
        ):
            if not right:
                raise UserError(f"{file}: mixture.corpora.{name}.{key}: must be {what}; {_remake(manifest)}")


def _are_texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _check_size(path: Path, size: Any, remake: str) -> None:
    if not path.is_file():
        raise UserError(f"{path}: the manifest names it, but it is missing; {remake}")
    if (actual := path.stat().st_size) != size:
        raise UserError(f"{path}: has {actual} bytes, the manifest says {size}: it was changed or cut off; {remake}")


def _wrong(sample: Any, corpora: Collection[str]) -> str:
    """What keeps a line from being a sample (of one of these `corpora`, in a mixture); empty where nothing does."""
    if not isinstance(sample, dict):
        return "it is no object"
    for key in ("instruction", "input", "output"):
        if not isinstance(sample.get(key), str):
            return f"{key!r} must be text"
    meta = sample.get("meta")
    if not isinstance(meta, dict) or not isinstance(meta.get("id"), str):
        return "'meta' must hold the row's 'id'"
    if corpora and (not isinstance(meta.get("corpus"), str) or meta["corpus"] not in corpora):
        return f"'corpus' in 'meta' is {meta.get('corpus')!r}, the mixture is of {', '.join(sorted(corpora))}"
    for turn in sample.get("history") or ():
        if not (isinstance(turn, list) and len(turn) == 2 and all(isinstance(text, str) for text in turn)):
            return "'history' must hold pairs of texts"
    return ""


def _reason(error: ValueError) -> str:
    """What the decoder says, without the places that mean nothing to a reader of the file."""
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error).partition(":")[0].lower()
