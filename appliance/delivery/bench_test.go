package delivery

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// BenchmarkDelivery carries messages from the outbox to a connector that takes
// everything at once, with their outcomes and facts: all of delivery but the
// connector's own work. An operation is a message.
func BenchmarkDelivery(b *testing.B) {
	h := newHouse(b, nil)
	const persons = 2000
	err := h.db.Update(func(t *kv.Txn) error {
		for i := range persons {
			f := event.Fact{
				Kind: event.Identify, User: fmt.Sprint("u", i), Time: begin.UnixMicro(),
				Changes:   []event.Change{{Key: "Name", Value: event.OfText("Asha"), Personal: true}},
				Consents:  []event.Consent{{Purpose: "offers", Channel: "email", Granted: true, Source: "form"}},
				Addresses: []event.Address{{Channel: "email", Value: fmt.Sprintf("u%d@example.com", i)}},
			}
			if _, err := h.people.Apply(t, &f); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	h.people.Committed()
	h.forgets = true
	for done := 0; done < b.N; done += persons {
		var ins []Intention
		for i := range min(persons, b.N-done) {
			ins = append(ins, h.want(uint32(i+1), fmt.Sprint("run:", done)))
		}
		for len(ins) > 0 {
			n := min(500, len(ins))
			h.enqueue(ins[:n]...)
			ins = ins[n:]
		}
	}
	b.ResetTimer()
	h.d.Start()
	h.until("all are sent", func() bool { return h.d.Stats().Sent >= uint64(b.N) })
}

// BenchmarkBody makes a mail's text part and its tracked links.
func BenchmarkBody(b *testing.B) {
	body := "<html><body>" + strings.Repeat("<p>Good morning, Ana, this is new today.</p>\n", 20) + `<a href="https://a.example/">More</a></body></html>`
	b.ReportAllocs()
	for b.Loop() {
		tracked(body)
		textOf(body)
	}
}
