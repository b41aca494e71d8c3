"""Names for the kinds of arrays that annotations speak of; pieces of one joined; its layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Booleans: TypeAlias = NDArray[np.bool_]


def joined(pieces: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the pieces of an array as one; a lone piece is not copied."""
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def has_own_layout(array: NDArray[Any]) -> bool:
    """Return whether an array lies otherwise than its copy from a pickle: ``x[:, 0]`` has gaps."""
    return array.size > 0 and not array.flags.forc


def layout_of(array: NDArray[Any]) -> tuple[int, ...]:
    """Return strides that keep what sums depend on in their last bits: which axes have gaps.

    A gap is of one element, so that no layout takes more than twice the memory for each axis. Of a
    view whose elements overlap, as windows that slide, they do not here.
    """
    strides = [0] * array.ndim
    dense = gapless = array.itemsize  # the stride of an axis without a gap, there and here
    for axis in sorted(range(array.ndim), key=lambda axis: abs(array.strides[axis])):
        count, stride = array.shape[axis], array.strides[axis]
        if count < 2 or stride == 0:
            continue
        step = gapless if abs(stride) == dense else gapless + array.itemsize
        strides[axis] = step if stride > 0 else -step
        dense, gapless = abs(stride) * count, step * count
    return tuple(strides)


def laid_out(content: NDArray[Any], strides: tuple[int, ...]) -> NDArray[Any]:
    """Return an array of this content whose elements lie in memory by these strides, in bytes."""
    last = [(count - 1) * stride for count, stride in zip(content.shape, strides, strict=True)]
    begin = -sum(min(0, offset) for offset in last)
    size = begin + sum(max(0, offset) for offset in last) + content.itemsize
    memory = np.zeros(size, np.uint8)
    made = np.ndarray(content.shape, content.dtype, memory, begin, strides)
    made[...] = content
    return made
