// Package names has a type whose short name another package uses too.
package names

// Place is not main.Place.
type Place struct {
	North, South string
	Next         *Place
}
