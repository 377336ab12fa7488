// Closures: what they capture by value and by reference; method values; deferred and nested ones.
package main

import "scenarios/park"

type Account struct {
	Owner   string
	Entries []uint64
}

func (a *Account) Total() int { return len(a.Entries) }

type Rate struct{ Text string }

func (r Rate) String() string { return r.Text }

type handler func() int

var (
	byValue   []func() int    // each captures an *Account and an int
	byRef     func() int      // captures a variable that it changes
	static    []func() int    // captures nothing: no object
	methods   []func() int    // method values of *Account
	boxed     []func() string // method values of a struct copy
	nested    func() func() int
	table     map[string]handler
	inStruct  struct{ Handle handler }
	generator func() (uint64, bool)
)

func newAccount(i int) *Account {
	return &Account{Owner: park.Text(32, i), Entries: make([]uint64, 10)}
}

func main() {
	park.Measure("main.byValue", func() {
		byValue = make([]func() int, 100)
		for i := range byValue {
			account, factor := newAccount(i), i
			byValue[i] = func() int { return account.Total() * factor }
		}
	})
	park.Measure("main.byRef", func() {
		account := newAccount(1)
		count := 0
		byRef = func() int {
			count++
			account = newAccount(count)
			return account.Total()
		}
	})
	park.Measure("main.static", func() {
		static = make([]func() int, 50)
		for i := range static {
			static[i] = func() int { return 1 }
		}
	})
	park.Measure("main.methods", func() {
		methods = make([]func() int, 20)
		for i := range methods {
			methods[i] = newAccount(i).Total
		}
	})
	park.Measure("main.boxed", func() {
		boxed = make([]func() string, 20)
		for i := range boxed {
			boxed[i] = Rate{Text: park.Text(64, i)}.String
		}
	})
	park.Measure("main.nested", func() {
		account := newAccount(1)
		nested = func() func() int { return account.Total }
	})
	park.Measure("main.table", func() {
		table = make(map[string]handler)
		for i := 0; i < 6; i++ {
			account := newAccount(i)
			table[park.Text(16, i)] = func() int { return len(account.Owner) }
		}
	})
	park.Measure("main.inStruct", func() {
		account := newAccount(1)
		inStruct.Handle = func() int { return len(account.Entries) }
	})
	park.Measure("main.generator", func() {
		numbers := make([]uint64, 64)
		next := 0
		generator = func() (uint64, bool) {
			if next == len(numbers) {
				return 0, false
			}
			next++
			return numbers[next-1], true
		}
	})
	park.Wait()
}
