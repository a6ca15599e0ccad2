package ingest

import (
	"errors"
	"strings"
	"testing"
)

// What lz-string 1.5.0 makes of these.
func TestLZString(t *testing.T) {
	for want, packed := range map[string]string{
		"a":                     "IZA=",
		strings.Repeat("a", 24): "IY18aQ==",
		`{"event":"Ünï 𝒳","x":[1,2,3,1,2,3]}`: "N4IgpgbmB2AuIC4QB3oHuAEhWDcM07IA0IAHogNoCM+ATPgMz6U20C6AvkA=",
		"日本語テキスト日本語テキスト":                      "qemhpzR5UYYwyLUMidDIEwykrOQ=",
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
