"""`--source hub` and `hf:owner/name[@revision][:config]`: a data set of the Hugging Face Hub, or a folder like one.

A repository that holds the corpus in its own layout is read by the recipe's own readers, like any folder. Any other,
and any whose config is named, is loaded by `datasets`; its rows pass through JSON Lines to the `rows` reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from curate.archives import is_hidden
from curate.naming import split_of
from curate.readers.names import label_lookup
from curate.types import UserError

#: Seconds until a hub that doesn't answer counts as out of reach.
TIMEOUT = 10
#: Rows of a file that show whether it is in the corpus's own layout.
FIRST_ROWS = 100
_NAME = re.compile(r"(?P<name>[^@:]+)(@(?P<revision>[^:]+))?(:(?P<config>.+))?")
_REPO = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
#: What the recipe's own readers are not asked about.
_FOREIGN = (".parquet", ".arrow", ".py", ".md")


@dataclass(frozen=True)
class Hub:
    """A data set: a repository's name, or the `folder` that is laid out as one; `split` is the one asked for."""

    name: str
    revision: str | None = None
    config: str | None = None
    folder: Path | None = None
    split: str | None = None

    def words(self, local: bool = False) -> str:
        """The `--source` argument; of a folder its name, or with `local` its absolute path."""
        folder = self.folder and (str(self.folder.absolute()) if local else self.folder.absolute().name)
        at = f"@{self.revision}" if self.revision else ""
        end = f":{self.config}" if self.config else ""
        return f"{self.split}=" * bool(self.split) + f"hf:{folder or self.name}{at}{end}"


@dataclass
class Fetched:
    """What came of a data set: parts of a source, and where they are from.

    `hub` has its revision resolved. `splits` are the hub's names of the splits that `datasets` read, by file; `aside`
    is what was not taken.
    """

    hub: Hub
    parts: list[tuple[str | None, Path]]
    splits: dict[Path, str] = field(default_factory=dict)
    aside: list[str] = field(default_factory=list)

    def origin(self, path: Path) -> dict[str, str] | None:
        """What the manifest says of a file of this data set; None for any other file."""
        told = {"source": self.hub.words()}
        if path in self.splits:
            return {**told, "split": self.splits[path]}
        inside = not self.splits and any(path.is_relative_to(folder) for _, folder in self.parts)
        return told if inside else None


def parse_hub(text: str, split: str | None, own: str | None) -> Hub:
    """The data set that `hub` (`own`, the recipe's) or `hf:…` names; a folder of that name comes first."""
    if text == "hub":
        if not own:
            raise UserError("hub: the recipe names no data set of the hub; give its name (--source hf:owner/name)")
        text = f"hf:{own}"
    rest = text.removeprefix("hf:")
    if rest and Path(rest).is_dir():
        return Hub(rest, folder=Path(rest), split=split)
    found = _NAME.fullmatch(rest)
    if found is None:
        raise UserError(f"{text}: is no name of a data set; write hf:owner/name[@revision][:config]")
    hub = Hub(found["name"], found["revision"], found["config"], split=split)
    path = Path(hub.name)
    if path.is_dir():
        if hub.revision:
            raise UserError(f"{text}: a folder has no revisions; leave out @{hub.revision}")
        return replace(hub, folder=path)
    if path.exists():
        raise UserError(f"{text}: is a file; give it as it is (--source {hub.name})")
    if not _REPO.fullmatch(hub.name):
        raise UserError(f"{text}: there is no such folder, and a data set's name is owner/name")
    return hub


def fetch(hub: Hub, recipe: Any, work: Path) -> Fetched:
    """Bring a data set into a folder that can be read. Raises UserError where it is out of reach or no such thing."""
    if find_spec("datasets") is None:
        raise UserError(
            f'{hub.words()}: needs datasets, which is not installed: pip install "jingtiao[datasets]", '
            "or download the corpus and give its folder (--source PATH)"
        )
    import datasets
    from huggingface_hub.utils import disable_progress_bars  # pyright: ignore[reportPrivateImportUsage]

    disable_progress_bars()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    hub, names, configs = _look(hub)
    if hub.config is None and len(configs) < 2:
        from curate.sources import claimed_names

        data = [name for name in names if not name.lower().endswith(_FOREIGN)]
        wanted = claimed_names(data, recipe.source.files, hub.split, "parallel" in recipe.source.reader)
        folder = hub.folder or (_download(hub, wanted) if wanted else None)
        if folder is not None and wanted and _all_fit(folder, wanted, recipe):
            # Of a repository only these files came; of a folder, opening it finds what is left aside.
            return Fetched(hub, [(hub.split, folder)], aside=[] if hub.folder else sorted(set(names) - set(wanted)))
    return _load(hub, recipe.labels, work)


def _look(hub: Hub) -> tuple[Hub, list[str], list[str]]:
    """The data set with its revision resolved, its files, and the configs its README declares."""
    from huggingface_hub import DatasetCard, HfApi

    if hub.folder is not None:
        from curate.sources import folder_files

        names = [name for _, name in folder_files(hub.folder)[0]]
        readme = hub.folder / "README.md"
        card = (
            DatasetCard(readme.read_text(encoding="utf-8"), ignore_metadata_errors=True)
            if "README.md" in names
            else None
        )
        return hub, names, _configs(card.data.to_dict() if card else {})
    try:
        info = HfApi().dataset_info(hub.name, revision=hub.revision, timeout=TIMEOUT)
    except Exception as error:
        raise _unreachable(hub, error) from None
    card = info.card_data.to_dict() if info.card_data else {}
    names = [file.rfilename for file in info.siblings or ()]
    shown = [name for name in names if not any(map(is_hidden, name.split("/")))]
    return replace(hub, revision=info.sha), shown, _configs(card)


