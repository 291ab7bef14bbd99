"""The head of README.md as the Hugging Face Hub reads it: by `huggingface_hub`, and by the lists of its documentation.

The Hub itself checks a card over the network only; its lists of licences, sizes and tasks are written down here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from helpers import RECIPES, SPLITS, curate, lines, manifest
from mixed import mix, mixture_file

from curate.card.frontmatter import _CATEGORIES, _LICENSES, _SIZES, size_category
from curate.resources import recipe_names
from curate.tasks import TASKS

hub = pytest.importorskip("huggingface_hub", reason="needs jingtiao[datasets]")
datasets = pytest.importorskip("datasets", reason="needs jingtiao[datasets]")

#: hub-docs, docs/hub/repositories-licenses.md: those that a corpus of texts may have.
LICENCES = (
    "apache-2.0 mit bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 "
    "cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 "
    "cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 "
    "cdla-permissive-2.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl agpl-3.0 mpl-2.0 odc-by odbl pddl unknown other"
)
#: huggingface.js, packages/tasks/src/pipelines.ts: those of text.
TASK_CATEGORIES = (
    "text-classification token-classification table-question-answering question-answering zero-shot-classification "
    "translation summarization feature-extraction text-generation fill-mask sentence-similarity text-ranking"
)
SIZES = ["n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    made = {name: curate(name, folder / name, overrides=["segment.as=off"]).path for name in RECIPES}
    parts = {name: {"run": str(made[name])} for name in ("lcqmc", "lccc", "cmrc2018")}
    return made | {"mixture": mix(mixture_file(folder, parts), folder / "mixture").path}


def test_what_may_be_written_is_known_to_the_hub() -> None:
    assert set(_LICENSES.values()) <= set(LICENCES.split())
    assert set(_CATEGORIES.values()) <= set(TASK_CATEGORIES.split())
    assert set(_CATEGORIES) == set(TASKS)
    assert [size_category(bound - 1) for bound, _ in _SIZES] + [size_category(10**8)] == SIZES
    assert set(RECIPES) == set(recipe_names())


@pytest.mark.parametrize("name", [*RECIPES, "mixture"])
def test_the_hub_reads_the_card(runs: dict[str, Path], name: str) -> None:
    card = hub.DatasetCard.load(runs[name] / "README.md")
    data: dict[str, Any] = card.data.to_dict()
    assert data["language"] == ["zh"]
    assert data["license"] in LICENCES.split()
    assert (data["license"] == "other") == ("license_name" in data)
    assert re.fullmatch(r"[a-z0-9.\-]+", data.get("license_name", "none"))
    assert set(data["task_categories"]) <= set(TASK_CATEGORIES.split())
    rows = {split: len(lines(runs[name] / f"{split}.jsonl")) for split in SPLITS}
    assert data["size_categories"] == [size_category(sum(rows.values()))]
    (config,) = data["configs"]
    assert config["config_name"] == "default"
    assert {one["split"]: one["path"] for one in config["data_files"]} == {
        split: f"{split}.jsonl" for split, n in rows.items() if n
    }
    # Written out again and read once more, nothing of it is lost: no word of it is taken for something else.
    again = hub.DatasetCard(str(card))
    assert again.data.to_dict() == data
    assert hub.DatasetCardData(**data).to_dict() == data


@pytest.mark.parametrize("name", [*RECIPES, "mixture"])
def test_datasets_loads_the_folder_with_those_features(runs: dict[str, Path], name: str, tmp_path: Path) -> None:
    loaded = datasets.load_dataset(str(runs[name]), cache_dir=str(tmp_path))
    assert {split: part.num_rows for split, part in loaded.items()} == {
        split: counts["written"] for split, counts in manifest(runs[name])["splits"].items() if counts["written"]
    }
    features = hub.DatasetCard.load(runs[name] / "README.md").data.to_dict()["dataset_info"]["features"]
    for split, part in loaded.items():
        assert list(part.features) == [feature["name"] for feature in features]
        assert part[0] == lines(runs[name] / f"{split}.jsonl")[0]
