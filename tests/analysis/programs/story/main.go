// Story does to the manager of examples/baselines what its service does: it decodes measurements and adds them.
// The first argument is how many, the second the rate of the memory profile.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	_ "net/http/pprof" // /debug/pprof, as in the service
	"os"
	"runtime"
	"strconv"
	"time"

	"heldby.example/baselines/measurement"
)

const (
	samplesPerMessage = 28
	messagesPerWindow = 5
)

var manager = NewBaselineManager()

func main() {
	runtime.MemProfileRate = number(2)
	first := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for sent := 0; sent < number(1); sent++ {
		receive(newMessage(first, sent))
	}
	runtime.GC()
	runtime.GC()
	stats, err := json.Marshal(manager.Stats())
	if err != nil {
		panic(err)
	}
	fmt.Println(string(stats))
	bufio.NewReader(os.Stdin).ReadString('\n')
}

func number(argument int) int {
	value, err := strconv.Atoi(os.Args[argument])
	if err != nil {
		panic(err)
	}
	return value
}

func receive(data []byte) {
	var m measurement.Message
	if err := json.Unmarshal(data, &m); err != nil {
		panic(err)
	}
	manager.Add(&m)
}

func newMessage(first time.Time, sent int) []byte {
	series := sent / messagesPerWindow
	m := measurement.Message{
		Path:   fmt.Sprintf("/checkout/Orders/%d", series%36),
		Window: first.Add(time.Duration(series/36) * time.Minute),
	}
	for i := 0; i < samplesPerMessage; i++ {
		id := fmt.Sprintf("eu-west-1/production-3/shop/checkout-%08x-%05x/Orders/00-%032x-%016x-01", series, i, sent, i)
		m.Samples = append(m.Samples, measurement.Sample{ID: id, Value: float64(i)})
	}
	data, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return data
}
