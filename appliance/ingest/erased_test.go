package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/journal"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/links"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/publisher"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// noPost is a publisher's connectors, none.
type noPost struct{}

func (noPost) Routes(string) []delivery.Route { return nil }
func (noPost) Send(context.Context, string, string, []connector.Message) ([]connector.Outcome, error) {
	return nil, errors.New("nobody sends")
}

func (noPost) Forget(context.Context, []event.Address) error { return nil }

// settle opens the rooms of the door's publisher, so that what is taken is
// applied.
func (a *atDoor) settle() *publisher.Publisher {
	a.t.Helper()
	must := func(err error) {
		if err != nil {
			a.t.Helper()
			a.t.Fatal(err)
		}
	}
	dir := a.t.TempDir()
	ring, err := keyring.Open(filepath.Join(dir, "keys"), bytes.Repeat([]byte{9}, keyring.MasterBytes), keyring.Options{})
	must(err)
	keys, err := ring.Publisher("shop")
	must(err)
	j, err := journal.Open(journal.Options{Dir: filepath.Join(dir, "journal")})
	must(err)
	addresses, err := links.NewAddresses("http://127.0.0.1:1", "shop", keys)
	must(err)
	p, err := publisher.Open(publisher.Options{
		Name: "shop", Title: "Shop", Dir: filepath.Join(dir, "shop"), Journal: j, Keys: keys, Shelves: kv.NewShelfCache(4), Small: true,
		Purposes: []publisher.Purpose{{Name: "news", Channels: []string{"email", "sms", "push"}}},
		Sender:   noPost{}, Forgetter: noPost{}, Links: addresses,
		Failed: func(err error) { a.t.Errorf("the applier stopped: %v", err) },
	})
	must(err)
	p.Start()
	a.t.Cleanup(func() {
		must(p.Close(context.Background()))
		must(j.Close())
		must(ring.Close())
	})
	a.pub.Journal, a.pub.Hash = p, testHash
	return p
}

// TestTheErasedStayOut: whoever was erased is not brought back by an event, in
// whatever dialect it comes, nor by a profile, nor by a file; a consent that is
// given anew is a new beginning, with nothing of before.
func TestTheErasedStayOut(t *testing.T) {
	a := newDoor(t)
	a.now = time.Now().UTC().Truncate(time.Second)
	p := a.settle()
	applied := func() {
		t.Helper()
		if err := p.CaughtUp(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	known := func(who string) bool {
		t.Helper()
		applied()
		_, err := p.Person(who)
		if err != nil && !errors.Is(err, people.ErrUnknown) && !errors.Is(err, people.ErrErased) {
			t.Fatal(err)
		}
		return err == nil
	}
	for _, s := range speakers {
		t.Run(s.name, func(t *testing.T) {
			who, mail := "erased-"+s.name, s.name+"@example.com"
			answer := s.send(a, who, "Bought", a.now.Add(-time.Hour), `{"n":1}`)
			if !known(who) {
				t.Fatalf("nobody came: %s", answer)
			}
			device := strings.HasPrefix(s.name, "clevertap-") // whose people are devices at first
			if !device {
				a.segment("/v1/identify", fmt.Sprintf(`{"userId":%q,"traits":{"email":%q}}`, who, mail))
				applied()
			}
			if _, err := p.Erase(t.Context(), who); err != nil {
				t.Fatal(err)
			}
			before := p.Flow().Refused[people.RefusedErased]
			s.send(a, who, "Bought", a.now.Add(-time.Minute), `{"n":2}`)
			if known(who) || p.Flow().Refused[people.RefusedErased] != before+1 {
				t.Fatalf("an event brings them back; %d refused", p.Flow().Refused[people.RefusedErased]-before)
			}
			// Nor does what a list of customers holds, whatever the dialect.
			field := "user"
			if device {
				field = "anonymous"
			}
			taken, refused, err := a.door.ImportProfiles(t.Context(), a.pub, "beef", 1, strings.NewReader(fmt.Sprintf(`{%q:%q,"profile":{"email":%q,"plan":"gold"}}`, field, who, mail)))
			if err != nil || taken != 1 || len(refused) != 0 {
				t.Fatalf("%d %v %v", taken, refused, err)
			}
			if known(who) {
				t.Fatal("a file brings them back")
			}
			if !device && !p.Suppressed("email", mail) {
				t.Error("their address may be written to")
			}
			// Under another id the address comes again, and is not written to either.
			if _, _, err := a.door.ImportProfiles(t.Context(), a.pub, "cafe", 1, strings.NewReader(fmt.Sprintf(`{"user":"other-%s","profile":{"email":%q}}`, s.name, mail))); err != nil {
				t.Fatal(err)
			}
			applied()
			if !device && !p.Suppressed("email", mail) {
				t.Error("a file under another id makes their address one that may be written to")
			}
		})
	}
	// Consent anew, in each dialect that can say it.
	for name, agree := range map[string]func(who string){
		"clevertap": func(who string) {
			a.upload(fmt.Sprintf(`{"d":[{"identity":%q,"type":"profile","profileData":{"MSG-email":true}}]}`, who))
		},
		"segment": func(who string) {
			a.segment("/v1/identify", fmt.Sprintf(`{"userId":%q,"context":{"consent":{"categoryPreferences":{"news":true}}}}`, who))
		},
		"cloister": func(who string) {
			a.cloister(fmt.Sprintf(`{"user":%q,"consent":[{"purpose":"news","channel":"email","granted":true}]}`, who))
		},
		"import": func(who string) {
			if _, refused, err := a.door.ImportProfiles(t.Context(), a.pub, "f00d", 1, strings.NewReader(fmt.Sprintf(`{"user":%q,"consent":[{"purpose":"news","granted":true}]}`, who))); err != nil || len(refused) > 0 {
				t.Fatal(refused, err)
			}
		},
	} {
		t.Run(name+" agrees anew", func(t *testing.T) {
			who := "erased-" + name
			agree(who)
			if !known(who) {
				t.Fatal("who agrees anew stays out")
			}
			rows, err := p.Timeline(t.Context(), who, 0, 100, true)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				if r.Name == "Bought" {
					t.Errorf("they have what they did before: %+v", r)
				}
			}
			a.segment("/v1/track", fmt.Sprintf(`{"userId":%q,"event":"Bought"}`, who))
			applied()
			if rows, err = p.Timeline(t.Context(), who, 0, 100, true); err != nil || !slices.ContainsFunc(rows, func(r history.Row) bool { return r.Name == "Bought" }) {
				t.Errorf("nothing is taken of who agreed anew: %v %v", rows, err)
			}
		})
	}
}
