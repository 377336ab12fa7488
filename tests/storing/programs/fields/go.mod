module heldby.test/fields

go 1.24
