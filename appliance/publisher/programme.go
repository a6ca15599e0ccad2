package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/query"
)

// Bounds of saved segments and rfms.
const (
	MaxSegments    = 1000
	MaxSegmentName = 128 // bytes, as of rfms and lists
	MaxRFMs        = 100
)

// ErrUnknown: there is no such saved object.
var ErrUnknown = errors.New("publisher: no such object")

// Segment is a saved question about people.
type Segment struct {
	Name   string          `json:"name"`
	People json.RawMessage `json:"people"` // an expression P of the question contract
}

// RFM is a saved question of kind rfm, whose groups people can be asked by.
type RFM struct {
	Name     string          `json:"name"`
	Question json.RawMessage `json:"question"` // see query.CheckRFM
}

// programme is the stage that keeps saved segments and rfms. Their bytes, in
// kv.Programme: 's' NAME -> the people expression as JSON; 'f' NAME -> the
// question as JSON.
type programme struct {
	log *slog.Logger

	mu      sync.RWMutex
	all     map[object]json.RawMessage // what is committed
	pending map[object]json.RawMessage // by the run under way; nil = deleted
}

// object names what is saved.
type object struct {
	kind byte
	name string
}

const (
	segmentKey = 's'
	rfmKey     = 'f'
)

// typeCheckpoint is the Name of a Programme fact that only marks a place in the
// journal.
const typeCheckpoint = "checkpoint"

func openProgramme(db *kv.DB, log *slog.Logger) (*programme, error) {
	g := &programme{log: log, all: map[object]json.RawMessage{}, pending: map[object]json.RawMessage{}}
	err := db.View(func(t *kv.Txn) error {
		return t.Scan(kv.Programme, nil, nil, func(key, val []byte) error {
			g.all[object{key[0], string(key[1:])}] = slices.Clone(val)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("opening the programme: %w", err)
	}
	return g, nil
}

// Apply takes a saved object as it was made, changed or deleted.
func (g *programme) Apply(t *kv.Txn, f *event.Fact) error {
	o := object{segmentKey, f.Ref}
	switch f.Name {
	case event.TypeSegment:
	case event.TypeRFM:
		o.kind = rfmKey
	case typeCheckpoint:
		return nil
	default:
		g.log.Error("the journal holds a saved object of a type that this version does not know; it was left out", "type", f.Name)
		return nil
	}
	key := append([]byte{o.kind}, f.Ref...)
	if len(f.Body) == 0 {
		g.pending[o] = nil
		return t.Delete(kv.Programme, key)
	}
	g.pending[o] = slices.Clone(f.Body)
	return t.Set(kv.Programme, key, f.Body)
}

func (g *programme) Committed() {
	if len(g.pending) == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for o, body := range g.pending {
		if body == nil {
			delete(g.all, o)
		} else {
			g.all[o] = body
		}
	}
	clear(g.pending)
}

func (g *programme) segment(name string) ([]byte, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	p, ok := g.all[object{segmentKey, name}]
	return p, ok
}

// of gives what is saved of a kind, by name.
func (g *programme) of(kind byte) map[string][]byte {
	g.mu.RLock()
	defer g.mu.RUnlock()
	out := map[string][]byte{}
	for o, body := range g.all {
		if o.kind == kind {
			out[o.name] = body
		}
	}
	return out
}

func (g *programme) rfms() map[string][]byte { return g.of(rfmKey) }

// Segments lists the saved segments by name.
func (p *Publisher) Segments() []Segment {
	all := p.programme.of(segmentKey)
	out := make([]Segment, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, Segment{Name: name, People: all[name]})
	}
	return out
}

// SaveSegment makes or changes a segment; it is in force when it returns. A
// wrong expression is a *query.Error.
func (p *Publisher) SaveSegment(ctx context.Context, s Segment) error {
	if err := checkName(event.TypeSegment, s.Name); err != nil {
		return err
	}
	if err := p.checkPeople(s.People); err != nil {
		return err
	}
	if _, there := p.programme.segment(s.Name); !there && len(p.Segments()) >= MaxSegments {
		return &query.Error{Code: query.CodeBudget, Path: "name", Message: fmt.Sprintf("there are %d segments already, and no more are kept: delete one", MaxSegments)}
	}
	return p.save(ctx, event.TypeSegment, s.Name, s.People)
}

// checkName says whether something can be saved, or uploaded, under a name.
func checkName(kind, name string) error {
	if name == "" || len(name) > MaxSegmentName || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return &query.Error{Code: query.CodeValue, Path: "name", Message: fmt.Sprintf("a %s's name is 1 to %d bytes without control characters", kind, MaxSegmentName)}
	}
	return nil
}

// RFMs lists the saved rfms by name.
func (p *Publisher) RFMs() []RFM {
	all := p.programme.rfms()
	out := make([]RFM, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, RFM{Name: name, Question: all[name]})
	}
	return out
}

// SaveRFM makes or changes a saved rfm; it is in force when it returns. A
// wrong question is a *query.Error.
func (p *Publisher) SaveRFM(ctx context.Context, r RFM) error {
	if err := checkName(event.TypeRFM, r.Name); err != nil {
		return err
	}
	env, release := p.checkEnv()
	err := query.CheckRFM(r.Question, env)
	release()
	if err != nil {
		return err
	}
	if all := p.programme.rfms(); all[r.Name] == nil && len(all) >= MaxRFMs {
		return &query.Error{Code: query.CodeBudget, Path: "name", Message: fmt.Sprintf("there are %d rfms already, and no more are kept: delete one", MaxRFMs)}
	}
	return p.save(ctx, event.TypeRFM, r.Name, r.Question)
}

// DeleteRFM removes a saved rfm, or answers ErrUnknown.
func (p *Publisher) DeleteRFM(ctx context.Context, name string) error {
	if p.programme.rfms()[name] == nil {
		return fmt.Errorf("rfm %q: %w", name, ErrUnknown)
	}
	return p.save(ctx, event.TypeRFM, name, nil)
}

// DeleteSegment removes a segment, or answers ErrUnknown.
func (p *Publisher) DeleteSegment(ctx context.Context, name string) error {
	if _, ok := p.programme.segment(name); !ok {
		return fmt.Errorf("segment %q: %w", name, ErrUnknown)
	}
	return p.save(ctx, event.TypeSegment, name, nil)
}

// SaveCampaign makes or changes a campaign that Campaigns().Validate made; it
// is in force when it returns.
func (p *Publisher) SaveCampaign(ctx context.Context, c *campaign.Campaign) error {
	b, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("campaign %q: %w", c.ID, err)
	}
	return p.save(ctx, event.TypeCampaign, c.ID, b)
}

// DeleteCampaign removes a campaign, or answers campaign.ErrUnknown.
func (p *Publisher) DeleteCampaign(ctx context.Context, id string) error {
	if _, err := p.campaigns.Get(id); err != nil {
		return err
	}
	return p.save(ctx, event.TypeCampaign, id, nil)
}

// save appends a saved object and waits until it is in force.
func (p *Publisher) save(ctx context.Context, kind, ref string, body []byte) error {
	now := p.o.Now().UnixMicro()
	f := event.Fact{Kind: event.Programme, Time: now, Received: now, Name: kind, Ref: ref, Body: body}
	if err := p.Append(ctx, []event.Fact{f}); err != nil {
		return fmt.Errorf("saving %s %q: %w", kind, ref, err)
	}
	return p.CaughtUp(ctx)
}
