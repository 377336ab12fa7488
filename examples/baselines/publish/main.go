// Publish plays the agents: it replays the measurements of the last hours and waits until all of them were
// handled.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"heldby.example/baselines/measurement"
)

const (
	samplesPerMessage = 28
	messagesPerWindow = 5   // of one path
	batch             = 100 // messages on their way at most

	seriesPerMinute   = 36 // every route of every service
	messagesPerMinute = seriesPerMinute * messagesPerWindow
)

var (
	services = []string{"checkout", "payments", "search", "catalog", "profile", "basket"}
	routes   = []string{"/Orders/Create", "/Orders/List", "/Refunds/Issue", "/Users/Find", "/Items/Price", "/Accounts/Find/"}
)

func main() {
	var (
		url      = flag.String("nats", nats.DefaultURL, "URL of the NATS server")
		messages = flag.Int("messages", 80_000, "how many messages to publish")
	)
	flag.Parse()

	nc, err := nats.Connect(*url, nats.Name("publish"))
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	if err := publish(nc, *messages); err != nil {
		log.Fatal(err)
	}
}

// publish sends messages in batches. The last of each batch is a request: messages of one connection are
// handled in order, so its answer says that the whole batch was.
func publish(nc *nats.Conn, messages int) error {
	random := rand.New(rand.NewPCG(1, 2))
	started := time.Now()
	first := started.Truncate(time.Minute).Add(-time.Duration(messages/messagesPerMinute) * time.Minute)
	for sent := 0; sent < messages; sent++ {
		series := sent / messagesPerWindow
		service := services[series%len(services)]
		data, err := json.Marshal(newMessage(random, first, service, series))
		if err != nil {
			return err
		}
		subject := measurement.Subject + "." + service
		if (sent+1)%batch != 0 && sent+1 != messages {
			err = nc.Publish(subject, data)
		} else {
			_, err = nc.Request(subject, data, time.Minute)
		}
		if err != nil {
			return fmt.Errorf("message %d: %w", sent, err)
		}
	}
	fmt.Printf("  published %d messages in %.1f s\n", messages, time.Since(started).Seconds())
	return nil
}

// newMessage makes a message of a series; messagesPerWindow messages have the same path and window.
func newMessage(random *rand.Rand, first time.Time, service string, series int) measurement.Message {
	pod := fmt.Sprintf("%s-%08x-%05x", service, series%977, series%31)
	route := routes[series/len(services)%len(routes)]
	m := measurement.Message{
		Host:   fmt.Sprintf("node-%02d.eu-west-1.compute.internal", series%40),
		Path:   "/" + service + route,
		Window: first.Add(time.Duration(series/seriesPerMinute) * time.Minute),
		Tags:   map[string]string{"service": service, "version": "2026.3.1", "tier": "backend"},
		Labels: []measurement.Label{{Name: "pod", Value: pod}, {Name: "zone", Value: "eu-west-1b"}},
	}
	m.Samples = make([]measurement.Sample, samplesPerMessage)
	for i := range m.Samples {
		m.Samples[i] = newSample(random, pod+route, i)
	}
	return m
}

func newSample(random *rand.Rand, origin string, i int) measurement.Sample {
	total := 5 + random.ExpFloat64()*40
	s := measurement.Sample{
		ID: fmt.Sprintf("eu-west-1/production-3/shop/%s/00-%016x%016x-%016x-01",
			origin, random.Uint64(), random.Uint64(), random.Uint64()),
		Offset: i * 2500,
		Value:  total,
		Phases: []float64{total * 0.2, total * 0.7, total * 0.1},
	}
	if i%8 == 0 {
		s.Exemplar = &measurement.Exemplar{Status: 200, Attrs: map[string]string{"retry": "0", "cache": "miss"}}
	}
	return s
}
