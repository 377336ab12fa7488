module heldby.example/analysis

go 1.21
