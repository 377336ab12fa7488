module heldby.test/leaking

go 1.24