def _configs(card: dict[str, Any]) -> list[str]:
    told = card.get("configs")
    return [str(one.get("config_name")) for one in told if isinstance(one, dict)] if isinstance(told, list) else []


def _download(hub: Hub, names: Iterable[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                hub.name, repo_type="dataset", revision=hub.revision, allow_patterns=list(names), etag_timeout=TIMEOUT
            )
        )
    except Exception as error:
        raise _unreachable(hub, error) from None


def _all_fit(folder: Path, names: Iterable[str], recipe: Any) -> bool:
    """Whether the recipe's readers can read the first rows of each file, most of them at least."""
    from curate.local import read_file
    from curate.text.decode import sniff
    from curate.types import File

    try:
        for name in names:
            path = folder / name
            _, blocks = read_file(recipe, File(path, name, "train", 0), sniff(path, name), FIRST_ROWS, FIRST_ROWS)
            if any(len(block.rejects) * 2 > block.rows for block in blocks):
                return False
    except UserError:
        return False
    return True


# ---- through datasets


def _load(hub: Hub, labels: Mapping[str, str], work: Path) -> Fetched:
    """Every split as JSON Lines in the working folder."""
    import datasets

    where = str(hub.folder) if hub.folder else hub.name
    work.mkdir(parents=True, exist_ok=True)
    # What is prepared of a folder is no one else's business; what comes from the hub goes where datasets keeps it.
    cache = str(work / "cache") if hub.folder else None
    try:
        known = datasets.get_dataset_config_names(where, revision=hub.revision)
        if hub.config is None and len(known) > 1:
            raise UserError(f"{hub.words()}: has several configs, name one ({hub.words()}:NAME): {', '.join(known)}")
        if hub.config is not None and hub.config not in known:
            raise UserError(f"{hub.words()}: has no config {hub.config!r}, only {', '.join(known)}")
        loaded: Any = datasets.load_dataset(where, hub.config, revision=hub.revision, cache_dir=cache)
    except UserError:
        raise
    except Exception as error:
        raise _unreachable(hub, error) from None
    taken = _splits(hub, list(loaded))
    fetched = Fetched(hub, [])
    for name, split in taken.items():
        path = work / f"{name}.jsonl"
        _write(loaded[name], path, labels)
        fetched.parts.append((split, path))
        fetched.splits[path] = name
    fetched.aside = [f"{hub.words()} ({name})" for name in loaded if name not in taken]
    return fetched


def _splits(hub: Hub, names: list[str]) -> dict[str, str]:
    """The hub's splits that are taken, and which split each is."""
    known = {name: split for name in names if (split := split_of(name))}
    if hub.split is not None:
        known = {name: split for name, split in known.items() if split == hub.split}
    if not known and len(names) == 1:
        return {names[0]: hub.split or "train"}
    if not known:
        wanted = hub.split or "train, validation or test"
        raise UserError(f"{hub.words()}: has no split {wanted}, only {', '.join(names)}")
    return known


def _write(rows: Any, path: Path, labels: Mapping[str, str]) -> None:
    """Rows as JSON Lines, block by block."""
    from curate.lazy import pl

    classes = {name: kind.names for name, kind in rows.features.items() if type(kind).__name__ == "ClassLabel"}
    named = {name: words for name, words in classes.items() if _by_name(words, labels)}
    with path.open("wb") as file:
        for block in rows.with_format("arrow").iter(batch_size=10_000):
            frame = pl.DataFrame(pl.from_arrow(block))
            for name, words in classes.items():
                # −1 stands for no label.
                told = dict(enumerate(words if name in named else range(len(words))))
                frame = frame.with_columns(pl.col(name).replace_strict(told, default=None))
            frame.write_ndjson(file)


def _by_name(words: list[str], labels: Mapping[str, str]) -> bool:
    """Whether a class is told by its name; by its number only where the recipe's labels are those."""
    numbers = [str(number) for number in range(len(words))]
    by_name, by_number = (len(label_lookup(cells, dict(labels))) == len(words) for cells in (words, numbers))
    return by_name or not by_number


# ---- errors


def _unreachable(hub: Hub, error: Exception) -> UserError:
    """What went wrong, in one line that says how to mend it."""
    kind, said = type(error).__name__, " ".join(str(error).split())
    where = hub.words()
    download = "download the data set and give its folder (--source PATH)"
    if "Dataset scripts are no longer supported" in said:
        return UserError(
            f"{where}: is made by a program of its own, which is not run; many have their rows in another revision "
            f"({where.split('@')[0]}@refs/convert/parquet), or {download}"
        )
    if kind == "RevisionNotFoundError":
        return UserError(f"{where}: has no revision {hub.revision!r}")
    if kind == "GatedRepoError":
        return UserError(f"{where}: is given only to those who accept its terms: do so on its page and set HF_TOKEN")
    if kind in ("RepositoryNotFoundError", "DatasetNotFoundError"):
        return UserError(f"{where}: there is no such data set on the hub, or it is private (then set HF_TOKEN)")
    if hub.folder is not None:
        return UserError(f"{where}: can't be read as a data set: {said[:300]}")
    return UserError(
        f"{where}: the hub can't be reached or has not given it ({kind}: {said[:200]}); set HF_ENDPOINT to a mirror, "
        f"or {download}"
    )
