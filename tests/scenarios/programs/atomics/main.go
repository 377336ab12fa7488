// Atomic pointers and values, and generic types, whose names carry their arguments.
package main

import (
	"sync/atomic"

	"scenarios/park"
)

type Config struct {
	Name  string
	Rules []string
}

type Stack[T any] struct {
	items []T
	size  int
}

type Pair[K comparable, V any] struct {
	Key   K
	Value V
}

type Tree[T any] struct {
	left, right *Tree[T]
	value       T
}

type Registry[K comparable, V any] struct {
	entries map[K]*Pair[K, V]
	recent  atomic.Pointer[Pair[K, V]]
}

var (
	current  atomic.Pointer[Config]
	history  [4]atomic.Pointer[Config]
	value    atomic.Value // a Config
	stack    Stack[*Config]
	pairs    []*Pair[string, []uint64]
	tree     *Tree[string]
	registry *Registry[string, Config]
)

func newConfig(i int) *Config {
	return &Config{Name: park.Text(32, i), Rules: []string{park.Text(64, i), park.Text(80, i)}}
}

func newTree(depth int) *Tree[string] {
	if depth == 0 {
		return nil
	}
	return &Tree[string]{newTree(depth - 1), newTree(depth - 1), park.Text(20, depth)}
}

func main() {
	park.Measure("main.current", func() { current.Store(newConfig(1)) })
	park.Measure("main.history", func() {
		for i := range history {
			history[i].Store(newConfig(i))
		}
	})
	park.Measure("main.value", func() { value.Store(*newConfig(2)) })
	park.Measure("main.stack", func() {
		stack.items = make([]*Config, 0, 16)
		for i := 0; i < 10; i++ {
			stack.items = append(stack.items, newConfig(i))
		}
	})
	park.Measure("main.pairs", func() {
		pairs = make([]*Pair[string, []uint64], 30)
		for i := range pairs {
			pairs[i] = &Pair[string, []uint64]{park.Text(24, i), make([]uint64, 8)}
		}
	})
	park.Measure("main.tree", func() { tree = newTree(6) })
	park.Measure("main.registry", func() {
		registry = &Registry[string, Config]{entries: make(map[string]*Pair[string, Config])}
		for i := 0; i < 7; i++ {
			pair := &Pair[string, Config]{Key: park.Text(16, i), Value: *newConfig(i)}
			registry.entries[pair.Key] = pair
			registry.recent.Store(pair)
		}
	})
	park.Wait()
}
