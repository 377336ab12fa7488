module heldby.test/stores

go 1.24
