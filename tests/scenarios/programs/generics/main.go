// Generic containers that allocate in generic code: the program has descriptors of their shapes only, such as
// main.node[go.shape.*uint8], unless something else needs the real one.
package main

import "scenarios/park"

type Config struct {
	Name  string
	Rules []string
}

// Rule is as long as two strings with a number behind each, but nothing makes two of those at once.
type Rule struct {
	Name   string
	Weight int
	Tags   []string
}

type node[T any] struct {
	value T
	next  *node[T]
}

type List[T any] struct {
	head *node[T]
	size int
}

func (l *List[T]) Push(value T) {
	l.head = &node[T]{value, l.head}
	l.size++
}

type branch[K any, V any] struct {
	left, right *branch[K, V]
	key         K
	value       V
}

type Tree[K any, V any] struct {
	less func(a, b K) bool
	root *branch[K, V]
}

//go:noinline
func (t *Tree[K, V]) Put(key K, value V) {
	at := &t.root
	for *at != nil {
		if t.less(key, (*at).key) {
			at = &(*at).left
		} else {
			at = &(*at).right
		}
	}
	*at = &branch[K, V]{key: key, value: value}
}

type entry[K comparable, V any] struct {
	newer, older *entry[K, V]
	cache        *Cache[K, V]
	key          K
	value        V
}

// Cache is what most caches of least recently used entries look like.
type Cache[K comparable, V any] struct {
	entries map[K]*entry[K, V]
	newest  *entry[K, V]
}

//go:noinline
func (c *Cache[K, V]) Put(key K, value V) {
	added := &entry[K, V]{older: c.newest, cache: c, key: key, value: value}
	if c.newest != nil {
		c.newest.newer = added
	}
	c.entries[key], c.newest = added, added
}

var (
	configs List[*Config]
	texts   List[string]
	rules   List[*Rule]
	tree    *Tree[string, *Config]
	cache   *Cache[string, Config]
)

func newConfig(i int) *Config {
	return &Config{Name: park.Text(32, i), Rules: []string{park.Text(64, i), park.Text(80, i)}}
}

func main() {
	park.Measure("main.configs", func() {
		for i := 0; i < 40; i++ {
			configs.Push(newConfig(i))
		}
	})
	park.Measure("main.texts", func() {
		for i := 0; i < 30; i++ {
			texts.Push(park.Text(24, i))
		}
	})
	park.Measure("main.rules", func() {
		for i := 0; i < 25; i++ {
			rules.Push(&Rule{Name: park.Text(24, i)})
		}
	})
	park.Measure("main.tree", func() {
		tree = &Tree[string, *Config]{less: func(a, b string) bool { return a < b }}
		for i := 0; i < 20; i++ {
			tree.Put(park.Text(20, i), newConfig(i))
		}
	})
	park.Measure("main.cache", func() {
		cache = &Cache[string, Config]{entries: make(map[string]*entry[string, Config])}
		for i := 0; i < 7; i++ {
			cache.Put(park.Text(16, i), *newConfig(i))
		}
	})
	park.Wait()
}
