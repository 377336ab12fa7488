// The baselines service of examples/baselines without NATS: it handles 600 messages and waits.
//
// The test puts this file beside the service's own baseline.go, where the leak is.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"heldby.example/baselines/measurement"
)

// manager holds the baselines of this process.
var manager = NewBaselineManager()

func main() {
	routes := []string{"/Orders/Create", "/Refunds/Issue", "/Users/Find/"}
	first := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for message := 0; message < 600; message++ {
		series := message / 5 // five messages of a path in each window
		m := measurement.Message{
			Path:   routes[series%3],
			Window: first.Add(time.Duration(series/3) * time.Minute),
		}
		for sample := 0; sample < 28; sample++ {
			id := fmt.Sprintf("eu-central-1/production/payments-worker-6f7c9d/orders/%06d/%02d/4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", message, sample)
			m.Samples = append(m.Samples, measurement.Sample{ID: id, Value: float64(sample)})
		}
		handle(m)
	}
	manager.Expire(first.Add(24 * time.Hour))
	runtime.GC()
	stats, _ := json.Marshal(manager.Stats())
	fmt.Println(string(stats))
	io.Copy(io.Discard, os.Stdin)
}

// handle does with a message what the service's subscription does.
func handle(sent measurement.Message) {
	data, err := json.Marshal(sent)
	if err != nil {
		panic(err)
	}
	var m measurement.Message
	if err := json.Unmarshal(data, &m); err != nil {
		panic(err)
	}
	manager.Add(&m)
}
