"""Compiled core of lpsmd: neighbour graphs, dump reader, mean squared displacements."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

def neighbor_graph(
    positions: ArrayLike,
    cell: ArrayLike,
    pbc: Sequence[bool],
    cutoff: float,
    *,
    types: ArrayLike | None = ...,
    type_names: Sequence[str] | None = ...,
    pair_cutoff: ArrayLike | None = ...,
    max_neighbors: Sequence[int] = ...,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]: ...

class DumpTrajectory:
    @property
    def timesteps(self) -> NDArray[np.int64]: ...
    @property
    def positions(self) -> NDArray[np.float64]: ...
    @property
    def ids(self) -> NDArray[np.int64]: ...
    @property
    def elements(self) -> list[str]: ...
    @property
    def cells(self) -> NDArray[np.float64]: ...
    @property
    def origins(self) -> NDArray[np.float64]: ...
    @property
    def periodic(self) -> list[bool]: ...
    @property
    def repeated_frames(self) -> int: ...
    @property
    def truncated(self) -> list[str]: ...

class _Readable(Protocol):
    def readinto(self, target: memoryview, /) -> int: ...
    def close(self) -> None: ...

class DumpReader:
    def __init__(
        self,
        inputs: Sequence[tuple[str, Callable[[], _Readable] | None]],
        *,
        species: Sequence[str] = ...,
        types: Sequence[int] = ...,
        ids: Sequence[int] = ...,
        elements_of_types: Sequence[str] = ...,
        unwrap: bool = ...,
        drop_truncated: bool = ...,
        threads: int = ...,
        portion_bytes: int = ...,
    ) -> None: ...
    def read(self, most_frames: int = ...) -> DumpTrajectory: ...

def unwrap(
    name: str, positions: ArrayLike, cells: ArrayLike, periodic: Sequence[bool], *, nearest: bool
) -> NDArray[np.float64]: ...

class MsdAccumulator:
    def __init__(self, lag_steps: ArrayLike) -> None: ...
    def add(
        self,
        positions: ArrayLike,
        timesteps: ArrayLike,
        *,
        selection: ArrayLike,
        drift_weights: ArrayLike = ...,
        threads: int = ...,
        quartic: bool = ...,
    ) -> None: ...
    def add_collective(
        self, positions: ArrayLike, timesteps: ArrayLike, *, charges: ArrayLike, drift_weights: ArrayLike = ...
    ) -> None: ...
    def __iadd__(self, other: MsdAccumulator) -> MsdAccumulator: ...
    def __eq__(self, other: object) -> bool: ...
    @property
    def n_lags(self) -> int: ...
    @property
    def lag_steps(self) -> NDArray[np.int64]: ...
    @property
    def sums(self) -> NDArray[np.float64]: ...
    @property
    def counts(self) -> NDArray[np.int64]: ...
    @property
    def quartic_sums(self) -> NDArray[np.float64]: ...
    @property
    def quartic_counts(self) -> NDArray[np.int64]: ...

class StreamingMsd:
    def __init__(
        self,
        *,
        n_atoms: int,
        frame_interval: int,
        longest_lag: int,
        points: int = ...,
        selection: ArrayLike = ...,
        charges: ArrayLike = ...,
        drift_weights: ArrayLike = ...,
    ) -> None: ...
    def push(self, positions: ArrayLike, timesteps: ArrayLike) -> None: ...
    def result(self) -> MsdAccumulator: ...
    def __eq__(self, other: object) -> bool: ...
    @property
    def lag_steps(self) -> NDArray[np.int64]: ...
    @property
    def n_frames(self) -> int: ...
    @property
    def memory_bytes(self) -> int: ...

def lag_steps_of(timesteps: ArrayLike, longest: int) -> NDArray[np.int64]: ...
