"""A dense index that changes its kind with its size, while it serves."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from rag.embedding.base import ModelIdentity
from rag.index.base import Ids
from rag.index.faiss_flat import FaissFlatIndex
from rag.index.faiss_ivf import FaissIvfIndex
from rag.index.file import FLAT, IVF, open_file
from rag.types import FloatMatrix

log = logging.getLogger("groundql.index")

# So many changed ids at most are brought over while changes wait.
_LAST_STEP: Final = 256
_BLOCK: Final = 8192

Kind = FaissFlatIndex | FaissIvfIndex
Start = Callable[[Callable[[], None]], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """When the kind changes, in vectors; measured in docs/decisions/index.md.

    From `approximate_from` on a search looks at a part; below `exact_below` it compares with all
    again. Between the two it stays as it is. When there are `regrow` times as many vectors as the
    parts were made for, they are made anew. `probes` is how many parts are searched (None: as many
    as are found to be enough).
    """

    approximate_from: int = 20_000
    exact_below: int = 10_000
    regrow: float = 3.0
    probes: int | None = None


SIZES: Final = Sizes()


def in_thread(work: Callable[[], None]) -> None:
    """Run beside the rest; the process does not wait for it at its end."""
    threading.Thread(target=work, name="index-build", daemon=True).start()


class AdaptiveIndex:
    """A `DenseIndex`: exact while it is small, approximate once it is large.

    The next kind is built beside the serving one, from its vectors; what changes meanwhile is
    noted and brought over, the last of it while changes wait. Then it takes over at once.
    """

    def __init__(
        self,
        identity: ModelIdentity,
        *,
        sizes: Sizes = SIZES,
        start: Start = in_thread,
        serving: Kind | None = None,
    ) -> None:
        """`start` runs the building; `serving` is what to begin with."""
        self._identity = identity
        self._sizes = sizes
        self._start = start
        self._serving: Kind = FaissFlatIndex(identity) if serving is None else serving
        # Held by whoever changes something, and for the moment of the exchange.
        self._writing = threading.Lock()
        self._building = False
        self._changed: set[int] = set()  # since the building began
        self._idle = threading.Event()
        self._idle.set()
        with self._writing:
            self._consider()

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        identity: ModelIdentity,
        revision: int,
        sizes: Sizes = SIZES,
        start: Start = in_thread,
    ) -> AdaptiveIndex:
        """Read an index file of either kind that was made by `identity` from this `revision`.

        Raises:
            IndexFileError: it is missing, damaged, stale or made by another model.
        """
        header, file = open_file(path, identity=identity, revision=revision)
        file.close()
        kind = FaissIvfIndex if header.get("kind", FLAT) == IVF else FaissFlatIndex
        serving = kind.load(path, identity=identity, revision=revision)
        return cls(identity, sizes=sizes, start=start, serving=serving)

    def __len__(self) -> int:
        return len(self._serving)

    @property
    def identity(self) -> ModelIdentity:
        return self._identity

    @property
    def dimension(self) -> int:
        return self._identity.dimension

    @property
    def kind(self) -> str:
        """What serves now: "flat" or "ivf"."""
        return self._serving.kind

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is being built; False if that takes longer than `timeout` seconds."""
        return self._idle.wait(timeout)

    def ids(self) -> Ids:
        return self._serving.ids()

    def add(self, ids: Ids, vectors: FloatMatrix) -> None:
        """Add vectors of shape (n, dimension); an id that is present already is replaced.

        Raises:
            ValueError: the shapes do not fit, an id comes twice, or a number is not finite.
        """
        with self._writing:
            self._serving.add(ids, vectors)
            self._note(np.asarray(ids).tolist())

    def remove(self, ids: Sequence[int]) -> None:
        with self._writing:
            self._serving.remove(ids)
            self._note(ids)

    def search(
        self, vector: FloatMatrix, k: int, *, allowed: Ids | None = None
    ) -> tuple[Ids, FloatMatrix]:
        return self._serving.search(vector, k, allowed=allowed)

    def vectors(self, ids: Ids) -> FloatMatrix:
        return self._serving.vectors(ids)

    def held(self, ids: Ids) -> tuple[Ids, FloatMatrix]:
        return self._serving.held(ids)

    def save(self, path: Path, *, revision: int) -> None:
        """Write what serves now; what is being built is built again after the next start."""
        self._serving.save(path, revision=revision)

    def _note(self, ids: Sequence[int]) -> None:
        if self._building:
            self._changed.update(ids)
        else:
            self._consider()

    def _consider(self) -> None:
        """Begin to build another kind if the size asks for one. Call it with `_writing` held."""
        kind = self._wanted()
        if kind is None or self._building:
            return
        self._building = True
        self._changed = set()
        self._idle.clear()
        source, ids = self._serving, self._serving.ids()
        self._start(lambda: self._build(kind, source, ids))

    def _wanted(self) -> str | None:
        """The kind to change to, if any."""
        count, sizes = len(self._serving), self._sizes
        if isinstance(self._serving, FaissFlatIndex):
            return IVF if count >= sizes.approximate_from else None
        if count < sizes.exact_below:
            return FLAT
        return IVF if count > sizes.regrow * self._serving.trained else None

    def _build(self, kind: str, source: Kind, ids: Ids) -> None:
        try:
            made = self._make(kind, source, ids)
            while len(self._changed) > _LAST_STEP:
                with self._writing:
                    changed, self._changed = self._changed, set()
                _bring_over(source, made, changed)
            with self._writing:
                _bring_over(source, made, self._changed)
                self._serving = made
                self._building, self._changed = False, set()
                log.info("The index of %s passages is now of the kind %s", len(made), kind)
                self._idle.set()
                self._consider()
        except Exception:
            # The serving kind goes on; the next change tries again.
            log.exception("The index could not be rebuilt as %s", kind)
            with self._writing:
                self._building, self._changed = False, set()
                self._idle.set()

    def _make(self, kind: str, source: Kind, ids: Ids) -> Kind:
        if kind == IVF:
            return FaissIvfIndex.build(self._identity, ids, source, probes=self._sizes.probes)
        made = FaissFlatIndex(self._identity)
        for start in range(0, len(ids), _BLOCK):
            made.add(*source.held(ids[start : start + _BLOCK]))
        return made


def _bring_over(source: Kind, made: Kind, changed: set[int]) -> None:
    """Make these ids the same in both."""
    if changed:
        ids = np.array(sorted(changed), dtype=np.int64)
        made.remove(ids.tolist())
        made.add(*source.held(ids))
