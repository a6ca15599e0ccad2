package delivery

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/kv"
)

// ErrList: a listing asks for what there is not.
var ErrList = errors.New("delivery: no such list")

const (
	// MaxList bounds the messages of one page.
	MaxList = 500
	// maxLooked bounds how many messages one page looks at.
	maxLooked = 20_000
)

// Listing says which messages that failed, or whose outcome is unknown, are
// listed.
type Listing struct {
	State     string    // Failed or Lost
	Campaign  string    // "" = any
	Connector string    // that it was last handed to; "" = any
	From, To  time.Time // when it was settled, To exclusive; the zero time = no bound
	After     string    // Page.Next of the page before; "" = the beginning
	Limit     int       // at most MaxList
}

// Page is part of a list.
type Page struct {
	Messages []Decision // settled last first
	// Next is where the list goes on, "" = it ends here. A page may hold fewer
	// than were asked for, or none, and go on: it looks at so many messages only.
	Next string
}

// listKey orders messages of a state by when they were settled, the latest first.
func listKey(state string, settled time.Time, i id) []byte {
	k := append(listPrefix(state), make([]byte, 8)...)
	binary.BigEndian.PutUint64(k[2:], ^uint64(settled.UnixMicro()))
	return append(k, i[:]...)
}

func listPrefix(state string) []byte { return []byte{settledKey, state[0]} }

// enlist puts a message into the list of its state, if there is one.
func (d *Delivery) enlist(t *kv.Txn, r *record) error {
	if r.State != Failed && r.State != Lost {
		return nil
	}
	return t.Set(kv.Delivery, listKey(r.State, *r.Settled, r.id()), []byte(r.Campaign+"\x00"+r.lastConnector()))
}

func (r *record) lastConnector() string {
	if n := len(r.Attempts); n > 0 {
		return r.Attempts[n-1].Connector
	}
	return ""
}

// List gives a page of messages, as of one moment. ErrList if there is no such list.
func (d *Delivery) List(ctx context.Context, l Listing) (p Page, err error) {
	if l.State != Failed && l.State != Lost {
		return p, fmt.Errorf("%w: messages that are %.20q", ErrList, l.State)
	}
	prefix := listPrefix(l.State)
	from := prefix
	if !l.To.IsZero() {
		from = listKey(l.State, l.To.Add(-time.Microsecond), id{})
	}
	if l.After != "" {
		last, err := hex.DecodeString(l.After)
		if err != nil || len(last) != 8+idBytes {
			return p, fmt.Errorf("%w: it does not go on at %.60q", ErrList, l.After)
		}
		from = append(append(listPrefix(l.State), last...), 0)
	}
	limit, looked, more := min(max(l.Limit, 1), MaxList), 0, false
	err = d.db.View(func(t *kv.Txn) error {
		return t.Scan(kv.Delivery, prefix, from, func(key, val []byte) error {
			rest := key[len(prefix):]
			if !l.From.IsZero() && micros(int64(^binary.BigEndian.Uint64(rest))).Before(l.From) {
				return kv.ErrStop
			}
			if looked++; looked > maxLooked || len(p.Messages) == limit {
				more = true
				return kv.ErrStop
			}
			p.Next = hex.EncodeToString(rest)
			campaign, connector, _ := strings.Cut(string(val), "\x00")
			if l.Campaign != "" && l.Campaign != campaign || l.Connector != "" && l.Connector != connector {
				return nil
			}
			r, err := d.load(t, id(rest[8:]))
			if err != nil {
				return err
			}
			p.Messages = append(p.Messages, r.Decision)
			return ctx.Err()
		})
	})
	if err != nil {
		return Page{}, fmt.Errorf("listing %s messages: %w", l.State, err)
	}
	if !more {
		p.Next = ""
	}
	return p, nil
}
