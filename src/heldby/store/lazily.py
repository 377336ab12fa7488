"""`lazily`: an instance of a class whose fields are made when they are first read.

A command that counts types must not read who refers to whom. So a heap from the store is an instance of the
very classes that a fresh one is made of, but each field is read from disk when someone asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import Any, TypeVar, cast

_T = TypeVar("_T")

Loaders = Mapping[str, Callable[[], Any]]


def lazily(kind: type[_T], loaders: Loaders) -> _T:
    """Return an instance of `kind` that calls ``loaders[name]`` when its attribute `name` is first read.

    `kind` may have slots and may be frozen. Its ``__init__`` and ``__post_init__`` do not run: whoever loads
    checks. A name that `kind` computes itself (a property) is taken from its loader instead. The first
    read of an attribute costs its loader, every other one nothing more than usual.
    """

    def load(instance: object, name: str) -> object:
        # Python comes here only when the slot or the dictionary has nothing under that name.
        loader = loaders.get(name)
        if loader is None:
            raise AttributeError(f"{kind.__name__!r} object has no attribute {name!r}")
        value = loader()
        object.__setattr__(instance, name, value)
        return value

    namespace: dict[str, Any] = {"__getattr__": load, "__module__": kind.__module__}
    stored = {field.name for field in fields(kind)} if is_dataclass(kind) else set()
    for name, loader in loaders.items():
        if name not in stored and isinstance(getattr(kind, name, None), (property, cached_property)):
            namespace[name] = _property(name, loader)
    lazy = type(kind.__name__, (kind,), namespace)
    return cast("_T", object.__new__(lazy))


def _property(name: str, loader: Callable[[], Any]) -> cached_property[Any]:
    found = cached_property(lambda _instance: loader())
    found.__set_name__(object, name)
    return found
