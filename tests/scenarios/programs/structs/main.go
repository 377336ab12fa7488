// Structs: nested, embedded, in arrays and by value; large enough for a malloc header.
package main

import "scenarios/park"

type Point struct{ X, Y float64 }

type Inner struct {
	Name string
	Next *Point
}

// Node has 112 bytes: 8 + 24 + 16 + 16 + 48.
type Node struct {
	ID uint64
	Inner
	Pos      Point
	Children [2]*Point
	Tags     [3]string
}

// Wide has 1,008 bytes; with the malloc header it takes a slot of 1,024.
type Wide struct {
	Before [60]uint64
	Links  [4]*Point
	After  [62]uint64
}

var (
	nodes  []*Node
	values []Node
	fixed  [4]*Inner
	matrix *[16][4]*Point
	wide   []*Wide
	single Node
)

func newNode(i int) Node {
	n := Node{ID: uint64(i), Pos: Point{X: 1}}
	n.Name = park.Text(32, i)
	n.Next = &Point{Y: 1}
	n.Children = [2]*Point{{X: 2}, {X: 3}}
	n.Tags = [3]string{park.Text(24, i), park.Text(20, i), "constant"}
	return n
}

func main() {
	park.Measure("main.nodes", func() {
		nodes = make([]*Node, 200)
		for i := range nodes {
			n := newNode(i)
			nodes[i] = &n
		}
	})
	park.Measure("main.values", func() {
		values = make([]Node, 100)
		for i := range values {
			values[i] = newNode(i)
		}
	})
	park.Measure("main.fixed", func() {
		for i := range fixed {
			fixed[i] = &Inner{Name: park.Text(40, i)}
		}
	})
	park.Measure("main.matrix", func() {
		matrix = new([16][4]*Point)
		for i := range matrix {
			for j := range matrix[i] {
				matrix[i][j] = &Point{}
			}
		}
	})
	park.Measure("main.wide", func() {
		wide = make([]*Wide, 10)
		for i := range wide {
			wide[i] = &Wide{Links: [4]*Point{{}, {}, nil, {}}}
		}
	})
	park.Measure("main.single", func() { single = newNode(7) })
	park.Wait()
}
