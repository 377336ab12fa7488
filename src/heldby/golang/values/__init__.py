"""Go values read from memory: what lies at an address, by its type.

value              what a value is once it is read
memory             strings, interfaces and fields of the process's memory, one at a time
maps               where the entries of a map lie, in every form that maps had
key_order          in which order fmt prints those entries
known_structs      what times, durations, locks, counters and numbers of any size mean
network_addresses  what netip.Addr and the addresses of package net are, in text
number_forms       numbers as Go prints them
error_messages     what ``err.Error()`` of well-known errors says
walk               one value as a tree, bounded in depth, entries and time
places             which part of a value an address means
field_columns      the fields of many values of one type as columns, and what they are called
column_reader      reads those columns
reader             from an address or an object to its value
"""

from heldby.golang.values.reader import ValueReader
from heldby.golang.values.value import NOT_CAPTURED, Form, Value
from heldby.golang.values.walk import Limits

__all__ = ["NOT_CAPTURED", "Form", "Limits", "Value", "ValueReader"]
