module example.com/dotted.path/functions

go 1.24
