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

// Bounds of saved segments.
const (
	MaxSegments    = 1000
	MaxSegmentName = 128
)

// ErrUnknown: there is no such saved object.
var ErrUnknown = errors.New("publisher: no such object")

// Segment is a saved question about people.
type Segment struct {
	Name   string          `json:"name"`
	People json.RawMessage `json:"people"` // an expression P of the question contract
}

// programme is the stage that keeps saved segments. Their bytes, in
// kv.Programme: 's' NAME -> the people expression as JSON.
type programme struct {
	log *slog.Logger

	mu      sync.RWMutex
	all     map[string]json.RawMessage // what is committed
	pending map[string]json.RawMessage // by the run under way; nil = deleted
}

const segmentKey = 's'

// typeCheckpoint is the Name of a Programme fact that only marks a place in the
// journal.
const typeCheckpoint = "checkpoint"

func openProgramme(db *kv.DB, log *slog.Logger) (*programme, error) {
	g := &programme{log: log, all: map[string]json.RawMessage{}, pending: map[string]json.RawMessage{}}
	err := db.View(func(t *kv.Txn) error {
		return t.Scan(kv.Programme, []byte{segmentKey}, nil, func(key, val []byte) error {
			g.all[string(key[1:])] = slices.Clone(val)
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
	switch f.Name {
	case event.TypeSegment:
	case typeCheckpoint:
		return nil
	default:
		g.log.Error("the journal holds a saved object of a type that this version does not know; it was left out", "type", f.Name)
		return nil
	}
	key := append([]byte{segmentKey}, f.Ref...)
	if len(f.Body) == 0 {
		g.pending[f.Ref] = nil
		return t.Delete(kv.Programme, key)
	}
	g.pending[f.Ref] = slices.Clone(f.Body)
	return t.Set(kv.Programme, key, f.Body)
}

func (g *programme) Committed() {
	if len(g.pending) == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, p := range g.pending {
		if p == nil {
			delete(g.all, name)
		} else {
			g.all[name] = p
		}
	}
	clear(g.pending)
}

func (g *programme) segment(name string) ([]byte, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	p, ok := g.all[name]
	return p, ok
}

// Segments lists the saved segments by name.
func (p *Publisher) Segments() []Segment {
	p.programme.mu.RLock()
	defer p.programme.mu.RUnlock()
	out := make([]Segment, 0, len(p.programme.all))
	for _, name := range slices.Sorted(maps.Keys(p.programme.all)) {
		out = append(out, Segment{Name: name, People: p.programme.all[name]})
	}
	return out
}

// SaveSegment makes or changes a segment; it is in force when it returns. A
// wrong expression is a *query.Error.
func (p *Publisher) SaveSegment(ctx context.Context, s Segment) error {
	if s.Name == "" || len(s.Name) > MaxSegmentName || strings.ContainsFunc(s.Name, func(r rune) bool { return r < ' ' }) {
		return &query.Error{Code: query.CodeValue, Path: "name", Message: fmt.Sprintf("a segment's name is 1 to %d bytes without control characters", MaxSegmentName)}
	}
	if err := p.checkPeople(s.People); err != nil {
		return err
	}
	if _, there := p.programme.segment(s.Name); !there && len(p.Segments()) >= MaxSegments {
		return &query.Error{Code: query.CodeBudget, Path: "name", Message: fmt.Sprintf("there are %d segments already, and no more are kept: delete one", MaxSegments)}
	}
	return p.save(ctx, event.TypeSegment, s.Name, s.People)
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
