module stacks

go 1.24
