package query_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/appliance/query/internal/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestCases runs testdata/cases/*.txt. A case file is lines; what is loaded
// holds from there on:
//
//	# a remark
//	zone Europe/Berlin                      the publisher's, before any event
//	now 2011-12-01T00:00:00Z                the clock
//	WHO 2011-11-01T10:00:00Z NAME {props}   an event; WHO becomes a person
//	person WHO {profile}                    a person, with or without events
//	reach WHO CHANNEL..                     consent WHO PURPOSE CHANNEL
//	merge LOSER WINNER                      erase WHO
//	batch                                   what follows arrives as a generation of its own
//	segment NAME {people}
//	ask {question}                          on one line or more
//	expect {result}                         every field named must be so; lists are exact
//	refuse CODE PATH                        instead of expect
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c := newCases()
			for _, b := range blocksOf(string(text)) {
				if err := c.run(b); err != nil {
					t.Errorf("%s:%d: %v", file, b.line, err)
				}
			}
			if c.asked == 0 {
				t.Error("nothing is asked")
			}
		})
	}
}

// block is a line, with those that continue it: the ones that begin with space
// or a bracket.
type block struct {
	line int
	text string
}

func blocksOf(text string) []block {
	var out []block
	for i, line := range strings.Split(text, "\n") {
		switch {
		case strings.TrimSpace(line) == "" || line[0] == '#':
		case strings.ContainsRune(" \t{}[]", rune(line[0])) && len(out) > 0:
			out[len(out)-1].text += "\n" + line
		default:
			out = append(out, block{i + 1, line})
		}
	}
	return out
}

// cases is the world of one file.
type cases struct {
	loc         *time.Location
	now         time.Time
	people      memory.People
	generations []memory.Generation
	segments    map[string]string
	question    string
	asked       int
}

func newCases() *cases {
	return &cases{loc: time.UTC, now: time.Date(2012, 1, 1, 0, 0, 0, 0, time.UTC), segments: map[string]string{}}
}

func (c *cases) env() query.Env {
	return query.Env{
		Data: query.Data{History: memory.New(c.loc, c.generations...), People: c.people}, Location: c.loc,
		Now:     func() time.Time { return c.now },
		Segment: func(name string) ([]byte, bool) { s, ok := c.segments[name]; return []byte(s), ok },
		Find:    c.people.Find,
	}
}

func (c *cases) number(who string) uint32 {
	if n, ok := c.people.Find(who); ok {
		return n
	}
	c.people = append(c.people, memory.Person{Identity: who, Profile: map[string]event.Value{}})
	return uint32(len(c.people))
}

func (c *cases) run(b block) error {
	verb, rest, _ := strings.Cut(b.text, " ")
	rest = strings.TrimSpace(rest)
	word := strings.Fields(rest)
	var err error
	switch verb {
	case "zone":
		c.loc, err = time.LoadLocation(rest)
	case "now":
		c.now, err = time.Parse(time.RFC3339, rest)
	case "person":
		name, profile, _ := strings.Cut(rest, " ")
		err = c.profile(name, profile)
	case "reach":
		p := &c.people[c.number(word[0])-1]
		p.Reachable = append(p.Reachable, word[1:]...)
	case "consent":
		p := &c.people[c.number(word[0])-1]
		p.Consent = append(p.Consent, [2]string{word[1], word[2]})
	case "merge":
		loser := c.number(word[0])
		c.people[loser-1].Winner = c.number(word[1])
	case "erase":
		c.people[c.number(word[0])-1].Erased = true
	case "batch":
		c.generations = append(c.generations, memory.Generation{Layout: memory.Layout(len(c.generations) % 3)})
	case "segment":
		name, people, _ := strings.Cut(rest, " ")
		c.segments[name] = people
	case "ask":
		c.question = rest
		c.asked++
	case "expect":
		err = c.expect(rest)
	case "refuse":
		err = c.refuse(rest)
	default:
		err = c.event(verb, rest)
	}
	return err
}

func (c *cases) profile(who, text string) error {
	p := &c.people[c.number(who)-1]
	if text == "" {
		return nil
	}
	v, err := event.ParseJSON([]byte(text))
	for _, a := range v.Object() {
		p.Profile[a.Key] = a.Value
	}
	return err
}

func (c *cases) event(who, rest string) error {
	at, rest, _ := strings.Cut(rest, " ")
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return fmt.Errorf("%q is no verb, and no event: %w", who, err)
	}
	name, props := rest, event.Value{}
	if i := strings.IndexByte(rest, '{'); i >= 0 {
		name = rest[:i]
		if props, err = event.ParseJSON([]byte(rest[i:])); err != nil {
			return err
		}
	}
	if len(c.generations) == 0 {
		c.generations = append(c.generations, memory.Generation{})
	}
	g := &c.generations[len(c.generations)-1]
	g.Rows = append(g.Rows, history.Row{Person: c.number(who), Time: t.UnixMicro(), Name: strings.TrimSpace(name), Props: props.Object()})
	return nil
}

func (c *cases) expect(text string) error {
	answer, err := query.Ask(context.Background(), []byte(c.question), c.env())
	if err != nil {
		return err
	}
	var want, got any
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		return err
	}
	b, err := json.Marshal(answer.Result)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &got); err != nil {
		return err
	}
	if !within(want, got) {
		return fmt.Errorf("%s\nwant %s\ngot  %s", c.question, text, b)
	}
	return nil
}

// within says whether all that is wanted is there.
func within(want, got any) bool {
	switch want := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		for k := range want {
			ok = ok && within(want[k], g[k])
		}
		return ok
	case []any:
		g, ok := got.([]any)
		return ok && slices.EqualFunc(want, g, within)
	}
	return reflect.DeepEqual(want, got)
}

func (c *cases) refuse(text string) error {
	code, path, _ := strings.Cut(text, " ")
	_, err := query.Ask(context.Background(), []byte(c.question), c.env())
	var e *query.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%s\nis not refused: %v", c.question, err)
	}
	if e.Code != code || e.Path != strings.TrimSpace(path) || e.Message == "" {
		return fmt.Errorf("%s\nis refused with code %q, path %q: %s", c.question, e.Code, e.Path, e.Message)
	}
	return nil
}
