// Growth adds to the heap root by root, by amounts that it measures itself: what each root retains by
// heldby's account must be what the heap grew by.
package main

import (
	"container/list"
	"sync"

	"scenarios/park"
)

type User struct {
	Name  string
	Email string
	Tags  []string
	Prefs map[string]string
	Next  *User
}

type Event struct {
	Kind    any
	Payload []byte
}

type Shard struct {
	mu    sync.Mutex
	users map[uint64]*User
}

var (
	cacheA   map[string]*User    // a map of structs with maps in them
	cacheB   map[uint64][]byte   // a map of byte slices
	texts    []string            // many small strings
	blobs    [][]byte            // few large ones
	matrix   [][]float64         // slices of slices
	chain    *User               // a linked list
	events   []Event             // interfaces over several types
	shards   [16]Shard           // an array of structs with maps
	sessions sync.Map            // a hash trie
	queue    chan *User          // a buffered channel
	handlers []func() *User      // closures
	order    *list.List          // container/list
	sets     map[string]struct{} // keys only
)

func newUser(i int) *User {
	return &User{
		Name:  park.Text(24, i),
		Email: park.Text(48, i),
		Tags:  []string{park.Text(16, i), park.Text(20, i)},
		Prefs: map[string]string{park.Text(16, i): park.Text(32, i)},
	}
}

func main() {
	park.Measure("main.cacheA", func() {
		cacheA = make(map[string]*User)
		for i := 0; i < 5000; i++ {
			cacheA[park.Text(32, i)] = newUser(i)
		}
	})
	park.Measure("main.cacheB", func() {
		cacheB = make(map[uint64][]byte)
		for i := 0; i < 4000; i++ {
			cacheB[uint64(i)] = make([]byte, 16+i%1000)
		}
	})
	park.Measure("main.texts", func() {
		for i := 0; i < 40_000; i++ {
			texts = append(texts, park.Text(16+i%64, i))
		}
	})
	park.Measure("main.blobs", func() {
		for i := 0; i < 20; i++ {
			blobs = append(blobs, make([]byte, 50_000+i*10_000))
		}
	})
	park.Measure("main.matrix", func() {
		matrix = make([][]float64, 300)
		for i := range matrix {
			matrix[i] = make([]float64, 400)
		}
	})
	park.Measure("main.chain", func() {
		for i := 0; i < 3000; i++ {
			user := newUser(i)
			user.Next = chain
			chain = user
		}
	})
	park.Measure("main.events", func() {
		for i := 0; i < 6000; i++ {
			event := Event{Payload: make([]byte, 32+i%32)}
			switch i % 4 {
			case 0:
				event.Kind = newUser(i)
			case 1:
				event.Kind = park.Text(40, i)
			case 2:
				event.Kind = [3]uint64{uint64(i), 2, 3}
			case 3:
				event.Kind = []string{park.Text(24, i)}
			}
			events = append(events, event)
		}
	})
	park.Measure("main.shards", func() {
		for i := range shards {
			shards[i].users = make(map[uint64]*User)
			for n := 0; n < 200; n++ {
				shards[i].users[uint64(n)] = newUser(n)
			}
		}
	})
	park.Measure("main.sessions", func() {
		for i := 0; i < 3000; i++ {
			sessions.Store(park.Text(24, i), newUser(i))
		}
	})
	park.Measure("main.queue", func() {
		queue = make(chan *User, 2000)
		for i := 0; i < 1500; i++ {
			queue <- newUser(i)
		}
	})
	park.Measure("main.handlers", func() {
		for i := 0; i < 2000; i++ {
			user := newUser(i)
			handlers = append(handlers, func() *User { return user })
		}
	})
	park.Measure("main.order", func() {
		order = list.New()
		for i := 0; i < 2000; i++ {
			order.PushBack(newUser(i))
		}
	})
	park.Measure("main.sets", func() {
		sets = make(map[string]struct{})
		for i := 0; i < 10_000; i++ {
			sets[park.Text(36, i)] = struct{}{}
		}
	})
	park.Wait()
}
