// Package sync's own containers: Map, Pool, Once values and condition variables.
package main

import (
	"sync"

	"scenarios/park"
)

type Session struct {
	User string
	Data [8]uint64
}

type Cache struct {
	mu    sync.RWMutex
	items sync.Map
	once  sync.Once
}

var (
	sessions sync.Map // 1,000 string keys, *Session values
	byNumber sync.Map // 300 int keys that need a box each, *Session values
	deleted  sync.Map // 500 entries stored and deleted
	cache    *Cache
	pool     = sync.Pool{New: func() any { return new([512]byte) }}
	lazy     func() *Session
)

func newSession(i int) *Session { return &Session{User: park.Text(32, i)} }

func main() {
	park.Measure("main.sessions", func() {
		for i := 0; i < 1000; i++ {
			sessions.Store(park.Text(24, i), newSession(i))
		}
	})
	park.Measure("main.byNumber", func() {
		for i := 0; i < 300; i++ {
			byNumber.Store([2]uint64{uint64(i), 7}, newSession(i))
		}
	})
	park.Measure("main.deleted", func() {
		for i := 0; i < 500; i++ {
			deleted.Store(park.Text(24, i), newSession(i))
		}
		for i := 0; i < 500; i++ {
			deleted.Delete(park.Text(24, i))
		}
	})
	park.Measure("main.cache", func() {
		cache = new(Cache)
		cache.once.Do(func() { cache.items.Store(park.Text(16, 1), newSession(1)) })
	})
	park.Measure("main.lazy", func() {
		lazy = sync.OnceValue(func() *Session { return newSession(1) })
		lazy()
	})
	// What lies in a pool goes at the second collection: a test that wants it takes it before.
	for n := 0; n < 20; n++ {
		pool.Put(new([512]byte))
	}
	park.Wait()
}
