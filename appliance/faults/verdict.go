//go:build linux

package main

import (
	"fmt"
	"slices"
)

// told is what the daemon says of a message.
type told struct{ Message, State, Reason, User string }

// verdict is what the daemon says of a campaign, and what the sink got of it.
type verdict struct {
	messages       []told
	listed         map[string]bool // as unknown
	sent, failed   map[string]int  // facts of each message
	got, addresses map[string]int  // how often the sink got each message, and each address
}

// judge holds the two beside each other: of people u0 to the last, all got so many
// messages as each is to have or may have, no address two, and only what is unknown
// keeps sink and record apart.
func (v *verdict) judge(people, each int) result {
	r := result{acked: len(v.messages)}
	var once, delivered, undelivered int
	users, known := make(map[string]int), make(map[string]bool)
	odd := make(map[string]int) // what must not be, by what it is
	for _, m := range v.messages {
		users[m.User]++
		known[m.Message] = true
		got := v.got[m.Message]
		sent, failed := 0, 0 // the facts that there should be: one says what became of it
		switch {
		case m.State == "sent":
			sent = 1
			if got == 0 {
				odd["sent, and the sink did not get them"]++
			} else {
				once++
			}
		case m.State == "unknown" && got == 0:
			failed = 1
			undelivered++
		case m.State == "unknown":
			failed = 1
			delivered++
		default:
			odd["neither sent nor unknown but "+m.State+" "+m.Reason]++
			sent, failed = v.sent[m.Message], v.failed[m.Message]
		}
		if v.listed[m.Message] != (m.State == "unknown") {
			odd["listed as unknown and not so, or the other way round"]++
		}
		if v.sent[m.Message] != sent || v.failed[m.Message] != failed {
			odd["whose facts are not those of what became of them"]++
		}
	}
	for i := range people {
		switch n := users[fmt.Sprint("u", i)]; {
		case n < each:
			odd["missing: there is none for this person or device"] += each - n
		case n > each:
			odd["too many for a person"] += n - each
		}
	}
	for id := range v.got {
		if !known[id] {
			odd["that the sink got and the daemon does not know"]++
		}
	}
	for id := range v.listed {
		if !known[id] {
			odd["listed as unknown that do not exist"]++
		}
	}
	for _, n := range v.addresses {
		r.duplicated += n - 1
	}
	for what, n := range odd {
		r.lost += n
		r.notes = append(r.notes, fmt.Sprintf("%d messages %s", n, what))
	}
	slices.Sort(r.notes)
	r.notes = append(r.notes, fmt.Sprintf("%d messages: %d sent and delivered, %d twice, %d skipped; %d unknown and listed, of them %d delivered and %d not",
		len(v.messages), once, r.duplicated, r.lost, delivered+undelivered, delivered, undelivered))
	return r
}
