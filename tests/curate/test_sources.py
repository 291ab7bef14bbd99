"""Folders, files and archives become the same numbered files, and nothing an archive says is trusted."""

from __future__ import annotations

import gzip
import io
import os
import random
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import archives
from curate.archives import archive_kind, clean_name, is_hidden, unpack
from curate.sources import Source, open_source, partner_names
from curate.types import UserError

PATTERNS = {
    "train": ["*train*"],
    "validation": ["dev.txt", "*dev*"],
    "test": ["*test*"],
}
ROW = "天气真好\t天气不错\t1\n"


def tree(folder: Path, *names: str) -> Path:
    """A folder with these files; each holds its own name, so that no two are alike."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(ROW + name + "\n", encoding="utf-8")
    return folder


def opened(tmp_path: Path, *parts: Path | tuple[str | None, Path], **more: object) -> Source:
    pairs = [part if isinstance(part, tuple) else (None, part) for part in parts]
    return open_source(pairs, more.pop("patterns", PATTERNS), "demo", tmp_path / "work", **more)


def shape(source: Source) -> list[tuple[int, str, str]]:
    return [(file.number, file.split, file.name) for file in source.files]


# ---- splits


def test_first_alternative_wins_and_the_rest_is_reported(tmp_path: Path) -> None:
    source = opened(tmp_path, tree(tmp_path / "s", "dev.txt", "dev_header.txt", "train.tsv", ".hidden", "note.txt"))
    assert shape(source) == [(0, "validation", "dev.txt"), (1, "train", "train.tsv")]
    assert source.ignored == ["dev_header.txt", "note.txt"]
    assert [file.prefix for file in source.files] == ["demo/validation", "demo/train"]
    assert set(source.infos) == {file.path for file in source.files}


def test_later_alternative_takes_all_it_matches(tmp_path: Path) -> None:
    source = opened(tmp_path, tree(tmp_path / "s", "DEV_header.txt", "b/dev2.txt"))
    assert shape(source) == [(0, "validation", "DEV_header.txt"), (1, "validation", "b/dev2.txt")]
    assert [file.prefix for file in source.files] == ["demo/validation/DEV_header", "demo/validation/b/dev2"]


def test_a_file_is_claimed_once(tmp_path: Path) -> None:
    source = opened(tmp_path, tree(tmp_path / "s", "train_dev.txt", "dev.txt", "train_test.txt"))
    assert [split for _, split, _ in shape(source)] == ["validation", "train", "train"]


def test_the_name_of_a_file_says_more_than_its_folder(tmp_path: Path) -> None:
    source = opened(tmp_path, tree(tmp_path / "s", "train_data/x_test.txt", "train_data/dev.txt", "train_data/a.txt"))
    assert {name: split for _, split, name in shape(source)} == {
        "train_data/a.txt": "train",
        "train_data/dev.txt": "validation",
        "train_data/x_test.txt": "test",
    }


def test_patterns_with_a_folder(tmp_path: Path) -> None:
    patterns = {"train": ["train/*.txt"], "test": ["test/*.txt"]}
    source = opened(tmp_path, tree(tmp_path / "s", "train/Art/1.txt", "train/2.txt", "test/1.txt"), patterns=patterns)
    assert [(f.name, f.prefix) for f in source.files] == [
        ("test/1.txt", "demo/test"),
        ("train/2.txt", "demo/train/2"),
        ("train/Art/1.txt", "demo/train/Art/1"),
    ]


def test_names_that_differ_in_their_extension_keep_it(tmp_path: Path) -> None:
    source = opened(tmp_path, tree(tmp_path / "s", "train.tsv", "train.txt"))
    assert [file.prefix for file in source.files] == ["demo/train/train.tsv", "demo/train/train.txt"]


def test_single_files_add_up(tmp_path: Path) -> None:
    tree(tmp_path / "s", "whatever.tsv", "my_dev.csv", "b.txt")
    parts = [tmp_path / "s" / "whatever.tsv", tmp_path / "s" / "my_dev.csv", ("test", tmp_path / "s" / "b.txt")]
    source = opened(tmp_path, *parts)
    assert shape(source) == [(0, "test", "b.txt"), (1, "validation", "my_dev.csv"), (2, "train", "whatever.tsv")]
    assert source.display == ["whatever.tsv", "my_dev.csv", "test=b.txt"]


def test_split_named_for_a_folder(tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", "train.tsv", "dev.txt", "README.md")
    assert shape(opened(tmp_path, ("train", folder))) == [(0, "train", "train.tsv")]
    assert [name for _, _, name in shape(opened(tmp_path, ("test", folder)))] == ["dev.txt", "train.tsv"]


def test_adding_a_file_changes_no_other_prefix(tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", "train_a.txt", "train_c.txt")
    before = {file.name: file.prefix for file in opened(tmp_path, folder).files}
    after = {file.name: file.prefix for file in opened(tmp_path, tree(folder, "train_b.txt")).files}
    assert before.items() <= after.items()


@given(st.permutations(["train_a.txt", "train_b.txt", "x/train_c.txt", "x/train_d.txt", "dev.txt", "y/test.txt"]))
def test_order_of_listing_does_not_matter(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    # Files made in another order, and an archive that lists them in that order, give the same run.
    base = tmp_path_factory.mktemp("order")
    packed = base / "packed.zip"
    tree(base / "s", *names)
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.write(base / "s" / name, name)
    expected = [(n, name) for n, name in enumerate(sorted(names))]
    for source in (opened(base, base / "s"), opened(base, packed)):
        assert [(file.number, file.name) for file in source.files] == expected
        assert [source.infos[file.path].bytes for file in source.files] == [
            len(ROW.encode()) + len(name) + 1 for name in sorted(names)
        ]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: (None, p / "missing"), "no such file"),
        (lambda p: (None, tree(p / "s", ".only_hidden")), "holds no files"),
        (lambda p: (None, tree(p / "s", "a.txt", "b.txt")), r"looks for \(train: \*train\*;.*found a.txt, b.txt"),
        (lambda p: ("dev", tree(p / "s", "a.txt")), "no split 'dev'"),
    ],
)
def test_wrong_sources(tmp_path: Path, make: object, says: str) -> None:
    with pytest.raises(UserError, match=says):
        opened(tmp_path, make(tmp_path))


def test_two_files_of_one_name(tmp_path: Path) -> None:
    tree(tmp_path, "a/x.tsv", "b/x.tsv")
    with pytest.raises(UserError, match=r"x\.tsv: two files of train"):
        opened(tmp_path, ("train", tmp_path / "a" / "x.tsv"), ("train", tmp_path / "b" / "x.tsv"))
    with pytest.raises(UserError, match="given twice"):
        opened(tmp_path, tmp_path / "a" / "x.tsv", tmp_path / "a" / "x.tsv")


def test_all_unreadable_files_are_named_at_once(tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", "train_1.txt")
    (folder / "train_2.txt").write_bytes(b"")
    (folder / "train_3.txt").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(UserError) as caught:
        opened(tmp_path, folder)
    assert [message.split(": ")[0] for message in caught.value.messages] == ["train_2.txt", "train_3.txt"]


def test_linked_folders_are_followed_but_not_for_ever(tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", "real/train.txt")
    (folder / "real" / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "train_link.txt").symlink_to(folder / "real" / "train.txt")
    assert [name for _, _, name in shape(opened(tmp_path, folder))] == ["real/train.txt", "train_link.txt"]


# ---- JSON objects of splits


def test_members_of_a_json_object_go_to_their_splits(tmp_path: Path) -> None:
    path = tree(tmp_path / "s", "toy.json") / "toy.json"

    def members(found: Path, info: object) -> list[str]:
        return ["valid", "train", "extra"]

    source = opened(tmp_path, path, split_members=members)
    assert [(f.number, f.split, f.member, f.prefix) for f in source.files] == [
        (0, "train", "train", "demo/train"),
        (1, "validation", "valid", "demo/validation"),
    ]
    assert [f.member for f in opened(tmp_path, ("validation", path), split_members=members).files] == ["valid"]
    with pytest.raises(UserError, match="holds no test part, only valid, train"):
        opened(tmp_path, ("test", path), split_members=members)


# ---- parallel files


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("eval_source.txt", "eval_target.txt"),
        ("train.src", "train.tgt"),
        ("Train.SRC.txt", "Train.TGT.txt"),
        ("summ_articles.train.txt", "summ_summaries.train.txt"),
        ("valid.article.filter.txt", "valid.title.filter.txt"),
        ("source/train.source.txt", "target/train.target.txt"),
        ("trainSource.txt", "trainTarget.txt"),
    ],
)
def test_partner_names(source: str, target: str) -> None:
    assert target in partner_names(source)
    assert source in partner_names(target, to_target=False)


def test_pairs_count_once_as_their_source(tmp_path: Path) -> None:
    names = ["train_source.txt", "train_target.txt", "dev_source.txt", "dev_target.txt", "test_source.txt"]
    folder = tree(tmp_path / "s", *names)
    source = opened(tmp_path, folder, parallel=True)
    assert [(f.name, f.partner and f.partner.name, f.prefix) for f in source.files] == [
        ("dev_source.txt", "dev_target.txt", "demo/validation"),
        ("test_source.txt", None, "demo/test"),
        ("train_source.txt", "train_target.txt", "demo/train"),
    ]
    assert len(source.infos) == 5 and source.ignored == []


def test_either_file_of_a_pair_will_do(tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", "eval_source.txt", "eval_target.txt")
    both = [folder / "eval_source.txt", folder / "eval_target.txt"]
    for parts in ([both[0]], [both[1]], both):
        files = opened(tmp_path, *[("validation", part) for part in parts], parallel=True).files
        assert [(file.path, file.partner) for file in files] == [(both[0], both[1])]


def test_pair_claimed_by_the_name_of_its_target(tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", "a.src", "a.tgt")
    files = opened(tmp_path, folder, parallel=True, patterns={"test": ["*.tgt"]}).files
    assert [(file.name, file.split) for file in files] == [("a.src", "test")]


# ---- archives


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


MEMBERS = {"d/train.tsv": ROW.encode(), "d/dev.txt": ROW.encode(), "__MACOSX/d/._train.tsv": b"\0", "d/.x": b"x"}


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_archives_by_their_content(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "download"  # no extension: content decides
    _ = zipped(path, MEMBERS) if mode == "zip" else tarred(path, MEMBERS, mode)
    source = opened(tmp_path, path)
    assert shape(source) == [(0, "validation", "d/dev.txt"), (1, "train", "d/train.tsv")]
    assert all(file.path.read_bytes() == ROW.encode() for file in source.files)
    assert all(file.path.name.isdigit() for file in source.files)


def test_a_single_compressed_file(tmp_path: Path) -> None:
    path = tmp_path / "my_dev.tsv.gz"
    path.write_bytes(gzip.compress(ROW.encode()))
    source = opened(tmp_path, path)
    assert [(f.name, f.split) for f in source.files] == [("my_dev.tsv", "validation")]


SLIPS = ["../train.tsv", "/etc/train.tsv", "a/../../train_b.tsv", "C:\\temp\\train.tsv", "..\\..\\train_c.tsv"]


@pytest.mark.parametrize("name", SLIPS)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_members_never_choose_where_they_are_written(tmp_path: Path, name: str, pack: object) -> None:
    base = tmp_path / "deep" / "er"
    base.mkdir(parents=True)
    path = pack(base / "a.bin", {name: ROW.encode()})
    source = opened(base, path)
    written = {p for p in tmp_path.rglob("*") if p.is_file()}
    assert written == {path, source.files[0].path}
    assert ".." not in source.files[0].name and not source.files[0].name.startswith("/")


@given(st.text())
def test_clean_names_stay_inside(name: str) -> None:
    clean = clean_name(name)
    assert clean_name(clean) == clean or clean[1:2] == ":"
    assert not {"", ".", ".."} & set(clean.split("/")) or clean == ""
    assert is_hidden("a/" + ".b/c") and is_hidden("__MACOSX/a") and not is_hidden("a/b.c")


def test_links_and_devices_are_left_aside(tmp_path: Path) -> None:
    secret = tree(tmp_path / "secret", "train.tsv") / "train.tsv"
    path = tmp_path / "links.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (
            ("train_soft", tarfile.SYMTYPE),
            ("train_hard", tarfile.LNKTYPE),
            ("train_f", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, str(secret)
            archive.addfile(info)
        info = tarfile.TarInfo("train.tsv")
        info.size = len(ROW.encode())
        archive.addfile(info, io.BytesIO(ROW.encode()))
    source = opened(tmp_path, path)
    assert [file.name for file in source.files] == ["train.tsv"]
    assert source.ignored == ["train_f", "train_hard", "train_soft"]

    path = tmp_path / "links.zip"
    with zipfile.ZipFile(path, "w") as archive:
        entry = zipfile.ZipInfo("train_soft")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, str(secret))
        archive.writestr("train.tsv", ROW)
    source = opened(tmp_path / "zip", path)
    assert ([file.name for file in source.files], source.ignored) == (["train.tsv"], ["train_soft"])


@pytest.mark.parametrize("kind", ["zip", "tar", "gz", "skipped"])
def test_bombs_stop_at_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(archives, "UNPACKED_BYTES", 1 << 20)
    zeros = bytes(8 << 20)
    path = tmp_path / "bomb"
    if kind == "zip":
        zipped(path, {"train_1": zeros[: 1 << 19], "train_2": zeros, "train_3": zeros})
    elif kind == "gz":
        path.write_bytes(gzip.compress(zeros))
    else:
        # A hidden member is skipped, but what it unpacks to is counted all the same.
        tarred(path, {".big" if kind == "skipped" else "train": zeros, "train.tsv": ROW.encode()})
    assert path.stat().st_size * archives.UNPACKED_RATIO < len(zeros)
    with pytest.raises(UserError, match="unpacks to more than 1 MiB"):
        opened(tmp_path, path)
    bound = max(1 << 20, path.stat().st_size * archives.UNPACKED_RATIO)
    assert sum(p.stat().st_size for p in (tmp_path / "work").rglob("*") if p.is_file()) <= bound


def test_the_declared_size_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "a.zip", {"train.tsv": ROW.encode() * 100})
    data = path.read_bytes()
    size = (len(ROW.encode()) * 100).to_bytes(4, "little")
    assert data.count(size) == 2
    path.write_bytes(data.replace(size, (9).to_bytes(4, "little")))
    with pytest.raises(UserError, match="damaged"):
        opened(tmp_path, path)


def test_encrypted_zip(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"train.tsv": ROW.encode()})
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match="protected by a password"):
        opened(tmp_path, path)


def test_gbk_names_in_a_zip(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    name = "训练train.tsv"
    stand_in = "x" * len(name.encode("gb18030"))
    zipped(path, {stand_in: ROW.encode()})
    path.write_bytes(path.read_bytes().replace(stand_in.encode(), name.encode("gb18030")))
    assert [file.name for file in opened(tmp_path, path).files] == [name]


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.97])
@pytest.mark.parametrize("mode", ["zip", "gz", "w", "w:gz", "w:bz2", "w:xz"])
def test_truncated_archives(tmp_path: Path, mode: str, share: float) -> None:
    noise = "".join(random.Random(1).choices("天地人你我他好坏", k=20_000)).encode()
    members = {f"train_{n}.txt": noise[n * 3 : 50_000 + n] for n in range(5)}
    path = tmp_path / "a.bin"
    if mode == "zip":
        zipped(path, members)
    elif mode == "gz":
        path.write_bytes(gzip.compress(noise))
    else:
        tarred(path, members, mode)
    whole = path.read_bytes()
    if mode == "w":
        whole = whole.rstrip(b"\0")  # a tar's end is padding, which may be missing
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match=r"a\.bin: "):
        opened(tmp_path, path)


@given(place=st.integers(600, 20_000), bit=st.integers(0, 7))
def test_damage_in_a_gz_is_seen(tmp_path_factory: pytest.TempPathFactory, place: int, bit: int) -> None:
    base = tmp_path_factory.mktemp("damage")
    noise = random.Random(2).randbytes(20_000).hex().encode()
    path = tarred(base / "a.tar.gz", {"train.txt": noise})
    data = bytearray(path.read_bytes())
    data[min(place, len(data) - 9)] ^= 1 << bit
    path.write_bytes(bytes(data))
    with pytest.raises(UserError):
        opened(base, path)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"Rar!\x1a\x07\x01\0", "is a rar archive.*unpack it"),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "is a 7z archive.*unpack it"),
        (b"\x28\xb5\x2f\xfd\0\0", "is a zstd archive.*unpack it"),
        (b"PK\x03\x04nonsense", "damaged"),
        (b"\x1f\x8bnonsense", "damaged"),
    ],
)
def test_archives_that_are_not_read(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "train.tsv"
    path.write_bytes(data)
    with pytest.raises(UserError, match=says):
        opened(tmp_path, path)


def test_office_documents_and_empty_archives(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Office document"):
        opened(tmp_path, zipped(tmp_path / "a.xlsx", {"[Content_Types].xml": b"<x/>"}))
    with pytest.raises(UserError, match="holds no files"):
        opened(tmp_path, zipped(tmp_path / "b.zip", {}))
    with pytest.raises(UserError, match="method not read here"):
        opened(tmp_path, zipped(tmp_path / "c.zip", {"train.tsv": ROW.encode()}, zipfile.ZIP_LZMA))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_a_full_disk_is_not_a_damaged_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "a.zip", {"train.tsv": ROW.encode() * 100_000})
    real = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda self, mode="r", *a, **k: real(
            Path("/dev/full") if mode == "xb" else self, "wb" if mode == "xb" else mode, *a, **k
        ),
    )
    with pytest.raises(OSError, match="No space left"):
        opened(tmp_path, path)


def test_texts_are_no_archives(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for data in (b"", ROW.encode() * 99, b"BZh is how bzip2 begins", bytes(2000)):
        path.write_bytes(data)
        assert archive_kind(path) is None


def test_unpack_returns_names_in_the_archive(tmp_path: Path) -> None:
    members, aside = unpack(zipped(tmp_path / "a.zip", MEMBERS), "zip", tmp_path / "out")
    assert [member.name for member in members] == ["d/train.tsv", "d/dev.txt"] and aside == []


# ---- real files


def test_real_folders(corpora: Path, tmp_path: Path) -> None:
    lcqmc = opened(tmp_path, corpora / "lcqmc")
    assert shape(lcqmc) == [(0, "validation", "dev.txt"), (1, "train", "train.tsv")]
    patterns = {"train": ["PART_I.txt", "train_source*"], "validation": ["eval_source*"], "test": ["PART_III*"]}
    lcsts = opened(tmp_path, corpora / "lcsts", patterns=patterns, parallel=True)
    assert [(f.split, f.name, f.partner and f.partner.name) for f in lcsts.files] == [
        ("test", "PART_III.txt", None),
        ("validation", "parallel_char/eval_source.txt", "eval_target.txt"),
        ("train", "parallel_char/train_source.txt", "train_target.txt"),
    ]
    fudan = opened(tmp_path, ("train", corpora / "fudan"))
    assert len(fudan.files) == 1436
    assert fudan.files[0].prefix == "demo/train/" + fudan.files[0].name.removesuffix(".txt")
