"""How a run shares out memory: what is held between the passes, and how many slices are worked on at a time.

None of this shows in the bytes of a run. Small sources are not looked at: what they hold fits anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.store import MEMORY
from curate.text.decode import FileInfo
from curate.types import SPLITS, File, UserError
from jingtiao.memory import free_memory

if TYPE_CHECKING:
    from curate.recipefile import Recipe
    from curate.sources import Source

#: Bytes from which on a file's first rows are looked at, to see how many of them make a slice of so many bytes.
LARGE = 64 << 20
FIRST_ROWS = 1000
SLICE_BYTES = 16 << 20
#: What a run takes beside its rows: the interpreter and the libraries, and slices on their way, by how many at a time.
BASE = 250 << 20
UNDER_WAY = 150 << 20
#: Bytes a row of the key table comes to while rows are judged: so many times its columns.
JUDGED = 2
#: What near_dedup takes a row: some of its own, so many bytes a band, and such a share of its texts, since those of
#: pairs are compared. Measured on lines of `benchmarks/near.py`, 300,000 to a million of them, from the peaks of
#: resident memory: 105 bytes a row at a threshold of 0.9 (7 bands), 225 at 0.8 (14), 490 at 0.5 (25); of texts eight
#: lines long 755 at 0.8.
NEAR, NEAR_BAND, NEAR_TEXT = 100, 16, 0.6


@dataclass(frozen=True)
class Budget:
    """What `memory` bytes come to. `store`: bytes of slices held in memory (0: all wait on disk, from where a killed
    run goes on); `workers`: slices worked on at a time; `slice_rows`: rows a slice, by file, where they are long."""

    memory: int
    row: int
    store: int
    workers: int
    slice_rows: dict[int, int]

    def check(self, rows: int) -> None:
        """Raises UserError if the keys of so many rows don't fit."""
        need = BASE + UNDER_WAY + rows * self.row
        if need > self.memory:
            # Rounded up, so that what is said is enough.
            raise UserError(
                f"--memory: the keys of {rows:,} rows need {-(-need // 10**8) / 10:g}GB to be judged together, more "
                f"than the {self.memory / 1e9:.1f}GB there are: give more, or read fewer rows (--limit)"
            )


def share_out(
    recipe: Recipe, source: Source, memory: int | None, limit: int | None, columns: int, workers: int, rows: int
) -> Budget:
    """The budget of a run over `source`. `memory`: bytes that were asked for, else what the machine can give;
    `columns`: u64 columns of the key table; `rows`: those of a slice. Raises UserError where the keys can't fit."""
    bands = _bands(recipe)
    row = JUDGED * 8 * columns + (NEAR + NEAR_BAND * bands if bands else 0)
    total = sum(source.infos[file.path].bytes for file in source.files)
    if total < LARGE and memory is None:
        return Budget(1 << 62, row, MEMORY, workers, {})
    memory = memory or free_memory()
    slices: dict[int, int] = {}
    expected = longest = 0
    for file in source.files:
        info = source.infos[file.path]
        if info.bytes >= LARGE and not info.problem:
            size = _row_bytes(recipe, file, info)
            expected += info.bytes // size
            slices[file.number] = max(1, min(rows, SLICE_BYTES // size))
            longest = max(longest, size)
    row += int(NEAR_TEXT * longest) if bands else 0
    expected = expected if limit is None else min(expected, limit * len(SPLITS))
    Budget(memory, row, 0, workers, slices).check(expected)
    left = memory - BASE - expected * row
    workers = max(1, min(workers, left // UNDER_WAY))
    store = min(MEMORY, (left - workers * UNDER_WAY) // 2)
    return Budget(memory, row, store if total <= store else 0, workers, slices)


def _bands(recipe: Recipe) -> int:
    """How many bands near_dedup keeps of a text; 0 where it looks for nothing."""
    use = recipe.step("near_dedup")
    if use is None or use.options.threshold == "off":
        return 0
    from curate.text.minhash import banding

    return banding(use.step.module.threshold_of(use.options, recipe.family))[0]


def _row_bytes(recipe: Recipe, file: File, info: FileInfo) -> int:
    """The size of a row in memory, as the first ones of a file show."""
    from curate.local import read_file

    _, blocks = read_file(recipe, file, info, FIRST_ROWS, FIRST_ROWS)
    first = next(blocks)
    size = int(first.frame.estimated_size()) + sum(len(reject.raw) for reject in first.rejects)
    return max(1, size // max(1, first.rows))
