package query_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/query"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestCases runs testdata/cases/*.txt, whose language testdata/cases/README.md
// explains: each on a history in memory, and on the real engines.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) { newCases(&inMemory{numbers: map[string]uint32{}}).runAll(t, file, string(text)) })
		t.Run(name+" on the engines", func(t *testing.T) {
			e := &onEngines{dir: t.TempDir(), known: map[string]bool{}}
			newCases(e).runAll(t, file, string(text))
			if err := e.close(); err != nil {
				t.Error(err)
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

// stage is where a case file's world lies. Who is not known yet is met by being
// named; a name that begins with ~ is a device.
type stage interface {
	meet(who string) error
	event(who string, at time.Time, name string, props []event.Prop) error
	learn(who string, profile []event.Prop, channels []string, consents [][2]string) error
	login(who, device string) error
	merge(loser, winner string) error
	unmerge(who string) error
	erase(who string) error
	list(name string, who []string) error
	batch() error
	freeze() error
	restart() error
	compact() error
	// data is what can be asked of, by days of loc.
	data(loc *time.Location) (d query.Data, find func(string) (uint32, bool), release func(), err error)
}

// cases is the run of one file.
type cases struct {
	stage
	loc      *time.Location
	now      time.Time
	segments map[string]string
	rfms     map[string][]byte
	goals    map[string]query.Goal
	question string
	asked    int
}

func newCases(s stage) *cases {
	return &cases{stage: s, loc: time.UTC, now: time.Date(2012, 1, 1, 0, 0, 0, 0, time.UTC), segments: map[string]string{}, rfms: map[string][]byte{}, goals: map[string]query.Goal{}}
}

func (c *cases) runAll(t *testing.T, file, text string) {
	for _, b := range blocksOf(text) {
		if err := c.run(b); err != nil {
			t.Errorf("%s:%d: %v", file, b.line, err)
		}
	}
	if c.asked == 0 {
		t.Error("nothing is asked")
	}
}

func (c *cases) ask() (*query.Answer, error) {
	d, find, release, err := c.data(c.loc)
	if err != nil {
		return nil, err
	}
	defer release()
	return query.Ask(context.Background(), []byte(c.question), query.Env{
		Data: d, Location: c.loc, Now: func() time.Time { return c.now }, Find: find,
		Segment: func(name string) ([]byte, bool) { s, ok := c.segments[name]; return []byte(s), ok },
		RFMs:    func() map[string][]byte { return c.rfms },
		Goal:    func(campaign string) (query.Goal, bool) { g, ok := c.goals[campaign]; return g, ok },
	})
}

func (c *cases) run(b block) error {
	verb, rest, _ := strings.Cut(b.text, " ")
	rest = strings.TrimSpace(rest)
	word := append(strings.Fields(rest), "", "", "")
	for _, who := range named(verb, word) {
		if err := c.meet(who); err != nil {
			return err
		}
	}
	var err error
	switch verb {
	case "zone":
		c.loc, err = time.LoadLocation(rest)
	case "now":
		c.now, err = time.Parse(time.RFC3339, rest)
	case "person":
		var profile []event.Prop
		if _, text, some := strings.Cut(rest, " "); some {
			if profile, err = properties(text); err != nil {
				return err
			}
		}
		err = c.learn(word[0], profile, nil, nil)
	case "reach":
		err = c.learn(word[0], nil, strings.Fields(rest)[1:], nil)
	case "consent":
		err = c.learn(word[0], nil, nil, [][2]string{{word[1], word[2]}})
	case "login":
		err = c.login(word[0], word[1])
	case "merge":
		err = c.merge(word[0], word[1])
	case "unmerge":
		err = c.unmerge(word[0])
	case "erase":
		err = c.erase(word[0])
	case "list":
		err = c.list(word[0], strings.Fields(rest)[1:])
	case "batch":
		err = c.batch()
	case "freeze":
		err = c.freeze()
	case "restart":
		err = c.restart()
	case "compact":
		err = c.compact()
	case "segment":
		name, people, _ := strings.Cut(rest, " ")
		c.segments[name] = people
	case "rfm":
		name, question, _ := strings.Cut(rest, " ")
		c.rfms[name] = []byte(question)
	case "goal":
		word := strings.Fields(rest)
		within, err := time.ParseDuration(word[1])
		if err != nil {
			return err
		}
		c.goals[word[0]] = query.Goal{Event: []byte(strings.Join(word[3:], " ")), Within: within, Revenue: strings.TrimPrefix(word[2], "-")}
	case "ask":
		c.question = rest
		c.asked++
	case "expect":
		err = c.expect(rest)
	case "refuse":
		err = c.refuse(rest)
	default:
		err = c.tell(verb, rest)
	}
	return err
}

// named are those whom a statement names, in its order.
func named(verb string, word []string) []string {
	switch verb {
	case "person", "reach", "consent", "unmerge", "erase":
		return word[:1]
	case "login", "merge":
		return word[:2]
	case "list":
		return slices.DeleteFunc(slices.Clone(word[1:]), func(who string) bool { return who == "" })
	case "zone", "now", "batch", "freeze", "restart", "compact", "segment", "rfm", "goal", "ask", "expect", "refuse":
		return nil
	}
	return []string{verb}
}

// tell is a statement that begins with a person: an event.
func (c *cases) tell(who, rest string) error {
	at, rest, _ := strings.Cut(rest, " ")
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return fmt.Errorf("%q is no verb, and no event: %w", who, err)
	}
	name := rest
	var props []event.Prop
	if i := strings.IndexByte(rest, '{'); i >= 0 {
		name = rest[:i]
		if props, err = properties(rest[i:]); err != nil {
			return err
		}
	}
	return c.event(who, t, strings.TrimSpace(name), props)
}

// properties reads an object; a text that begins with @ is an instant.
func properties(text string) ([]event.Prop, error) {
	v, err := event.ParseJSON([]byte(text))
	if err != nil {
		return nil, err
	}
	props := v.Object()
	for i := range props {
		if at, ok := strings.CutPrefix(props[i].Value.Text(), "@"); ok {
			t, err := time.Parse(time.RFC3339, at)
			if err != nil {
				return nil, err
			}
			props[i].Value = event.OfTime(t)
		}
	}
	return props, nil
}

func (c *cases) expect(text string) error {
	answer, err := c.ask()
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

// within says whether all that is wanted is there; numbers to 9 digits.
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
	case float64:
		g, ok := got.(float64)
		return ok && math.Abs(want-g) <= 1e-9*max(1, math.Abs(want))
	}
	return reflect.DeepEqual(want, got)
}

func (c *cases) refuse(text string) error {
	code, path, _ := strings.Cut(text, " ")
	_, err := c.ask()
	var e *query.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%s\nis not refused: %v", c.question, err)
	}
	if e.Code != code || e.Path != strings.TrimSpace(path) || e.Message == "" {
		return fmt.Errorf("%s\nis refused with code %q, path %q: %s", c.question, e.Code, e.Path, e.Message)
	}
	return nil
}
