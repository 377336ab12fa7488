//go:build go1.24

package main

import (
	"iter"
	"runtime"
	"unique"
	"weak"
)

// extend touches what came with Go 1.23 and 1.24: coroutines, handles, weak pointers and cleanups.
func extend(held *record) {
	next, stop := iter.Pull(func(yield func(*record) bool) { yield(held) })
	defer stop()
	_, _ = next()
	println(unique.Make("text").Value(), weak.Make(held).Value())
	runtime.AddCleanup(held, func(int) {}, 1)
}
