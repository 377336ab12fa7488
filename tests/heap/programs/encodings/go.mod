module encodings

go 1.24
