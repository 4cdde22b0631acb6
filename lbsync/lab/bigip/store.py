"""The configuration of a device as a value, and a copy being changed.

Rule of this room: a body once stored is never changed in place; a change puts a new one. So a copy costs two levels of
dictionaries, and a failed change costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lbsync.lab.bigip.plane import Body


@dataclass(frozen=True, slots=True)
class Configuration:
    """Objects by collection and full path, holding only what was said of them; contents by collection and full path."""

    objects: Mapping[str, Mapping[str, Body]] = field(default_factory=dict[str, Mapping[str, Body]])
    files: Mapping[tuple[str, str], bytes] = field(default_factory=dict[tuple[str, str], bytes], repr=False)
    generation: int = 0

    def of(self, collection: str) -> Mapping[str, Body]:
        """The objects of one collection."""
        return self.objects.get(collection, {})


class Draft:
    """A configuration being changed; ``freeze`` makes it one again."""

    def __init__(self, base: Configuration, user: str = "admin") -> None:
        """``user`` is named by what it creates."""
        self.user = user
        self.base = base
        self._objects = {name: dict(objects) for name, objects in base.objects.items()}
        self._files = dict(base.files)
        self._generation = base.generation
        self.removed: set[tuple[str, str]] = set()

    def of(self, collection: str) -> Mapping[str, Body]:
        """The objects of one collection as they are now."""
        return self._objects.get(collection, {})

    def every(self) -> Iterator[tuple[str, str, Body]]:
        """Collection, full path and body of every object."""
        for collection, objects in self._objects.items():
            for path, body in objects.items():
                yield collection, path, body

    def changed(self) -> Iterator[tuple[str, str, Body]]:
        """Those put since the start."""
        for collection, path, body in self.every():
            if self.base.of(collection).get(path) is not body:
                yield collection, path, body

    def put(self, collection: str, path: str, body: Body) -> Body:
        """Store a body; it gets the next generation."""
        self._generation += 1
        stored = {**body, "generation": self._generation}
        self._objects.setdefault(collection, {})[path] = stored
        self.removed.discard((collection, path))
        return stored

    def drop(self, collection: str, path: str) -> None:
        """Remove an object and what it contains."""
        self._generation += 1
        del self._objects[collection][path]
        self._files.pop((collection, path), None)
        self.removed.add((collection, path))

    def write(self, collection: str, path: str, content: bytes) -> None:
        """What a file object contains from now on."""
        self._files[collection, path] = content

    def read(self, collection: str, path: str) -> bytes:
        """What a file object contains."""
        return self._files[collection, path]

    def next_generation(self) -> int:
        """The number that the next stored body will get."""
        return self._generation + 1

    def freeze(self) -> Configuration:
        """The outcome as a value."""
        return Configuration(self._objects, self._files, self._generation)
