"""Seeded damage to the bytes of a file: what disks, transfers and broken writers do, and what attackers try."""

from collections.abc import Callable

import numpy as np

Mutation = Callable[[np.random.Generator, bytearray], bytearray]
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE)
_WORDS = (
    b"-1",
    b"0",
    b"1e999",
    b"9" * 5000,
    b"nan",
    b"Infinity",
    b"0,5",
    b"[" * 3000,
    b'"x"',
    b"null",
    b"\xff\xfe",
    b"{}",
)


def flip_bits(rng: np.random.Generator, data: bytearray) -> bytearray:
    for place in rng.integers(0, len(data), rng.integers(1, 5)):
        data[place] ^= 1 << int(rng.integers(8))
    return data


def flip_bits_of_the_head(rng: np.random.Generator, data: bytearray) -> bytearray:
    """Headers are a small part of a file and hold most of what can go wrong."""
    for place in rng.integers(0, min(len(data), 600), rng.integers(1, 4)):
        data[place] ^= 1 << int(rng.integers(8))
    return data


def cut(rng: np.random.Generator, data: bytearray) -> bytearray:
    return data[: int(rng.integers(0, len(data)))]


def lose_a_block(rng: np.random.Generator, data: bytearray) -> bytearray:
    start = int(rng.integers(0, len(data)))
    del data[start : start + int(rng.integers(1, 600))]
    return data


def repeat_a_block(rng: np.random.Generator, data: bytearray) -> bytearray:
    start = int(rng.integers(0, len(data)))
    data[start:start] = data[start : start + int(rng.integers(1, 600))]
    return data


def blank_a_block(rng: np.random.Generator, data: bytearray) -> bytearray:
    start = int(rng.integers(0, len(data)))
    size = min(int(rng.integers(1, 600)), len(data) - start)
    data[start : start + size] = bytes([int(rng.choice([0, 0xFF, 0x20]))]) * size
    return data


def declare_another_size(rng: np.random.Generator, data: bytearray) -> bytearray:
    """Writes an extreme whole number of one to four bytes somewhere into the header, in either byte order."""
    size = int(rng.choice([1, 2, 4]))
    value = int(rng.choice(_EXTREMES)) & (2 ** (8 * size) - 1)
    start = int(rng.integers(0, max(min(len(data), 600) - size, 1)))
    data[start : start + size] = value.to_bytes(size, str(rng.choice(["little", "big"])))
    return data


def add_to_the_end(rng: np.random.Generator, data: bytearray) -> bytearray:
    return data + rng.bytes(int(rng.integers(1, 3000)))


def write_another_word(rng: np.random.Generator, data: bytearray) -> bytearray:
    """Puts an awkward word in the place of a digit, as in the texts of JSON, NRRD and ASCII meshes."""
    digits = [place for place, byte in enumerate(data) if 0x30 <= byte <= 0x39]
    if digits:
        place = int(rng.choice(digits))
        data[place : place + 1] = _WORDS[int(rng.integers(len(_WORDS)))]
    return data


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    flip_bits_of_the_head,
    cut,
    lose_a_block,
    repeat_a_block,
    blank_a_block,
    declare_another_size,
    add_to_the_end,
    write_another_word,
)


def damaged(seed: int, content: bytes) -> tuple[str, bytes]:
    """Damage by a seed: the name of what was done, and the new content."""
    rng = np.random.default_rng(seed)
    mutation = MUTATIONS[int(rng.integers(len(MUTATIONS)))]
    return mutation.__name__, bytes(mutation(rng, bytearray(content)))
