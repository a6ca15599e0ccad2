package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/minio/highwayhash"

	"github.com/cloisterhq/cloister/appliance/event"
)

func checkOf(parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)[:tagBytes]
}

// golden compares with bytes that were written by the first release.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	want, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatalf("%v; it would be\n%x", err, got)
	}
	if s := hex.EncodeToString(got); s != strings.TrimSpace(string(want)) {
		t.Errorf("%s is now\n%s", name, s)
	}
}

func TestGoldenBytes(t *testing.T) {
	c := Cursor{0x0102030405060708, 9}
	facts := event.AppendFact(nil, &event.Fact{Kind: event.Track, ID: "m1", Time: 1_700_000_000_000_000, User: "u1", Name: "Order Placed"})
	// Another version of S2 may pack otherwise; what was packed must open.
	text, err := os.ReadFile("testdata/record-v1.hex")
	if err != nil {
		t.Fatal(err)
	}
	record, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	back, err := openRecord(plainSealer{}, "shop", c, record)
	if err != nil || !bytes.Equal(back, facts) {
		t.Fatalf("%x, %v", back, err)
	}
	for _, other := range []Cursor{{c.Incarnation, 10}, {1, 9}} {
		if _, err := openRecord(plainSealer{}, "shop", other, record); err == nil {
			t.Errorf("a record of %v opens as one of %v", c, other)
		}
	}
	if _, err := openRecord(plainSealer{}, "bank", c, record); err == nil {
		t.Error("a record of one publisher opens as another's")
	}

	m := mark{incarnation: c.Incarnation, trimmed: 3, last: 9, tag: tagOf(record)}
	slot := encodeMark(m, 77)
	golden(t, "mark-v1.hex", slot)
	got, count, ok := decodeMark(slot)
	if !ok || got != m || count != 77 {
		t.Fatalf("%+v %d %v", got, count, ok)
	}

	b, err := c.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "cursor-v1.hex", b)
	if got, err := ParseCursor(b); err != nil || got != c {
		t.Fatalf("%v, %v", got, err)
	}
	if _, err := ParseCursor(b[1:]); err == nil {
		t.Error("a short cursor was taken")
	}
}

func FuzzOpenRecord(f *testing.F) {
	c := Cursor{1, 2}
	facts := event.AppendFact(nil, &event.Fact{Kind: event.Track, ID: "m1", Name: "x"})
	record, _, err := sealRecord(openSealer{}, "shop", c, facts, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(record)
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := openRecord(openSealer{}, "shop", c, b)
		if err != nil {
			return
		}
		if _, err := event.DecodeFacts(facts); err != nil {
			return
		}
	})
}

// openSealer authenticates nothing, so that fuzzing reaches what is behind.
type openSealer struct{}

func (openSealer) SealRecord(plain, aad []byte) ([]byte, error)  { return plain, nil }
func (openSealer) OpenRecord(sealed, aad []byte) ([]byte, error) { return sealed, nil }

func FuzzDecodeMark(f *testing.F) {
	f.Add(encodeMark(mark{incarnation: 1, last: 2}, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, count, ok := decodeMark(b)
		if ok && !bytes.Equal(encodeMark(m, count)[8:], b[8:]) {
			t.Fatalf("%x reads as %+v", b, m)
		}
	})
}

func FuzzSurveyBlock(f *testing.F) {
	key := sha256.Sum256([]byte("journal-1"))
	f.Add([]byte{40, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := highwayhash.New64(key[:])
		if err != nil {
			t.Fatal(err)
		}
		var s survey
		s.block(b, h, 1)
	})
}
