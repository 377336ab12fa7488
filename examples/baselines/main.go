// Baselines learns how long requests usually take, path by path, from the measurements that agents publish.
//
// It reads measurements from NATS, keeps one Baseline for each path and window, and drops a baseline when its
// window has closed. That, at least, is the plan: in production its memory grows until it is killed.
package main

import (
	"context"
	"encoding/json"
	"expvar"
	"flag"
	"log"
	"net"
	"net/http"
	_ "net/http/pprof" // /debug/pprof
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"heldby.example/baselines/measurement"
)

// manager holds the baselines of this process.
var manager = NewBaselineManager()

func main() {
	var (
		url       = flag.String("nats", nats.DefaultURL, "URL of the NATS server")
		debugAddr = flag.String("debug", "127.0.0.1:6060", "address of /debug/pprof and /debug/vars")
	)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	if err := run(ctx, *url, *debugAddr); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url, debugAddr string) error {
	expvar.Publish("baselines", expvar.Func(func() any { return manager.Stats() }))
	listener, err := net.Listen("tcp", debugAddr)
	if err != nil {
		return err
	}
	go http.Serve(listener, nil)

	nc, err := nats.Connect(url, nats.Name("baselines"), nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer nc.Close()
	sub, err := nc.Subscribe(measurement.Subject+".>", receive)
	if err != nil {
		return err
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	if err := nc.Flush(); err != nil {
		return err
	}
	log.Printf("reading %s.> from %s, debug server at http://%s/debug/", measurement.Subject, url, listener.Addr())

	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			manager.Expire(now)
		case <-ctx.Done():
			stats := manager.Stats()
			log.Printf("%d messages read, %d baselines held", stats.Messages, stats.Baselines)
			return nil
		}
	}
}

// receive handles one measurement and acknowledges it, which tells the agent that it may send more.
func receive(msg *nats.Msg) {
	var m measurement.Message
	if err := json.Unmarshal(msg.Data, &m); err != nil {
		log.Printf("%s: %v", msg.Subject, err)
		return
	}
	manager.Add(&m)
	if msg.Reply != "" {
		if err := msg.Respond(nil); err != nil {
			log.Printf("acknowledging %s: %v", msg.Subject, err)
		}
	}
}
