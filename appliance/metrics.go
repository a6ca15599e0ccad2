package appliance

import (
	"encoding/json"
	"net/http"
	"runtime"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/config"
)

// metrics serves /metrics, /healthz (it is alive) and /readyz (it takes and
// shows events). They hold names of publishers and connectors, nothing of people.
func (a *appliance) metrics() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &collector{a})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answerHealth(w, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		var down []health.Problem
		for _, p := range a.board.Problems() {
			if p.Severity >= health.Degraded {
				down = append(down, p)
			}
		}
		answerHealth(w, down)
	})
	return mux
}

func answerHealth(w http.ResponseWriter, down []health.Problem) {
	w.Header().Set("Content-Type", "application/json")
	state := "ok"
	if len(down) > 0 {
		state = "not ready"
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	codes := make([]string, 0, len(down))
	for _, p := range down {
		codes = append(codes, p.Code)
	}
	// A failed write means that nobody reads.
	_ = json.NewEncoder(w).Encode(map[string]any{"status": state, "problems": codes})
}

// collector asks the rooms when it is asked.
type collector struct{ a *appliance }

func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("cloister_"+name, help, labels, nil)
}

var (
	metricBuild    = metric("build_info", "The running version.", "version", "go")
	metricProblems = metric("problems", "Problems there are now, by severity.", "severity")
	metricFree     = metric("disk_free_bytes", "Bytes free in the data directory.")
	metricColumns  = metric("columns_bytes", "Bytes of decoded columns kept in memory, of all publishers.")
	metricMost     = metric("columns_limit_bytes", "Bytes that decoded columns may take.")
	metricHits     = metric("columns_hits_total", "Times that a column asked for was there, decoded.")
	metricMisses   = metric("columns_misses_total", "Times that a column asked for had to be read and decoded.")
	metricAsking   = metric("questions", "Questions by whether they run, or wait for others of their publisher.", "state")
	metricHeld     = metric("questions_bytes", "Bytes that the questions which run hold.")
	metricMayHold  = metric("questions_limit_bytes", "Bytes that they may hold together.")
	metricNoMemory = metric("questions_refused_total", "Questions refused for the memory of all together.")
	metricTaken    = metric("facts_appended_total", "Facts put into the journal.", "publisher")
	metricJournal  = metric("journal_bytes", "Bytes of the journal on disk, about.", "publisher")
	metricQueued   = metric("journal_queued_bytes", "Bytes that wait to be written to the journal.", "publisher")
	metricApplied  = metric("facts_applied_total", "Facts that went through the stages.", "publisher")
	metricRepeats  = metric("facts_repeated_total", "Facts recognised as repeats and left out.", "publisher")
	metricRefused  = metric("facts_refused_total", "Facts left out, by reason.", "publisher", "reason")
	metricDoor     = metric("records_refused_total", "Records refused at the door for apps.", "publisher", "dialect", "code")
	metricNoted    = metric("records_noted_total", "Records accepted at the door though they break the schema, or are inactive.", "publisher", "dialect", "code")
	metricLimited  = metric("requests_limited_total", "Requests of apps that were told to come back, by the limit that they met.", "publisher", "limit")
	metricOpen     = metric("connections", "Connections that are open.", "listener")
	metricClosed   = metric("connections_closed_total", "Connections closed because of the limits.", "listener")
	metricDetected = metric("detected_total", "What the detectors found in records, by kind and what became of it.", "publisher", "kind", "action")
	metricWaits    = metric("records_held", "Records that wait for an operator to look at them.", "publisher")
	metricRows     = metric("rows", "Rows of events that can be asked about.", "publisher")
	metricPeople   = metric("people", "People there are.", "publisher")
	metricMessages = metric("messages_total", "Messages by what became of them.", "publisher", "state")
	metricWaiting  = metric("messages_waiting", "Messages in the outbox.", "publisher", "channel")
	metricRunning  = metric("connector_running", "1 if the connector runs, else 0.", "publisher", "channel", "connector")
	metricConfined = metric("connector_sandbox", "How well the connector is confined: 0 = none, 1 = files, 2 = ports, 3 = hosts; the words say what holds it.", "publisher", "channel", "connector", "grade", "held_by")
	metricReached  = metric("connector_connections_total", "Connections that the running process began, and that it was denied.", "publisher", "channel", "connector", "outcome")
	metricTold     = metric("receipts_total", "What providers sent of a connector's messages, by what became of it; receipts are those in what was taken, and collected.", "publisher", "channel", "connector", "outcome")
	metricPaused   = metric("connector_paused", "1 if the connector is paused, by an operator or since it says of nearly all tokens that they are no more, else 0.", "publisher", "channel", "connector")
	metricLeftOut  = metric("connector_left_out", "1 if delivery leaves the connector out since it takes no messages, else 0.", "publisher", "channel", "connector")
	metricFlying   = metric("connector_messages_in_flight", "Messages that the connector was given and has not answered.", "publisher", "channel", "connector")
	metricRestarts = metric("connector_restarts_total", "Times a connector was started again.", "publisher", "channel", "connector")
)

