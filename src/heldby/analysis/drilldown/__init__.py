"""The questions after the first screen; each answer is a `heldby.analysis.table.Table`.

grouping        objects by type, package, module, size class
selection       which objects a question is about: patterns of types and packages, a holder's objects
path_lookup     from a path as heldby prints it to the objects and references that it stands for
top             who has most, by type, package, module, holder, root, size class, goroutine
tree            the dominator tree merged by path, or its single objects
paths           shortest ways from the roots
references      who refers to an object, and what it refers to, by field
object_report   all that is known of one object or variable
elsewhere       what lies at an address that is in no object
goroutines      goroutines by stack, with what they keep
leaks           the goroutines that nothing can wake, proven
what_if         what would be freed without a reference
"""
