module heldby.test/allocations

go 1.24