func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	a := c.a
	gauge(metricBuild, 1, a.o.Version, runtime.Version())
	by := map[health.Severity]int{health.Warning: 0, health.Degraded: 0, health.Down: 0}
	for _, p := range a.board.Problems() {
		by[p.Severity]++
	}
	for s, n := range by {
		gauge(metricProblems, float64(n), s.String())
	}
	gauge(metricFree, float64(a.disk.free.Load()))
	k, b := a.columns.Stats(), a.budget.Stats()
	gauge(metricColumns, float64(k.Bytes))
	gauge(metricMost, float64(k.Budget))
	count(metricHits, float64(k.Hits))
	count(metricMisses, float64(k.Misses))
	gauge(metricAsking, float64(b.Running), "running")
	gauge(metricAsking, float64(b.Waiting), "waiting")
	gauge(metricHeld, float64(b.Held))
	gauge(metricMayHold, float64(b.Memory))
	count(metricNoMemory, float64(b.Refused))
	if a.apps != nil {
		for _, l := range a.apps.Limited() {
			count(metricLimited, float64(l.Count), l.Publisher, l.Limit)
		}
	}
	for _, s := range a.servers {
		if s.conn != nil {
			gauge(metricOpen, float64(s.conn.count()), s.name)
			count(metricClosed, float64(s.conn.closed.Load()), s.name)
		}
	}
	for _, one := range a.houses.list() {
		name := one.cfg.Name
		one.detected.Each(func(kind, action string, n int64) { count(metricDetected, float64(n), name, kind, action) })
		gauge(metricWaits, float64(one.hold.Count()), name)
		for _, r := range one.refusals.Counts() {
			d := metricDoor
			if r.Accepted {
				d = metricNoted
			}
			count(d, float64(r.Count), name, r.Dialect, r.Code)
		}
		for _, s := range one.senders.statuses() {
			up := 0.0
			if s.State == "running" {
				up = 1
			}
			gauge(metricRunning, up, name, s.Channel, s.Name)
			if p := one.rooms.now.Load(); p != nil {
				route, paused, left := p.Delivery().Route(s.Name), 0.0, 0.0
				if !route.Paused.IsZero() {
					paused = 1
				}
				if route.LeftOut != nil {
					left = 1
				}
				gauge(metricPaused, paused, name, s.Channel, s.Name)
				gauge(metricLeftOut, left, name, s.Channel, s.Name)
				gauge(metricFlying, float64(route.InFlight), name, s.Channel, s.Name)
			}
			if s.Grade != "" {
				gauge(metricConfined, float64(slices.Index(config.Grades, s.Grade)), name, s.Channel, s.Name, s.Grade, s.Sandbox)
			}
			if s.PID != 0 {
				count(metricReached, float64(s.Connections.Made), name, s.Channel, s.Name, "made")
				count(metricReached, float64(s.Connections.Denied), name, s.Channel, s.Name, "denied")
			}
			count(metricRestarts, float64(s.Restarts), name, s.Channel, s.Name)
			if a.providers != nil {
				r := a.providers.Stats(name, s.Channel, s.Name)
				for outcome, n := range map[string]uint64{"taken": r.Taken, "receipts": r.Receipts, "forged": r.Forged, "away": r.Away, "limited": r.Limited, "refused": r.Refused} {
					count(metricTold, float64(n), name, s.Channel, s.Name, outcome)
				}
			}
		}
		p := one.rooms.now.Load()
		if p == nil {
			continue
		}
		j, f := p.Journal(), p.Flow()
		count(metricTaken, float64(j.Facts), name)
		gauge(metricJournal, float64(j.Bytes), name)
		gauge(metricQueued, float64(j.Queued), name)
		count(metricApplied, float64(f.Facts), name)
		count(metricRepeats, float64(f.Repeats), name)
		for why, n := range f.Refused {
			count(metricRefused, float64(n), name, why)
		}
		people, rows := p.Size()
		gauge(metricRows, float64(rows), name)
		gauge(metricPeople, float64(people), name)
		d := p.Delivery().Stats()
		for state, n := range map[string]uint64{"sent": d.Sent, "held": d.Held, "failed": d.Failed, "unknown": d.Unknown} {
			count(metricMessages, float64(n), name, state)
		}
		for channel, n := range d.Waiting {
			gauge(metricWaiting, float64(n), name, channel)
		}
	}
}
