"""A row of a finished run read again: as its source has it, and what each leading step makes of it.

The source is looked for where local.json says it was, and must still have the manifest's hash.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from curate.run import read_local
from curate.types import RID_BITS, File, ReadReject, UserError

Record = dict[str, Any]


@dataclass
class Passage:
    """A row on its way: where it stands, the record as read, and each step with the record after it.

    A row that can't be read has `unread` instead. Personal details are masked where the recipe masks them.
    """

    file: File
    row: int
    read: Record = field(default_factory=dict)
    unread: ReadReject | None = None
    stages: list[tuple[Any, Record]] = field(default_factory=list)

    @property
    def cleaned(self) -> Record | None:
        """The record after the last step that saw it."""
        if self.unread is not None:
            return None
        return self.stages[-1][1] if self.stages else self.read


class History:
    """The source of a run. Everything raises UserError where it is not there any more, or not what it was."""

    def __init__(self, run: Path, manifest: dict[str, Any], work: Path) -> None:
        self._local = read_local(run)
        self._manifest = manifest
        self._work = work

    @cached_property
    def recipe(self) -> Any:
        """The recipe of the run, as its file is today."""
        from curate.recipefile import load_recipe

        if "recipe" not in self._local or "sources" not in self._local:
            raise UserError("local.json doesn't say where the source was")
        overrides = self._local.get("overrides", self._manifest["recipe"]["overrides"]).items()
        return load_recipe(self._local["recipe"], [f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in overrides])

    @cached_property
    def _source(self) -> Any:
        from curate.pipeline import open_recipe_source

        return open_recipe_source(self.recipe, self._local["sources"], self._work)

    def passage(self, name: str) -> Passage:
        """The row of an id."""
        prefix, _, row = name.partition("#")[0].rpartition("/")
        file = next((file for file in self._source.files if file.prefix == prefix), None)
        if file is None:
            raise UserError(f"the source has no file for {prefix} any more")
        info = self._source.infos[file.path]
        known = {(entry["split"], entry["file"], entry.get("member")): entry for entry in self._manifest["sources"]}
        entry = known.get((file.split, file.name, file.member))
        partner = self._source.infos[file.partner].sha256 if file.partner else None
        if entry is None or (entry["sha256"], entry.get("target", {}).get("sha256")) != (info.sha256, partner):
            raise UserError(f"{file.name} has changed since the run")
        return self._through(Passage(file, int(row)), info)

    def _through(self, passage: Passage, info: Any) -> Passage:
        """The row as it was read, then what each local step changed or said."""
        from curate.lazy import pl
        from curate.trace import context_of, kept, read_rows, trace
        from curate.veil import veil_of

        file, recipe = passage.file, self.recipe
        rid = file.number << RID_BITS | passage.row
        for records in read_rows(recipe, file, info, passage.row + 1, block=32_768):
            passage.unread = next((reject for reject in records.rejects if reject.rid == rid), None)
            if passage.unread is not None:
                return passage
            frame = records.frame.filter(pl.col("rid") == rid)
            if len(frame):
                break
        else:
            raise UserError(f"{file.name} has no row {passage.row}")
        context = context_of(recipe, self._manifest["seed"])
        names = list(context.task.fields)
        hide = veil_of(recipe) or (lambda rows: rows)
        passage.read = hide(frame).select(names).row(0, named=True)
        for stage in trace(recipe, context, file, frame):
            passage.stages.append((stage, hide(stage.rows).select(names).row(0, named=True)))
            if not len(kept(stage)):
                break
        return passage
