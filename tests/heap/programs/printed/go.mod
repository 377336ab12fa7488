module printed

go 1.21
