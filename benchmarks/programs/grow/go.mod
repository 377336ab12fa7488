module grow

go 1.24
