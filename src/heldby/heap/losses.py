"""What a damaged or partial capture cost: counted where it is read, said in plain words here."""

from __future__ import annotations

from heldby.golang.objects.objects import ObjectTable
from heldby.golang.objects.references import References
from heldby.golang.objects.specials import SpecialTable


def losses(objects: ObjectTable, references: References, specials: SpecialTable) -> list[str]:
    """Return a caveat for each kind of data that could not be read or contradicts itself; mostly none."""
    spans = objects.spans
    counts = (
        (spans.dropped, "spans contradict themselves; their objects are left out"),
        (spans.missing, "spans are not in the capture; their objects are left out"),
        (
            references.uncaptured_words,
            "pointers lie in pages that are not in the capture; what only they hold counts as garbage",
        ),
        (
            references.unreadable_types,
            "objects have an unreadable type; what only they hold counts as garbage",
        ),
        (specials.broken_lists, "lists of finalizers, cleanups and handles are broken off"),
    )
    return [f"{count:,} {text}" for count, text in counts if count]
