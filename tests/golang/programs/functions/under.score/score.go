// Package score lies in a directory whose name has a dot, which linkers write as %2e.
package score

// Add calls f from a function of this package.
//
//go:noinline
func Add(f func()) { f() }
