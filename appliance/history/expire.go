package history

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/block"
)

// Retention says how long rows are kept: by the age of their instants, in whole
// days of the publisher's. Zero is for ever.
type Retention struct {
	Events time.Duration            // all rows
	Names  map[string]time.Duration // those of an event; the shorter one holds
}

// Expired says what Expire removed.
type Expired struct {
	Rows map[string]int64 // by event name
}

// Total counts the rows.
func (e Expired) Total() (n int64) {
	for _, rows := range e.Rows {
		n += rows
	}
	return n
}

// emptyAtOnce bounds what may be alive on a shelf that Expire writes anew for
// what it removed from it; a larger one waits until as much is dead.
const emptyAtOnce = 256 << 20

// Expire removes the rows of days that lie wholly before the retention, as of
// Options.Now. All of them leave the answers of later snapshots at once. It
// freezes what is in memory if any of that has expired.
//
// After an error some of it is done; call it again.
func (h *History) Expire(ctx context.Context, r Retention) (Expired, error) {
	if r.Events <= 0 && len(r.Names) == 0 {
		return Expired{}, nil
	}
	first := h.firstDays(r)
	if h.headsExpired(first) {
		if err := h.Freeze(ctx); err != nil {
			return Expired{}, fmt.Errorf("removing what is past the retention: %w", err)
		}
	}
	h.busy.Lock()
	defer h.busy.Unlock()
	out, err := h.expire(ctx, first)
	if err != nil {
		err = fmt.Errorf("removing what is past the retention: %w", err)
	}
	return out, err
}

// firstDays are the first days that are kept.
type firstDays struct {
	all   int32
	names map[uint16]int32 // where it is later
}

func (f *firstDays) of(name uint16) int32 {
	if day, ok := f.names[name]; ok {
		return day
	}
	return f.all
}

func (h *History) firstDays(r Retention) *firstDays {
	now := h.o.Now().UnixMicro()
	cal := newCalendar(h.o.Location)
	f := &firstDays{all: math.MinInt32, names: make(map[uint16]int32)}
	if r.Events > 0 {
		f.all = cal.of(now - r.Events.Microseconds())
	}
	for code, name := range h.namesNow() {
		if age := r.Names[name]; age > 0 {
			f.names[uint16(code)] = max(f.all, cal.of(now-age.Microseconds()))
		}
	}
	return f
}

func (h *History) headsExpired(first *firstDays) bool {
	h.mu.Lock()
	v := h.view
	h.mu.Unlock()
	for i := range v.heads {
		for _, p := range v.heads[i].dayPairs() {
			if name, day := unpair(p); day < first.of(name) {
				return true
			}
		}
	}
	return false
}

func (h *History) expire(ctx context.Context, first *firstDays) (Expired, error) {
	out := Expired{Rows: make(map[string]int64)}
	if err := h.breathe(ctx); err != nil {
		return out, err
	}
	list := h.listNow()
	var changes []change
	var damaged error // the rest goes on
	shelves := make(map[uint32]bool)
	for _, b := range list.blocks {
		c, err := h.expireBlock(ctx, b, first)
		if errors.Is(err, ErrDamaged) {
			damaged = errors.Join(damaged, err)
			continue
		}
		if err != nil {
			return out, err
		}
		if c != nil {
			changes = append(changes, *c)
			shelves[b.info.Shelf] = true
		}
	}
	for _, p := range list.parts {
		if !slices.ContainsFunc(p.info.Sets, func(s block.Set) bool { return s.Day < first.of(s.Name) }) {
			continue
		}
		made, err := h.sift(ctx, p, func(s block.Set, set *roaring.Bitmap) {
			if s.Day < first.of(s.Name) {
				set.Clear()
			}
		})
		if errors.Is(err, ErrDamaged) {
			damaged = errors.Join(damaged, err)
			continue
		}
		if err != nil {
			return out, err
		}
		changes = append(changes, change{goneParts: []*part{p}, parts: made})
		shelves[p.shelf] = true
	}
	if err := h.apply(changes...); err != nil {
		return out, err
	}
	for _, c := range changes {
		for _, b := range c.gone {
			for i, n := range b.info.Names {
				out.Rows[b.names[i]] += int64(n.Rows)
			}
		}
		for _, b := range c.made {
			for i, n := range b.info.Names {
				out.Rows[b.names[i]] -= int64(n.Rows)
			}
		}
	}
	maps.DeleteFunc(out.Rows, func(_ string, n int64) bool { return n == 0 })
	return out, errors.Join(damaged, h.emptyExpired(ctx, shelves))
}

// expireBlock gives what becomes of a block, nil if it stays as it is.
func (h *History) expireBlock(ctx context.Context, b *frozen, first *firstDays) (*change, error) {
	from, to := int32(math.MaxInt32), int32(math.MinInt32)
	for i := range b.info.Slices {
		from, to = min(from, b.info.Slices[i].FirstDay), max(to, b.info.Slices[i].LastDay)
	}
	cal := newCalendar(h.o.Location)
	all, any := true, false
	for _, n := range b.info.Names {
		all = all && to < first.of(n.Code)
		// The day of the rows is what they were frozen with, which a change of
		// the publisher's zone moves by one at most.
		any = any || from < first.of(n.Code) && cal.of(n.First)-1 < first.of(n.Code)
	}
	if all {
		return &change{gone: []*frozen{b}}, nil
	}
	if !any {
		return nil, nil
	}
	m := &merging{h: h, in: []*frozen{b}, keep: func(name uint16, day int32, _ uint32) bool { return day >= first.of(name) }}
	if err := m.read(ctx); err != nil || m.whole() {
		return nil, err
	}
	made, err := m.write(ctx)
	if err != nil {
		return nil, err
	}
	return &change{gone: []*frozen{b}, made: made}, nil
}

// emptyExpired takes what is listed off shelves from which rows have expired,
// where that is not too much.
func (h *History) emptyExpired(ctx context.Context, shelves map[uint32]bool) error {
	for shelf := range shelves {
		list := h.listNow()
		if alive := list.alive()[shelf]; alive > emptyAtOnce {
			continue
		}
		if err := h.empty(ctx, shelf, list); err != nil {
			return err
		}
	}
	return nil
}
