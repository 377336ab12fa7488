module example.test/globals

go 1.21
