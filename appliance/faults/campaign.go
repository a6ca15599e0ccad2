//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

const (
	perKill    = 500 // messages of the campaign, for each kill
	importPart = 20_000
	// maxInRow bounds kills of the connector alone one after the other: a process
	// that fails too often is put into quarantine, which is another promise.
	maxInRow = 2
)

// campaignKills sends a campaign, and kills the daemon or the connector's process
// over and over until all of it is out. The witness is the connector: it writes
// down each message that it was given. Afterwards that is held beside what the
// daemon says became of each.
func campaignKills(ctx context.Context, h *harness, kills int) (result, error) {
	return killed(ctx, &campaigned{h: h, name: "campaign", people: kills * perKill}, kills)
}

// pushKills does the same to a campaign by push to people who have two devices
// each, and whose messages to the second are made while those to the first go out.
func pushKills(ctx context.Context, h *harness, kills int) (result, error) {
	return killed(ctx, &campaigned{h: h, name: "push", people: kills * perKill / 2, devices: 2}, kills)
}

func killed(ctx context.Context, c *campaigned, kills int) (result, error) {
	if err := c.setUp(ctx); err != nil {
		return result{}, err
	}
	defer c.d.kill()
	defer func() { c.got.Close() }()
	if err := c.run(ctx, kills); err != nil {
		return result{}, err
	}
	if err := c.untilOver(ctx); err != nil {
		return result{}, err
	}
	r, err := c.compare(ctx)
	return r, errors.Join(err, c.d.stop())
}

// campaigned is a daemon with a campaign to so many people, and the sink.
type campaigned struct {
	h       *harness
	name    string
	act     string // what the sink does, "" = it works
	d       *daemon
	people  int
	devices int      // that each of them has, for a campaign by push; 0 = it is by e-mail
	dir     string   // of the sink
	got     *os.File // its file, read so far
	lines   int      // in that

	kills []landing
}

// landing is a kill, after which the sink has to get more if it was in the middle
// of the campaign.
type landing struct {
	got       int  // before it
	connector bool // else the daemon
}

// messages is how many the campaign has.
func (c *campaigned) messages() int { return c.people * max(1, c.devices) }

// channel is what the campaign goes by, and its content.
func (c *campaigned) channel() (string, object) {
	if c.devices > 0 {
		return "push", object{"title": "Good morning", "text": "Good morning, {{ Profile.tier }}."}
	}
	return "email", object{"subject": "Good morning", "html": `<p>Good morning, {{ Profile.tier }}.</p><a href="{{ unsubscribe_url }}">No more</a>`}
}

// person is a line of the import.
func (c *campaigned) person(i int) string {
	address := fmt.Sprintf(`"profile":{"tier":"gold","email":"u%d@example.com"}`, i)
	if c.devices > 0 {
		var tokens []string
		for n := range c.devices {
			tokens = append(tokens, fmt.Sprintf(`{"platform":"fcm","token":"u%d-%d"}`, i, n))
		}
		address = `"profile":{"tier":"gold"},"channels":{"push":[` + strings.Join(tokens, ",") + `]}`
	}
	return fmt.Sprintf(`{"user":"u%d",%s,"consent":[{"purpose":"offers","granted":true}]}`+"\n", i, address)
}

// landed counts the kills in the middle of the campaign.
func (c *campaigned) landed(got int) (daemons, connectors int) {
	for _, k := range c.kills {
		switch {
		case k.got >= got:
		case k.connector:
			connectors++
		default:
			daemons++
		}
	}
	return daemons, connectors
}

