"""The order of a mixture, from its file to a run folder.

The keys of all parts are judged together, train rows are chosen by weights, temperature or caps, and then one pass
over the parts writes what is left, each corpus spread evenly over the whole (order.py says why).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from curate.formatting.exports import export, known_formats
from curate.lazy import pl
from curate.mixture.across import Judged, judge_across, matrix, resolve
from curate.mixture.choose import Chosen, choose
from curate.mixture.file import Mixture
from curate.mixture.finish import finish, versions
from curate.mixture.order import check_files
from curate.mixture.parts import Part, open_parts, read_keys
from curate.mixture.write import Writer, write_rows
from curate.result import RunResult
from curate.run import check_place, fingerprint, run_folder
from curate.tally import Tally
from curate.types import RID_BITS, UserError
from curate.work import work_folder


def mix_runs(
    mixture: Mixture,
    samples: bool = False,
    out: Path | None = None,
    seed: int = 0,
    workers: int = 1,
    force: bool = False,
    lang: str = "zh",
    report: Callable[[str], None] = lambda message: None,
    formats: Sequence[str] = (),
) -> RunResult:
    """Make a mixture. Raises UserError for anything that is wrong with its parts; then nothing is left behind.

    `formats` are written beside the samples, also where the mixture is up to date but lacks them.
    """
    started = time.perf_counter()
    formats = known_formats(formats)
    parts = open_parts(mixture, samples, report)
    place = out or Path("runs") / (f"{mixture.name}-sample" if samples else mixture.name)
    sha = fingerprint(
        {
            "mixture": mixture.sha256,
            "seed": seed,
            "lang": lang,
            "samples": samples,
            "parts": {part.name: [part.path.name, part.manifest["fingerprint"]] for part in parts},
            "versions": versions(),
        }
    )
    with ExitStack() as stack:
        work = stack.enter_context(work_folder(place))
        finished = check_place(place, sha, force)
        if finished is not None:
            return RunResult(place, "up to date", sha, finished, export(place, formats, report))
        run = stack.enter_context(run_folder(work))
        report("judging")
        tally = Tally()
        keys = pl.concat([read_keys(part) for part in parts])
        judged = judge_across(parts, keys, tally)
        chosen = choose(mixture, parts, judged.rows, seed, tally)
        plan = plan_of(parts, keys, judged, chosen)
        written = keys.join(plan.filter(pl.col("copies") > 0).select("rid"), on="rid", how="semi")
        across = {"before": matrix(parts, keys), "after": matrix(parts, written)}

        report("writing")
        labels = list(dict.fromkeys(label for part in parts for label in part.manifest["labels"]))
        try:
            result = write_rows(Writer(parts, plan, labels), run, workers)
        except UserError:
            raise
        except Exception:  # of a line that can't be understood
            check_files(parts)
            raise
        options = {"samples": samples, "seed": seed, "lang": lang, "started": started}
        made = finish(mixture, parts, plan, chosen, across, result, tally, run, place, sha, options)
        made.notes += export(run.folder, formats, report)
        return made


def plan_of(parts: list[Part], keys: pl.DataFrame, judged: Judged, chosen: Chosen) -> pl.DataFrame:
    """What becomes of every row, in the order of `keys`: copies, or the step, the reason and the row it went for."""
    not_chosen = chosen.copies.filter(pl.col("copies") == 0).select(
        "rid", step=pl.lit("choose"), reason=pl.lit("not_chosen"), kept=pl.lit(None, pl.UInt64)
    )
    rejects = resolve(pl.concat([judged.rejects, not_chosen]))
    rejects = rejects.join(_ids(parts, rejects), on="kept", how="left").drop("kept")
    flags = pl.concat(judged.flags).group_by("rid", maintain_order=True).agg(flags=pl.col("flag").str.join(","))
    plan = keys.select("rid", "split", "part", "key", "own_leak", "label")
    for more in (chosen.copies, rejects, flags):
        plan = plan.join(more, on="rid", how="left", maintain_order="left")
    return plan.with_columns(pl.col("copies").fill_null(0))


def _ids(parts: list[Part], rejects: pl.DataFrame) -> pl.DataFrame:
    """`kept`, `kept_id`: the ids of the rows that others were rejected for."""
    kept = rejects.select(pl.col("kept").drop_nulls().unique().sort())["kept"]
    frames = [pl.DataFrame(schema={"kept": pl.UInt64, "kept_id": pl.String})]
    for part in parts:
        mine = kept.filter(kept // (1 << RID_BITS) == part.number)
        if len(mine):
            frames.append(pl.DataFrame({"kept": mine, "kept_id": part.ids(mine % (1 << RID_BITS))}))
    return pl.concat(frames)
