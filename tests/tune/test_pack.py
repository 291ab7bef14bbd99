"""Rows: every sample once, whole, in order; steps the same whatever the rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows_of_tokens import random_tokens

from tune.pack import build_pack, fill_rows, round_up, step_samples


@given(st.integers(1, 300), st.integers(1, 40), st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_takes_every_sample_once(n: int, batch: int, seed: int, epoch: int) -> None:
    steps = step_samples(n, batch, seed, epoch)
    assert sorted(np.concatenate(steps).tolist()) == list(range(n))
    assert [len(step) for step in steps[:-1]] == [batch] * (len(steps) - 1)
    assert 1 <= len(steps[-1]) <= batch
    again = step_samples(n, batch, seed, epoch)
    assert all((a == b).all() for a, b in zip(steps, again, strict=True))


def test_epochs_and_seeds_differ() -> None:
    orders = {tuple(np.concatenate(step_samples(50, 8, seed, epoch))) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


@given(st.lists(st.integers(1, 128), min_size=1, max_size=200), st.sampled_from([128, 256, 1024]))
def test_rows_hold_all_samples_in_order_and_never_overflow(lengths: list[int], row: int) -> None:
    lengths_N = np.array(lengths, dtype=np.int32)
    samples = np.random.default_rng(0).permutation(len(lengths))
    rows = fill_rows(lengths_N, samples, row)
    assert np.concatenate(rows).tolist() == samples.tolist()
    used = [int(lengths_N[r].sum()) for r in rows]
    assert max(used) <= row
    # Next-fit: the first sample of a row did not fit the one before.
    for before, now, full in zip(rows, rows[1:], used, strict=False):
        assert len(before) and full + lengths_N[now[0]] > row


def test_a_sample_longer_than_a_row_is_an_error() -> None:
    with pytest.raises(ValueError, match="sample 1 has 300 tokens"):
        fill_rows(np.array([5, 300]), np.array([0, 1]), 256)


@given(st.lists(st.integers(2, 40), min_size=1, max_size=12), st.integers(0, 9))
def test_a_row_is_its_samples_side_by_side(lengths: list[int], seed: int) -> None:
    tokens = random_tokens(lengths, seed, history=True)
    samples = np.random.default_rng(seed).permutation(len(lengths))
    row = round_up(sum(lengths)) + 128 * (seed % 2)
    pack = build_pack(tokens, samples, row, pad_id=0)
    assert pack.row_tokens == row and pack.tokens == sum(lengths) and pack.longest >= max(lengths)
    assert pack.bounds[0] == 0 and pack.bounds[-1] == row
    learnt = []
    for place, number in enumerate(samples):
        ids, learn = tokens.sample(int(number))
        start, end = pack.bounds[place], pack.bounds[place + 1]
        assert pack.ids_T[start:end].tolist() == ids.tolist()
        assert pack.positions_T[start:end].tolist() == list(range(len(ids)))
        assert set(pack.start_T[start:end].tolist()) == {start}
        learnt += [(start + at - 1, int(ids[at]), place) for at in range(1, len(ids)) if learn[at]]
    assert list(zip(pack.at_A.tolist(), pack.target_A.tolist(), pack.sample_A.tolist(), strict=True)) == learnt
    assert pack.start_T[pack.tokens :].tolist() == list(range(pack.tokens, row))


def test_the_first_token_of_a_sample_is_never_a_target() -> None:
    tokens = random_tokens([4, 4])
    for _, learn in tokens.pieces:
        learn[:] = 1
    pack = build_pack(tokens, np.array([0, 1]), 128)
    assert pack.at_A.tolist() == [0, 1, 2, 4, 5, 6]


@given(st.lists(st.integers(2, 40), min_size=1, max_size=12), st.integers(1, 7))
def test_virtual_tokens_stand_before_each_sample_and_change_nothing_of_it(lengths: list[int], virtual: int) -> None:
    tokens = random_tokens(lengths, history=True)
    samples = np.arange(len(lengths))
    plain = build_pack(tokens, samples, round_up(sum(lengths)))
    tokens.virtual = virtual
    assert tokens.places.tolist() == [length + virtual for length in lengths]
    pack = build_pack(tokens, samples, round_up(sum(lengths) + virtual * len(lengths)))
    assert pack.tokens == plain.tokens and pack.answers == plain.answers
    assert pack.target_A.tolist() == plain.target_A.tolist() and pack.sample_A.tolist() == plain.sample_A.tolist()
    before = [bound + at for bound in pack.bounds[: len(lengths)] for at in range(virtual)]
    assert pack.virtual_V.tolist() == before
    assert pack.positions_T[pack.virtual_V].tolist() == list(range(virtual)) * len(lengths)
    real = sorted({*range(pack.bounds[len(lengths)])} - {*before})
    assert pack.ids_T[real].tolist() == plain.ids_T[: plain.tokens].tolist()
    assert pack.positions_T[real].tolist() == (plain.positions_T[: plain.tokens] + virtual).tolist()
    assert [real[at] for at in plain.at_A] == pack.at_A.tolist()
