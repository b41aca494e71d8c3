"""Names for the kinds of arrays that annotations speak of, and pieces of one put together."""

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
