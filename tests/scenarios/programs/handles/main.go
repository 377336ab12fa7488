// Handles: unique.Handle is a strong pointer to the one copy; weak.Pointer holds nothing.
package main

import (
	"unique"
	"weak"

	"scenarios/park"
)

type Target struct {
	Name string
	Data [12]uint64
}

type Key struct{ Region, Zone string }

var (
	texts    []unique.Handle[string] // 300, of 100 different strings
	keys     []unique.Handle[Key]    // 50 different
	strong   []*Target               // 40, each of which has a weak pointer too
	weakLive []weak.Pointer[Target]  // to those
	weakDead []weak.Pointer[Target]  // 30, to targets that nothing holds any more
)

func newTarget(i int) *Target { return &Target{Name: park.Text(32, i)} }

func main() {
	// The first handle of a type makes the runtime's own tables.
	first, second := unique.Make("first"), unique.Make(Key{})
	_ = weak.Make(newTarget(0))

	park.Measure("main.texts", func() {
		texts = make([]unique.Handle[string], 300)
		for i := range texts {
			texts[i] = unique.Make(park.Text(48, i%100))
		}
	})
	park.Measure("main.keys", func() {
		keys = make([]unique.Handle[Key], 50)
		for i := range keys {
			keys[i] = unique.Make(Key{park.Text(24, i), park.Text(20, i)})
		}
	})
	park.Measure("main.strong", func() {
		strong = make([]*Target, 40)
		for i := range strong {
			strong[i] = newTarget(i)
		}
	})
	park.Measure("main.weakLive", func() {
		weakLive = make([]weak.Pointer[Target], len(strong))
		for i := range weakLive {
			weakLive[i] = weak.Make(strong[i])
		}
	})
	park.Measure("main.weakDead", func() {
		weakDead = make([]weak.Pointer[Target], 30)
		for i := range weakDead {
			weakDead[i] = weak.Make(newTarget(i))
		}
	})
	var dead uint64
	for _, pointer := range weakDead {
		if pointer.Value() == nil {
			dead++
		}
	}
	park.Fact("dead", dead)
	if first.Value() == second.Value().Region {
		return
	}
	park.Wait()
}
