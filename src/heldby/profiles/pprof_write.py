"""Writes pprof profiles: samples with stacks, numbers and labels into a deterministic ``.pb.gz``."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heldby.profiles.schema import profile_class


@dataclass(frozen=True, slots=True)
class FrameName:
    """One frame of a stack; equal frames become one location.

    Attributes:
        name: what pprof calls the function.
        system_name: a second name, shown where pprof shows mangled names.
        file: what pprof groups by with ``-files``.
        line: 0 when there is none.
        start_line: of the function, 0 when unknown.
    """

    name: str
    system_name: str = ""
    file: str = ""
    line: int = 0
    start_line: int = 0


@dataclass(frozen=True, slots=True)
class MappedCode:
    """A file that the process runs code from, or the kernel's code, mapped at ``[start, limit)``.

    Attributes:
        start, limit: addresses.
        offset: of `start` in the file.
        file: its path, or ``[vdso]``.
        build_id: the linker's, in hexadecimal; empty when there is none.
    """

    start: int
    limit: int
    offset: int
    file: str
    build_id: str


class ProfileBuilder:
    """Collects samples; `to_bytes` gives the file. The same calls give the same bytes.

    Args:
        sample_types: ``(name, unit)`` for each number of a sample.
        default_sample_type: the name of the one that pprof shows first.
        executable: the main program's path and build id, when known.
        comments: lines that ``pprof -comments`` prints.
        time_nanos: when the data was taken, since 1970; 0 when unknown.
        period: name, unit and number of what lies between two samples on average.
        code: where the addresses of `place` may lie, in their order; in place of executable and build id.
    """

    def __init__(
        self,
        sample_types: Sequence[tuple[str, str]],
        *,
        default_sample_type: str = "",
        executable: str = "",
        build_id: str = "",
        comments: Iterable[str] = (),
        time_nanos: int = 0,
        period: tuple[str, str, int] | None = None,
        code: Sequence[MappedCode] = (),
    ) -> None:
        self._width = len(sample_types)
        self._profile: Any = profile_class()()
        self._strings: dict[str, int] = {}
        self._functions: dict[tuple[str, str, str], int] = {}
        self._locations: dict[FrameName, int] = {}
        self._text("")
        for name, unit in sample_types:
            self._profile.sample_type.add(type=self._text(name), unit=self._text(unit))
        self._profile.default_sample_type = self._text(default_sample_type)
        self._profile.time_nanos = time_nanos
        self._profile.comment.extend(self._text(line) for line in comments)
        if period is not None:
            name, unit, self._profile.period = period
            self._profile.period_type.type, self._profile.period_type.unit = (
                self._text(name),
                self._text(unit),
            )
        # Says that all names are here: pprof then looks for no executable to symbolise with.
        for number, mapped in enumerate(code, 1):  # as Go's own profiles say it
            self._profile.mapping.add(
                id=number,
                memory_start=mapped.start,
                memory_limit=mapped.limit,
                file_offset=mapped.offset,
                filename=self._text(mapped.file),
                build_id=self._text(mapped.build_id),
            )
        if code:
            return
        self._profile.mapping.add(
            id=1,
            filename=self._text(executable),
            build_id=self._text(build_id),
            has_functions=True,
            has_filenames=True,
            has_line_numbers=True,
            has_inline_frames=True,
        )

    def location(self, frame: FrameName) -> int:
        """Return the id of `frame`'s location, for `add_stack`."""
        found = self._locations.get(frame)
        if found is not None:
            return found
        number = self._locations[frame] = self.place((frame,))
        return number

    def place(self, frames: Sequence[FrameName], *, address: int = 0, mapping: int = 1) -> int:
        """Return the id of a new location: of calls that are inlined in each other, the innermost first.

        `mapping` numbers the mapping from 1 on; 0 is none of them.
        """
        number = len(self._profile.location) + 1
        location = self._profile.location.add(id=number, mapping_id=mapping, address=address)
        if mapping:
            self._profile.mapping[mapping - 1].has_functions = True
        for frame in frames:
            location.line.add(function_id=self._function(frame), line=frame.line)
        return number

    def _function(self, frame: FrameName) -> int:
        key = (frame.name, frame.system_name, frame.file)
        function = self._functions.get(key)
        if function is None:
            function = self._functions[key] = len(self._functions) + 1
            self._profile.function.add(
                id=function,
                name=self._text(frame.name),
                system_name=self._text(frame.system_name or frame.name),
                filename=self._text(frame.file),
                start_line=frame.start_line,
            )
        return function

    def add(
        self, stack: Iterable[FrameName], values: Sequence[int], labels: Mapping[str, str | int] | None = None
    ) -> None:
        """Add a sample; `stack` is leaf first."""
        self.add_stack([self.location(frame) for frame in stack], values, labels)

    def add_stack(
        self, locations: Sequence[int], values: Sequence[int], labels: Mapping[str, str | int] | None = None
    ) -> None:
        """Add a sample by location ids, leaf first. pprof takes a label called ``bytes`` for a size by itself."""
        if len(values) != self._width:
            raise ValueError(f"{len(values)} values for {self._width} sample types")
        sample = self._profile.sample.add(location_id=locations, value=values)
        for key, value in (labels or {}).items():
            if isinstance(value, int):
                sample.label.add(key=self._text(key), num=value)
            elif value:
                sample.label.add(key=self._text(key), str=self._text(value))

    def to_bytes(self) -> bytes:
        """Return the profile, gzipped, without a time stamp of the compression."""
        return gzip.compress(self._profile.SerializeToString(deterministic=True), compresslevel=6, mtime=0)

    def _text(self, text: str) -> int:
        """Return the index of `text`; what is no valid Unicode is escaped, protobuf would refuse it."""
        index = self._strings.get(text)
        if index is None:
            clean = text.encode("utf-8", "backslashreplace").decode()
            index = self._strings[text] = len(self._profile.string_table)
            self._profile.string_table.append(clean)
        return index
