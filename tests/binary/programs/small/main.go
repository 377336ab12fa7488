// Command small is the smallest program with something to read: it is damaged thousands of times.
package main

import "os"

type node struct {
	next *node
	name string
}

var (
	head  *node
	byKey = map[string]*node{}
)

//go:noinline
func push(name string) *node {
	head = &node{next: head, name: name}
	byKey[name] = head
	return head
}

func main() {
	for _, argument := range os.Args {
		push(argument)
	}
	println(head.name, len(byKey))
}
