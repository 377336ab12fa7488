// The standard library's containers: list, ring and heap.
package main

import (
	"container/heap"
	"container/list"
	"container/ring"

	"scenarios/park"
)

type Item struct {
	Name     string
	Priority uint64
}

type queue []*Item

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].Priority < q[j].Priority }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(*Item)) }
func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}

// LRU is the usual cache: a list for the order, a map for the way to its elements.
type LRU struct {
	order *list.List
	index map[string]*list.Element
}

var (
	waiting *list.List // 1,000 items
	buckets *ring.Ring // 60 with an item each
	pending queue      // 63 of 64
	cache   *LRU       // 200 entries
)

func newItem(i int) *Item { return &Item{Name: park.Text(32, i), Priority: uint64(i)} }

func main() {
	park.Measure("main.waiting", func() {
		waiting = list.New()
		for i := 0; i < 1000; i++ {
			waiting.PushBack(newItem(i))
		}
	})
	park.Measure("main.buckets", func() {
		buckets = ring.New(60)
		for i := 0; i < buckets.Len(); i++ {
			buckets.Value = newItem(i)
			buckets = buckets.Next()
		}
	})
	park.Measure("main.pending", func() {
		pending = make(queue, 0, 64)
		for i := 0; i < 64; i++ {
			heap.Push(&pending, newItem(i))
		}
		pending[0].Priority = 0
		heap.Pop(&pending)
	})
	park.Measure("main.cache", func() {
		cache = &LRU{order: list.New(), index: make(map[string]*list.Element)}
		for i := 0; i < 200; i++ {
			item := newItem(i)
			cache.index[item.Name] = cache.order.PushFront(item)
		}
	})
	park.Wait()
}
