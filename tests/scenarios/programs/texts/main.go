// Texts: strings of their own, parts of a string that pin the whole, constants, bytes.
package main

import (
	"strings"

	"scenarios/park"
)

type Label struct{ Name, Value string }

var (
	words     []string // 1,000 of their own, 48 bytes each
	fragments []string // 100 parts, 20 bytes each, of 100 documents of 4,096 bytes
	shared    []string // 500 times the same text
	constants []string // no text on the heap at all
	labels    []Label
	text      string
	builder   *strings.Builder
)

func main() {
	park.Measure("main.words", func() {
		words = make([]string, 1000)
		for i := range words {
			words[i] = park.Text(48, i)
		}
	})
	park.Measure("main.fragments", func() {
		fragments = make([]string, 100)
		for i := range fragments {
			fragments[i] = park.Text(4096, i)[1000:1020]
		}
	})
	park.Measure("main.shared", func() {
		one := park.Text(300, 1)
		shared = make([]string, 500)
		for i := range shared {
			shared[i] = one
		}
	})
	park.Measure("main.constants", func() {
		constants = make([]string, 100)
		for i := range constants {
			constants[i] = "the same constant, which lies in the executable"
		}
	})
	park.Measure("main.labels", func() {
		labels = make([]Label, 40)
		for i := range labels {
			labels[i] = Label{Name: park.Text(16, i), Value: park.Text(100, i)}
		}
	})
	park.Measure("main.text", func() { text = park.Text(1000, 3) })
	park.Measure("main.builder", func() {
		builder = new(strings.Builder)
		builder.Grow(2000)
		builder.WriteString("begun")
	})
	park.Wait()
}