func (c *campaigned) setUp(ctx context.Context) (err error) {
	programs := filepath.Join(c.h.dir, "connectors")
	c.dir = filepath.Join(c.h.dir, "sink-"+c.name)
	if err := errors.Join(os.MkdirAll(programs, 0o755), os.Mkdir(c.dir, 0o755)); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(programs, "sink"), "./appliance/faults/sink")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the sink: %w: %s", err, out)
	}
	channel, content := c.channel()
	c.d, err = c.h.newDaemonWith(c.name, filepath.Join(c.h.dir, c.name),
		fmt.Sprintf("  connector_dirs = [%q]\n", programs),
		fmt.Sprintf("  connector %q \"sink\" {\n    plugin = \"sink\"\n    settings {\n      dir = %q\n      act = %q\n    }\n  }\n", channel, c.dir, c.act))
	if err != nil {
		return err
	}
	if err := c.d.start(ctx); err != nil {
		return err
	}
	for first := 0; first < c.people; first += importPart {
		var part bytes.Buffer
		n := min(importPart, c.people-first)
		for i := first; i < first+n; i++ {
			part.WriteString(c.person(i))
		}
		var out struct{ Taken int }
		if err := c.d.post(ctx, fmt.Sprintf("/v1/publishers/shop/import/profiles?source=cafe&line=%d", first+1), part.Bytes(), &out); err != nil {
			return err
		}
		if out.Taken != n {
			return fmt.Errorf("%d of %d people were taken", out.Taken, n)
		}
	}
	return c.d.call(ctx, http.MethodPost, "/v1/publishers/shop/campaigns", object{
		"id": "all", "name": "All", "state": "running", "channel": channel, "purpose": "offers", "class": "marketing",
		"trigger": object{"type": "once", "audience": object{"profile": object{"property": "tier", "op": "=", "value": "gold"}}},
		"content": content,
	}, nil)
}

// post sends a body as it is.
func (d *daemon) post(ctx context.Context, path string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://admin"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := d.admin.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return &answerError{resp.StatusCode, fmt.Sprintf("POST %s: %d %.300s", path, resp.StatusCode, b)}
	}
	return json.Unmarshal(b, out)
}

// run kills so often, at moments that are spread over the campaign: after so many
// more messages, at random, and now and then after so much time, which is amid
// the start, or while nothing was sent yet.
func (c *campaigned) run(ctx context.Context, kills int) error {
	inRow := 0
	for k := range kills {
		got, err := c.count()
		if err != nil {
			return err
		}
		if k%10 == 9 {
			err = sleep(ctx, time.Duration(rand.IntN(600))*time.Millisecond)
		} else {
			var left int
			if left, err = c.left(ctx, got); err == nil {
				err = c.untilGot(ctx, got+rand.IntN(max(1, min(2*left/(kills-k), left/2))))
			}
		}
		if err != nil {
			return err
		}
		before, err := c.count()
		if err != nil {
			return err
		}
		c.h.tell("campaign: kill %d at %d of %d messages", k, before, c.messages())
		if inRow++; k%3 == 2 && inRow <= maxInRow && c.killConnector() {
			c.kills = append(c.kills, landing{before, true})
			continue
		}
		inRow = 0
		c.d.kill()
		c.kills = append(c.kills, landing{before, false})
		if err := c.d.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// killConnector kills the processes that the daemon started; false = there is none
// now.
func (c *campaigned) killConnector() bool {
	pid := c.d.cmd.Process.Pid
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return false
	}
	killed := false
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if err != nil {
			continue // the thread is gone
		}
		for _, field := range strings.Fields(string(b)) {
			if child, err := strconv.Atoi(field); err == nil && syscall.Kill(child, syscall.SIGKILL) == nil {
				killed = true
			}
		}
	}
	return killed
}

// count is how many messages the sink got.
func (c *campaigned) count() (int, error) {
	if c.got == nil {
		f, err := os.Open(filepath.Join(c.dir, "got"))
		if errors.Is(err, os.ErrNotExist) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		c.got = f
	}
	more, err := io.ReadAll(c.got) // from where it was read to
	c.lines += bytes.Count(more, []byte("\n"))
	return c.lines, err
}

// left is how many messages the sink may still get: of those that are unknown it
// gets no more.
func (c *campaigned) left(ctx context.Context, got int) (int, error) {
	if got < c.messages()/4 {
		return c.messages() - got, nil // not all is decided yet
	}
	var s struct{ Publishers []struct{ Waiting int } }
	if err := c.d.call(ctx, http.MethodGet, "/v1/admin/status", nil, &s); err != nil {
		return 0, err
	}
	if len(s.Publishers) != 1 {
		return 0, fmt.Errorf("the daemon has %d publishers", len(s.Publishers))
	}
	return s.Publishers[0].Waiting, nil
}

