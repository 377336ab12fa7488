// Interfaces: boxed values and pointers, empty and with methods; the concrete type is what counts.
package main

import (
	"errors"
	"fmt"
	"io"

	"scenarios/park"
)

type Shape interface{ Area() float64 }

type Circle struct{ Radius, X float64 }

type Square struct{ Side, Unused float64 }

type Named struct {
	Shape
	Name string
}

type Big struct {
	Text string
	Data [30]uint64
}

func (c *Circle) Area() float64 { return c.Radius * c.Radius * 3 }
func (s Square) Area() float64  { return s.Side * s.Side }

var (
	shapes  []Shape // 100 *Circle, 100 Square, 100 *Named
	boxes   []any   // of several types
	numbers []any   // pointer-free values in boxes
	failure error   // wraps another
	reader  io.Reader
	nested  any // an interface in a struct in an interface
)

type stringReader struct{ left string }

func (r *stringReader) Read(p []byte) (int, error) { return 0, io.EOF }

type holder struct{ inner any }

func main() {
	park.Measure("main.shapes", func() {
		shapes = make([]Shape, 0, 300)
		for i := 0; i < 100; i++ {
			shapes = append(shapes, &Circle{Radius: float64(i)}, Square{Side: float64(i)},
				&Named{Shape: &Circle{}, Name: park.Text(32, i)})
		}
	})
	park.Measure("main.boxes", func() {
		boxes = make([]any, 0, 40)
		for i := 0; i < 10; i++ {
			boxes = append(boxes, park.Text(64, i), Big{Text: park.Text(80, i)}, make([]uint64, 10),
				map[uint64]uint64{1: 2})
		}
	})
	park.Measure("main.numbers", func() {
		numbers = make([]any, 600)
		for i := range numbers {
			numbers[i] = [2]uint64{uint64(i), 1}
		}
	})
	park.Measure("main.failure", func() {
		failure = fmt.Errorf("%s: %w", park.Text(50, 1), errors.New(park.Text(40, 2)))
	})
	park.Measure("main.reader", func() { reader = &stringReader{left: park.Text(500, 1)} })
	park.Measure("main.nested", func() { nested = holder{inner: &holder{inner: &Circle{Radius: 2}}} })
	park.Wait()
}
