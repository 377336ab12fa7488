"""The messages of the pprof format, built at run time from ``profile.proto`` beside this file.

No protoc and no generated code, so nothing ties us to one release of protobuf's runtime. The reader of the
``.proto`` text understands what that one file uses: messages with scalar, message and repeated fields.
"""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE: Final = re.compile(r"^package\s+([\w.]+);", re.MULTILINE)
_MESSAGE: Final = re.compile(r"^message\s+(\w+)\s*\{(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD: Final = re.compile(r"^\s*(repeated\s+)?(\w+)\s+(\w+)\s*=\s*(\d+);", re.MULTILINE)
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    "bool": _Field.TYPE_BOOL,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
    "uint64": _Field.TYPE_UINT64,
}


@functools.cache
def profile_class() -> Any:
    """Return the class of the ``Profile`` message; takes a millisecond, once."""
    text = resources.files(__package__).joinpath("profile.proto").read_text(encoding="utf-8")
    package = _PACKAGE.search(text)
    assert package is not None
    file = descriptor_pb2.FileDescriptorProto(
        name="heldby/profile.proto", package=package[1], syntax="proto3"
    )
    for name, body in _MESSAGE.findall(text):
        message = file.message_type.add(name=name)
        for repeated, kind, field_name, number in _FIELD.findall(body):
            field = message.field.add(name=field_name, number=int(number))
            field.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type = _Field.TYPE_MESSAGE
                field.type_name = f".{package[1]}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package[1]}.Profile"))
