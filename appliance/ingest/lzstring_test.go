package ingest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"
)

// What lz-string 1.5.0 makes of these.
func TestLZString(t *testing.T) {
	for want, packed := range map[string]string{
		"a":                     "IZA=",
		strings.Repeat("a", 24): "IY18aQ==",
		`{"event":"Ünï 𝒳","x":[1,2,3,1,2,3]}`:                    "N4IgpgbmB2AuIC4QB3oHuAEhWDcM07IA0IAHogNoCM+ATPgMz6U20C6AvkA=",
		"日本語テキスト日本語テキスト":                                         "qemhpzR5UYYwyLUMidDIEwykrOQ=",
		"hello hello hello":                                      "BYUwNmD2AEoTcpAA",
		"नमस्ते 😀 €":                                             "hSQjpIQckIspCCSQjikABIXg3AAe3QNQRAA=",
		`{"type":"event","evtName":"A One","evtData":{"k":"v"}}`: "N4IgLgngDgpiBcIYDcYDswgDROWAcgIYC2ciAggAQDyacOKYAIoWIQqANYIjIgC+/IA=",
	} {
		got, err := lzDecode(packed, 1000)
		if err != nil || got != want {
			t.Errorf("%q, %v; not %q", got, err, want)
		}
		for cut := range strings.TrimRight(packed, "A=") {
			if got, err := lzDecode(packed[:cut], 1000); err == nil {
				t.Errorf("%q of %d bytes", got, cut)
			}
		}
		if _, err := lzDecode(packed, len(want)-1); len(want) > 1 && !errors.Is(err, errLZLarge) {
			t.Errorf("%q within %d bytes: %v", want, len(want)-1, err)
		}
	}
	a := newDoor(t)
	a.want(a.send("POST", "/e/?compression=lz64", "data=N4IghgDglg+g1gUwJ4gFwgOoCUCSAVAUQGkCBNEAGhAQDcEA7AFzRAEFKQATKAZ0anoBjRjCicWAVw78Atgj5gZEFgCYADCoBsAWgCMu7SoDMeXZtRq1FtQC0QAXyA=="), 200, `"status":1`)
	a.wantFacts(`track user=u name=A at=2026-11-23T16:00:00Z`)
	a.want(a.send("POST", "/e/?compression=lz64", "data=IZA"), 400)
}

func FuzzLZString(f *testing.F) {
	f.Add("IZA=")
	f.Add("IY18aQ==")
	f.Fuzz(func(t *testing.T, packed string) {
		if s, err := lzDecode(packed, 1<<16); err == nil && (len(s) > 1<<16 || strings.ToValidUTF8(s, "") != s) {
			t.Errorf("%d bytes", len(s))
		}
	})
}

// Every value that CleverTap's library was recorded to send, in two ways.
func TestLZStringRecorded(t *testing.T) {
	n := 0
	for _, c := range recordedCalls(t) {
		for name, decoded := range map[string]json.RawMessage{"d": c.Decoded, "arp": c.ARP} {
			if c.Query[name] == "" {
				continue
			}
			n++
			text, err := clevertapPlain(c.Query[name])
			var got, want any
			if err != nil || json.Unmarshal([]byte(text), &got) != nil || json.Unmarshal(decoded, &want) != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%d: %q, %v; not %s", c.N, text, err, decoded)
			}
			if back, err := lzDecode(lzPack(text), len(text)); err != nil || back != text {
				t.Errorf("%d: %q comes back as %q, %v", c.N, text, back, err)
			}
		}
	}
	if n < 130 {
		t.Errorf("%d values", n)
	}
	if _, err := clevertapPlain(lzPack(strings.Repeat("a", clevertapMaxCall+1))); statusOf(err) != 413 {
		t.Error(err)
	}
}

// lzPack packs a text as LZString may, though it never does: all literally.
func lzPack(text string) string {
	var packed []byte
	bits := 0
	put := func(n, width int) {
		for ; width > 0; width-- {
			if bits%8 == 0 {
				packed = append(packed, 0)
			}
			packed[bits/8] |= byte(n&1) << (7 - bits%8)
			n >>= 1
			bits++
		}
	}
	width, enlarge := 2, 1<<30
	for i, unit := range utf16.Encode([]rune(text)) {
		if unit < 256 {
			put(0, width)
			put(int(unit), 8)
		} else {
			put(1, width)
			put(int(unit), 16)
		}
		if i == 0 {
			width, enlarge = 3, 4
			continue
		}
		for range 2 { // the unit, and the pair that it makes
			if enlarge--; enlarge == 0 {
				enlarge = 1 << width
				width++
			}
		}
	}
	put(2, width)
	return base64.StdEncoding.EncodeToString(packed)
}
