package people

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
)

var update = flag.Bool("update", false, "write testdata/v1.txt anew; never after a release")

const golden = "testdata/v1.txt"

// openFixed is open with keys that are the same each time, since hashes stand
// in what is stored.
func openFixed(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), clock: 1_700_000_000_000_000}
	ring, err := keyring.Open(filepath.Join(h.dir, "keys"), bytes.Repeat([]byte{7}, keyring.MasterBytes), keyring.Options{Rand: rand.NewChaCha8([32]byte{1})})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Publisher("acme"); err != nil {
		t.Fatal(err)
	}
	if err := ring.Close(); err != nil {
		t.Fatal(err)
	}
	h.start()
	t.Cleanup(h.stop)
	return h
}

// goldenFacts make every kind of pair there is.
func (h *house) goldenFacts() {
	web := event.Address{Channel: "push", Platform: "webpush", Value: "https://push.example/1", Extra: `{"auth":"a"}`}
	ann := identify("ann", "tablet", attr("city", "Pune"), attr("email", "ann@x"), attr("score", -7), attr("rate", 2.5), attr("tags", []string{"a", "b"}),
		event.Change{Key: "note", Value: value("hm"), Personal: true})
	ann.ID, ann.Ref = "f1", "m1"
	ann.Addresses = []event.Address{email("Ann@X"), web}
	ann.Consents = []event.Consent{consent("offers", "", true), consent("offers", "sms", false)}
	phone := identify("", "phone", attr("plan", "basic"))
	phone.Addresses = []event.Address{token("T")}
	carl := identify("carl", "watch")
	carl.Addresses = []event.Address{email("carl@x"), email("bad@x")}
	carl.Consents = []event.Consent{consent("news", "email", true)}
	h.apply(ann, phone, track("ann", "phone"), // 2 is merged
		track("bob", ""), track("", "desk"), track("bob", "desk"), event.Fact{Kind: event.Demerge, User: "bob"}, // 4 is kept apart
		carl, bounce(5, "email", "hard"))
	h.update(func(t *kv.Txn) error {
		if err := h.SealEvent(t, 1, -5, "Paid", []event.Prop{{Key: "card", Value: value("4"), Personal: true}}); err != nil {
			return err
		}
		if err := h.SealEvent(t, 1, -5, "Paid", []event.Prop{{Key: "card", Value: value("5"), Personal: true}}); err != nil {
			return err
		}
		return h.Erase(t, 5)
	})
	// Numbers of the erased wait in a set until they are swept.
	h.apply(listed("vips", ListPart{Line: 1, Last: true, Source: "a"}, "ann", "nobody", "desk"), listed("vips", ListPart{Line: 1, Source: "b"}, "bob"),
		listed("all", ListPart{Line: 1, Add: true, Source: "c"}, "phone"), track("dora", ""), listed("all", ListPart{Line: 2, Add: true, Source: "c"}, "dora"))
	h.update(func(t *kv.Txn) error { return h.Erase(t, 6) })
}

// sealing tells what seals the value of a key, nil if nothing does; number 0 is
// the publisher itself.
func sealing(ks kv.Keyspace, key []byte) (number uint32, aad []byte) {
	switch {
	case ks == kv.PeopleEvents:
		return binary.BigEndian.Uint32(key), aadEvents
	case key[0] == keyRecord:
		return binary.BigEndian.Uint32(key[1:]), aadRecord
	case key[0] == keyLedger:
		return binary.BigEndian.Uint32(key[1:]), aadLedger
	case key[0] == keyList:
		return 0, []byte(aadList)
	case key[0] == keySet:
		return 0, []byte(aadSet)
	}
	return 0, nil
}

func (h *house) openValue(n uint32, aad, key, val []byte) ([]byte, error) {
	if n == 0 {
		return h.openWith(string(aad), key, val)
	}
	return h.keys.OpenPerson(n, aad, val)
}

func (h *house) sealValue(n uint32, aad, key, val []byte) ([]byte, error) {
	if n == 0 {
		return h.sealWith(string(aad), key, val)
	}
	return h.keys.SealPerson(n, aad, val)
}

