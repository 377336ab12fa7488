module rss

go 1.21
