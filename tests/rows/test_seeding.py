"""Seeds inside a block, and no trace of them after it."""

import random
import threading

import numpy as np
import pytest
import torch

from skunlearn._rows.seeding import seed_torch, seeded
from skunlearn.utils._check_tools import generators

processor_only = pytest.mark.skipif(
    torch.cuda.is_available() or torch.xpu.is_available() or torch.backends.mps.is_available(),
    reason="needs a machine without an accelerator",
)


@pytest.mark.parametrize("seed", [0, 7, 2**31 - 1, 2**40, np.int64(3)])
def test_draws_are_those_of_the_seed(seed):
    before = generators()
    with seeded(seed):
        drawn = torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002
    assert generators() == before
    expected = torch.rand(3, generator=torch.Generator().manual_seed(int(seed)))
    assert torch.equal(drawn[0], expected)
    assert np.array_equal(drawn[1], np.random.RandomState(int(seed) % 2**32).rand(3))
    assert drawn[2] == random.Random(int(seed)).random()


@pytest.mark.parametrize("rounds", [1, 3])
def test_a_block_within_another_leaves_its_draws_alone(rounds):
    before, generator = generators(), np.random.get_bit_generator()
    with seeded(1):
        drawn = [(torch.rand(1), np.random.rand(2), random.random())]  # noqa: NPY002
        for _ in range(rounds):
            with seeded(5):
                inner = np.random.rand(2)  # noqa: NPY002
                with seeded(6):
                    np.random.rand(7)  # noqa: NPY002
                after = np.random.rand(2)  # noqa: NPY002
        drawn.append((torch.rand(1), np.random.rand(2), random.random()))  # noqa: NPY002
    assert generators() == before
    assert np.random.get_bit_generator() is generator
    torch_, numpy_ = torch.Generator().manual_seed(1), np.random.RandomState(1)
    python = random.Random(1)
    for of_torch, of_numpy, of_python in drawn:
        assert torch.equal(of_torch, torch.rand(1, generator=torch_))
        assert np.array_equal(of_numpy, numpy_.rand(2))
        assert of_python == python.random()
    assert np.array_equal([inner, after], np.random.RandomState(5).rand(2, 2))


@pytest.mark.parametrize("first_to_leave", ["outer", "inner"])
def test_numbers_that_numpy_holds_back_are_kept(first_to_leave):
    """Of two normal numbers that it draws at once it holds back one."""
    np.random.normal()  # noqa: NPY002
    before = generators()
    outer, inner = seeded(1), seeded(2)
    outer.__enter__()
    inner.__enter__()
    for block in (outer, inner) if first_to_leave == "outer" else (inner, outer):
        np.random.normal()  # noqa: NPY002
        block.__exit__(None, None, None)
    assert generators() == before


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_block_within_another_leaves_what_numpy_holds_back(rounds):
    generator, expected = np.random.get_bit_generator(), np.random.RandomState(1).normal(size=5)
    with seeded(1):
        drawn = [np.random.normal()]  # noqa: NPY002
        for _ in range(rounds):
            with seeded(5):  # an odd number, and an even one in it
                inner = [np.random.normal()]  # noqa: NPY002
                with seeded(6):
                    np.random.normal(size=2)  # noqa: NPY002
                inner += [*np.random.normal(size=2)]  # noqa: NPY002
        drawn += [*np.random.normal(size=4)]  # noqa: NPY002
    assert np.array_equal(drawn, expected)
    assert np.array_equal(inner, np.random.RandomState(5).normal(size=3))
    assert np.random.get_bit_generator() is generator


@processor_only
def test_devices_that_are_not_there_are_not_seeded(monkeypatch):
    """For each of them torch would take a stack trace."""
    seeds = []
    monkeypatch.setattr(torch, "manual_seed", seeds.append)
    seed_torch(3)
    assert seeds == []
    # Initialised later, it has the seed all the same.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    seed_torch(3)
    assert seeds == [3]


def test_devices_of_somebodys_own_are_seeded(monkeypatch):
    seeds = []
    monkeypatch.setattr(torch, "manual_seed", seeds.append)
    monkeypatch.setattr(torch._C, "_get_privateuse1_backend_name", lambda: "lazier")
    seed_torch(3)
    assert seeds == [3]


def test_blocks_of_threads_that_overlap_leave_the_generators_alone():
    before, entered, left = generators(), threading.Event(), threading.Event()

    def other():
        with seeded(1):  # begins within the block below, and ends after it
            entered.set()
            left.wait(60)

    thread = threading.Thread(target=other)
    with seeded(0):
        thread.start()
        assert entered.wait(60)
    left.set()
    thread.join()
    assert generators() == before


@pytest.mark.parametrize("kind", [np.random.MT19937, np.random.PCG64])
@pytest.mark.parametrize("first_to_leave", ["outer", "inner"])
def test_the_generator_of_numpy_rests_meanwhile(kind, first_to_leave):
    """Its state need not be read, which takes long, nor be of the kind that numpy begins with."""
    plain = np.random.get_bit_generator()
    np.random.set_bit_generator(generator := kind(7))
    try:
        outer, inner = seeded(1), seeded(2)
        outer.__enter__()
        first = np.random.rand()  # noqa: NPY002
        inner.__enter__()
        for block in (outer, inner) if first_to_leave == "outer" else (inner, outer):
            np.random.rand(3)  # noqa: NPY002
            block.__exit__(None, None, None)
        assert np.random.get_bit_generator() is generator
    finally:
        np.random.set_bit_generator(plain)
    assert first == np.random.RandomState(1).rand()
    drawn, expected = np.random.Generator(generator), np.random.Generator(kind(7))
    assert drawn.random() == expected.random()


def test_an_error_inside_leaves_the_block():
    before = generators()
    with pytest.raises(KeyError), seeded(1), seeded(2):
        raise KeyError
    assert generators() == before