// dump writes every pair on a line.
func (h *house) dump() string {
	var b strings.Builder
	err := h.db.View(func(t *kv.Txn) error {
		for _, ks := range []kv.Keyspace{kv.People, kv.PeopleEvents} {
			err := t.Scan(ks, nil, nil, func(key, val []byte) (err error) {
				if n, aad := sealing(ks, key); aad != nil {
					if val, err = h.openValue(n, aad, key, val); err != nil {
						return err
					}
				}
				fmt.Fprintf(&b, "%d %x %x\n", ks, key, val)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return b.String()
}

// restore is the inverse of dump.
func (h *house) restore(text string) {
	h.update(func(t *kv.Txn) error {
		for line := range strings.Lines(text) {
			parts := strings.Split(strings.TrimSuffix(line, "\n"), " ")
			key, err := hex.DecodeString(parts[1])
			if err != nil {
				return err
			}
			val, err := hex.DecodeString(parts[2])
			if err != nil {
				return err
			}
			ks := kv.People
			if parts[0] == fmt.Sprint(kv.PeopleEvents) {
				ks = kv.PeopleEvents
			}
			if n, aad := sealing(ks, key); aad != nil {
				if val, err = h.sealValue(n, aad, key, val); err != nil {
					return err
				}
			}
			if err := t.Set(ks, key, val); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestVersion1IsWrittenAndReadTheSame(t *testing.T) {
	h := openFixed(t)
	h.goldenFacts()
	if *update {
		if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(h.dump()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got := h.dump(); got != string(want) {
		t.Errorf("written:\n%s\nwant:\n%s", got, want)
	}
	prefixes := map[byte]bool{}
	for line := range strings.Lines(string(want)) {
		if p, err := hex.DecodeString(line[2:4]); err == nil && line[0] == '0'+byte(kv.People) {
			prefixes[p[0]] = true
		}
	}
	if len(prefixes) != 12 {
		t.Errorf("%d kinds of key are in it", len(prefixes))
	}

	other := openFixed(t)
	other.restore(string(want))
	other.reopen()
	if got, live := other.doors(), h.doors(); got != live {
		t.Errorf("read:\n%s\nwant:\n%s", got, live)
	}
}

// goldenPlain gives the stored forms of one kind, as seeds.
func goldenPlain(f *testing.F, aad []byte) (out [][]byte) {
	text, err := os.ReadFile(golden)
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.Fields(line)
		key, _ := hex.DecodeString(parts[1])
		ks := kv.People
		if parts[0] == fmt.Sprint(kv.PeopleEvents) {
			ks = kv.PeopleEvents
		}
		if _, a := sealing(ks, key); a != nil && bytes.Equal(a, aad) && len(parts) == 3 {
			val, _ := hex.DecodeString(parts[2])
			out = append(out, val)
		}
	}
	if len(out) == 0 {
		f.Fatal("no seeds")
	}
	return out
}

// Whatever the bytes, decoding ends in ErrDamaged or in what encodes back.
func FuzzRecord(f *testing.F) {
	for _, b := range goldenPlain(f, aadRecord) {
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Add([]byte{recordVersion, 0, 0, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord(b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("not a sentinel: %v", err)
			}
			return
		}
		again, err := decodeRecord(r.encode())
		if err != nil {
			t.Fatal(err)
		}
		// Sizes are of the bytes, and a number may be written longer than need be.
		same := len(r.attributes) == len(again.attributes)
		for i := 0; same && i < len(r.attributes); i++ {
			a, b := &r.attributes[i], &again.attributes[i]
			same = a.value.Equal(b.value)
			*a, *b = attribute{key: a.key, personal: a.personal, absorbed: a.absorbed}, attribute{key: b.key, personal: b.personal, absorbed: b.absorbed}
		}
		if !same || !reflect.DeepEqual(r, again) {
			t.Errorf("%+v became %+v", r, again)
		}
	})
}

func FuzzLedgerLine(f *testing.F) {
	for _, b := range goldenPlain(f, aadLedger) {
		f.Add(b)
		f.Add(b[:len(b)-1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, fact, ref, err := decodeLine(b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("not a sentinel: %v", err)
			}
			return
		}
		d2, fact2, ref2, err := decodeLine(appendText(appendText(appendDecision(nil, &d), fact), ref))
		if err != nil || d != d2 || fact != fact2 || ref != ref2 {
			t.Errorf("%+v became %+v, %v", d, d2, err)
		}
	})
}

func FuzzEvent(f *testing.F) {
	for _, b := range goldenPlain(f, aadEvents) {
		f.Add(b)
		f.Add(b[:len(b)-1])
		f.Add(append(b, 0))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEvent(b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("not a sentinel: %v", err)
			}
			return
		}
		again, err := decodeEvent(event.AppendProps(appendText(nil, e.Name), e.Props))
		if err != nil || e.Name != again.Name || !event.OfObject(e.Props).Equal(event.OfObject(again.Props)) {
			t.Errorf("%+v became %+v, %v", e, again, err)
		}
	})
}

// A record at all its ceilings, of the longest texts that a door takes, still
// fits in a value once it is sealed: else its person would stop the applier.
func TestTheFullestRecordFits(t *testing.T) {
	l := event.DefaultLimits()
	text := func(n int) string { return strings.Repeat("x", n) }
	const late = 1 << 52
	r := &record{created: late, seen: late}
	for range maxIdentities {
		r.identities = append(r.identities, identityEntry{Identity: Identity{text(l.Identity), late}})
	}
	for range maxDevices {
		r.devices = append(r.devices, deviceEntry{Device: Device{text(l.Identity), late, late}})
	}
	for range maxAttributes {
		v := event.OfText(text(maxWeight/maxAttributes - 20))
		r.attributes = append(r.attributes, attribute{key: text(16), value: v})
	}
	for range maxDecisions {
		r.decisions = append(r.decisions, decision{seq: 1 << 60, ConsentState: ConsentState{
			Purpose: text(l.Key), Channel: text(l.Key), Since: late, Source: text(l.Key), Version: text(l.Key)}})
	}
	for range maxAddresses {
		r.addresses = append(r.addresses, addressEntry{since: late, device: text(l.Identity), Address: event.Address{
			Channel: "webhook", Platform: text(l.Key), Value: text(l.Text), Extra: text(l.Text)}})
	}
	if n := len(r.encode()) + 64; n > kv.MaxValue {
		t.Errorf("%d bytes, and a value may have %d", n, kv.MaxValue)
	}
}
