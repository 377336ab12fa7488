// Orders fills its heap with the objects of a service that keeps customers and their orders in memory, about
// as many as its first argument says: maps of every size, structs, strings, slices, pointers, interfaces. It
// collects the garbage that it made on the way, prints a line about its heap and waits for its standard input
// to end.
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"runtime"
	"strconv"
	"time"
)

type product struct {
	sku    string
	name   string
	prices map[string]float64
}

type item struct {
	product  *product
	quantity int
	note     string
}

type order struct {
	id       string
	customer *customer
	items    []item
	placed   time.Time
	payment  payment
	history  *event
}

type payment interface{ amount() float64 }

type card struct {
	holder string
	cents  int64
}

type invoice struct {
	number string
	cents  int64
	due    *time.Time
}

func (c *card) amount() float64    { return float64(c.cents) / 100 }
func (i *invoice) amount() float64 { return float64(i.cents) / 100 }

type event struct {
	kind     string
	at       int64
	previous *event
}

type customer struct {
	id         uint64
	name       string
	email      string
	tags       []string
	attributes map[string]string
	orders     []*order
	next       *customer
	hook       func() string
}

type shop struct {
	products  []*product
	byName    map[string]*customer
	byID      map[uint64]*customer
	recent    *customer
	any       map[string]any
	orderByID map[string]*order
}

const (
	ordersEach        = 4
	objectsOfCustomer = 58.1 // measured, spare slots of growing slices and maps included
)

var store = shop{
	byName:    map[string]*customer{},
	byID:      map[uint64]*customer{},
	any:       map[string]any{},
	orderByID: map[string]*order{},
}

func (s *shop) addProducts(count int) {
	for i := range count {
		n := strconv.Itoa(i)
		s.products = append(s.products, &product{
			sku: "sku-" + n, name: "product number " + n, prices: map[string]float64{"EUR": 1, "USD": 2},
		})
	}
}

func (s *shop) addCustomer(i int) {
	n := strconv.Itoa(i)
	c := &customer{
		id: uint64(i), name: "customer-" + n, email: "customer." + n + "@example.com",
		tags:       []string{"tag-" + n, "regular", "region " + n},
		attributes: map[string]string{"street": n + " Long Street", "town": "Town " + n},
		next:       s.recent,
	}
	c.hook = func() string { return c.name + n }
	for k := range ordersEach {
		c.orders = append(c.orders, s.newOrder(c, i*ordersEach+k))
	}
	s.recent, s.byName[c.name], s.byID[c.id] = c, c, c
	if i%8 == 0 {
		s.any[c.email] = *c.orders[0].history
	}
}

func (s *shop) newOrder(c *customer, number int) *order {
	n := strconv.Itoa(number)
	o := &order{id: "order/" + n, customer: c, placed: time.Unix(int64(number), 0)}
	for k := range 2 {
		o.items = append(o.items, item{s.products[(number*7+k)%len(s.products)], k, "note for item " + n})
	}
	due := o.placed.AddDate(0, 1, 0)
	if number%2 == 0 {
		o.payment = &invoice{"invoice " + n, int64(number), &due}
	} else {
		o.payment = &card{"holder of card " + n, int64(number)}
	}
	for k := range 2 {
		o.history = &event{"event " + strconv.Itoa(k) + " of " + n, int64(k), o.history}
	}
	s.orderByID[o.id] = o
	return o
}

func main() {
	objects, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	store.addProducts(1000)
	for i := range int(float64(objects) / objectsOfCustomer) {
		store.addCustomer(i)
	}
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	err = json.NewEncoder(os.Stdout).Encode(map[string]uint64{
		"heap_objects": stats.HeapObjects, "heap_alloc": stats.HeapAlloc, "sys": stats.Sys,
	})
	if err != nil {
		panic(err)
	}
	bufio.NewReader(os.Stdin).ReadString('\n')
	runtime.KeepAlive(store.recent)
}
