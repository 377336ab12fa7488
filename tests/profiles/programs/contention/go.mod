module heldby.test/contention

go 1.24
