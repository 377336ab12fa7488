"""All tables by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from heldby.sql.holder_tables import GOROUTINES, HOLDERS
from heldby.sql.object_tables import DOMINATORS, FIELDS, OBJECTS, SPANS, TYPES
from heldby.sql.reference_tables import EDGES, ROOTS, STRINGS
from heldby.sql.schema import TableOf
from heldby.sql.site_tables import HELD, SAMPLES, SITES

CATALOG: Final[Mapping[str, TableOf]] = {
    table.name: table
    for table in (
        *(OBJECTS, TYPES, FIELDS, EDGES, ROOTS, GOROUTINES, SPANS, HOLDERS, SITES, HELD, SAMPLES, STRINGS),
        DOMINATORS,
    )
}
