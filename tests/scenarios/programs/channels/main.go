// Channels: buffers of which a part is live, senders and receivers that wait, channels of channels.
package main

import "scenarios/park"

type Job struct {
	ID   uint64
	Body *[6]uint64
}

var (
	jobs     chan *Job   // room for 100, 30 waiting
	drained  chan *Job   // 20 were sent and received: the buffer holds nothing any more
	wrapped  chan *Job   // 6 of 8, and the live part goes round the end
	values   chan Job    // 10 of 16, by value
	numbers  chan uint64 // pointer-free: one object with its buffer
	blocked  chan *Job   // 5 senders wait
	starved  chan *Job   // 3 receivers wait
	channels chan chan *Job
	signals  []chan struct{}
)

func newJob(i int) *Job { return &Job{ID: uint64(i), Body: new([6]uint64)} }

//go:noinline
func send(c chan *Job, i int) {
	job := newJob(i)
	park.Settled()
	c <- job
}

//go:noinline
func receive(c chan *Job) {
	park.Settled()
	<-c
}

func main() {
	park.Measure("main.jobs", func() {
		jobs = make(chan *Job, 100)
		for i := 0; i < 30; i++ {
			jobs <- newJob(i)
		}
	})
	park.Measure("main.drained", func() {
		drained = make(chan *Job, 20)
		for i := 0; i < 20; i++ {
			drained <- newJob(i)
		}
		for n := 0; n < 20; n++ {
			<-drained
		}
	})
	park.Measure("main.wrapped", func() {
		wrapped = make(chan *Job, 8)
		for i := 0; i < 8; i++ {
			wrapped <- newJob(i)
		}
		for i := 0; i < 6; i++ {
			<-wrapped
			if i >= 2 {
				wrapped <- newJob(i)
			}
		}
	})
	park.Measure("main.values", func() {
		values = make(chan Job, 16)
		for i := 0; i < 10; i++ {
			values <- *newJob(i)
		}
	})
	park.Measure("main.numbers", func() {
		numbers = make(chan uint64, 1000)
		numbers <- 1
	})
	park.Measure("main.channels", func() {
		channels = make(chan chan *Job, 4)
		for i := 0; i < 4; i++ {
			inner := make(chan *Job, 1)
			inner <- newJob(i)
			channels <- inner
		}
	})
	park.Measure("main.signals", func() {
		signals = make([]chan struct{}, 50)
		for i := range signals {
			signals[i] = make(chan struct{}, 5)
		}
	})
	blocked, starved = make(chan *Job), make(chan *Job)
	for i := 0; i < 5; i++ {
		go send(blocked, i)
	}
	for n := 0; n < 3; n++ {
		go receive(starved)
	}
	park.AwaitSettled(8)
	park.Wait()
}
