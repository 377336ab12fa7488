// Timers: AfterFunc with a closure, tickers, and timers that a goroutine waits for.
package main

import (
	"context"
	"time"

	"scenarios/park"
)

type Reminder struct {
	Text string
	Data [6]uint64
}

var (
	reminders []*time.Timer  // 25 AfterFunc closures, each with a Reminder
	tickers   []*time.Ticker // 5
	stopped   *time.Timer    // its closure is still held by main.stopped
	deadline  context.Context
	cancel    context.CancelFunc
)

func newReminder(i int) *Reminder { return &Reminder{Text: park.Text(40, i)} }

//go:noinline
func ring(r *Reminder) { r.Data[0]++ }

// forgotten starts timers that no variable of the program names: only the runtime holds them.
//
//go:noinline
func forgotten() {
	for i := 0; i < 15; i++ {
		reminder := newReminder(i)
		time.AfterFunc(24*time.Hour, func() { ring(reminder) })
	}
}

//go:noinline
func sleeper(r *Reminder) {
	park.Settled()
	time.Sleep(24 * time.Hour)
	ring(r)
}

func main() {
	first := time.AfterFunc(time.Hour, func() {}) // makes the processor's heap of timers
	park.Measure("main.reminders", func() {
		reminders = make([]*time.Timer, 25)
		for i := range reminders {
			reminder := newReminder(i)
			reminders[i] = time.AfterFunc(24*time.Hour, func() { ring(reminder) })
		}
	})
	park.Measure("main.tickers", func() {
		tickers = make([]*time.Ticker, 5)
		for i := range tickers {
			tickers[i] = time.NewTicker(24 * time.Hour)
		}
	})
	park.Measure("main.stopped", func() {
		reminder := newReminder(1)
		stopped = time.AfterFunc(24*time.Hour, func() { ring(reminder) })
		stopped.Stop()
	})
	park.Measure("forgotten", forgotten)
	park.Measure("main.deadline", func() {
		deadline, cancel = context.WithTimeout(context.Background(), 24*time.Hour)
	})
	go sleeper(newReminder(99))
	park.AwaitSettled(1)
	park.Wait()
	first.Stop()
}