// untilGot waits until the sink got n messages, or got nothing for a while: what is
// left of the campaign may be less.
func (c *campaigned) untilGot(ctx context.Context, n int) error {
	last, moved := -1, time.Now()
	for time.Since(moved) < 10*time.Second {
		got, err := c.count()
		if err != nil || got >= n {
			return err
		}
		if got != last {
			last, moved = got, time.Now()
		}
		if c.d.gone() {
			return fmt.Errorf("%w: %s", errEnded, c.d.log.end())
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// untilOver waits until all messages were decided on and none waits any more.
func (c *campaigned) untilOver(ctx context.Context) error {
	last, moved := -1, time.Now()
	for {
		all, err := c.told(ctx)
		if err != nil {
			return err
		}
		over := 0
		for _, m := range all {
			if m.State != "waiting" && m.State != "attempting" {
				over++
			}
		}
		if over >= c.messages() {
			return nil
		}
		if over != last {
			last, moved = over, time.Now()
		}
		if time.Since(moved) > 2*time.Minute {
			return nil // who got nothing is counted as skipped
		}
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

func (c *campaigned) told(ctx context.Context) (all []told, err error) {
	return all, c.export(ctx, "messages?format=ndjson", func(line []byte) error {
		var m told
		if err := json.Unmarshal(line, &m); err != nil {
			return err
		}
		all = append(all, m)
		return nil
	})
}

// facts counts the events of a name by the message that they are about.
func (c *campaigned) facts(ctx context.Context, name string) (map[string]int, error) {
	of := make(map[string]int)
	return of, c.export(ctx, "events?format=ndjson&event="+url.QueryEscape(name), func(line []byte) error {
		var e struct{ Props map[string]any }
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		of[fmt.Sprint(e.Props[event.PropMessage])]++
		return nil
	})
}

func (c *campaigned) export(ctx context.Context, what string, fn func([]byte) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://admin/v1/publishers/shop/export/"+what, nil)
	if err != nil {
		return err
	}
	resp, err := c.d.admin.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
		return &answerError{resp.StatusCode, fmt.Sprintf("the export of %s is answered %d: %s", what, resp.StatusCode, b)}
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if err := fn(lines.Bytes()); err != nil {
			return fmt.Errorf("a line of the export of %s: %w", what, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("the export of %s ends early: %w", what, err)
	}
	return nil
}

// listed are the messages that the daemon lists as unknown.
func (c *campaigned) listed(ctx context.Context) (map[string]bool, error) {
	all, cursor := make(map[string]bool), ""
	for {
		var page struct {
			Messages []told
			Next     string
		}
		if err := c.d.call(ctx, http.MethodGet, "/v1/publishers/shop/messages?state=unknown&limit=500&cursor="+cursor, nil, &page); err != nil {
			return nil, err
		}
		for _, m := range page.Messages {
			all[m.Message] = true
		}
		if cursor = page.Next; cursor == "" {
			return all, nil
		}
	}
}

// sunk is how often the sink, which wrote the file, got each message, and each
// address.
func sunk(file string) (messages, addresses map[string]int, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	messages, addresses = make(map[string]int), make(map[string]int)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		id, to, ok := strings.Cut(lines.Text(), " ")
		if !ok {
			return nil, nil, fmt.Errorf("the sink wrote down %q", lines.Text())
		}
		messages[id]++
		addresses[to]++
	}
	return messages, addresses, lines.Err()
}

// compare holds what the sink got beside what the daemon says.
func (c *campaigned) compare(ctx context.Context) (r result, err error) {
	var v verdict
	if v.messages, err = c.told(ctx); err != nil {
		return r, err
	}
	if v.sent, err = c.facts(ctx, event.NotificationSent); err != nil {
		return r, err
	}
	if v.failed, err = c.facts(ctx, event.NotificationFailed); err != nil {
		return r, err
	}
	if v.listed, err = c.listed(ctx); err != nil {
		return r, err
	}
	if v.got, v.addresses, err = sunk(filepath.Join(c.dir, "got")); err != nil {
		return r, err
	}
	r = v.judge(c.people, max(1, c.devices))
	total := 0
	for _, n := range v.got {
		total += n
	}
	daemons, connectors := c.landed(total)
	r.rounds, r.missed = daemons+connectors, len(c.kills)-daemons-connectors
	r.notes = append(r.notes, fmt.Sprintf("%d kills in the middle: %d of the daemon, %d of the connector", r.rounds, daemons, connectors))
	return r, nil
}
