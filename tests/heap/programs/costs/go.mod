module costs

go 1.24
