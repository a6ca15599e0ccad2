//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestJudge: the table's line can be other than clean. Each case is the clean
// campaign (three sent; one unknown and delivered, one unknown and not) with one
// thing wrong.
func TestJudge(t *testing.T) {
	const clean = "m0 u0@x\nm1 u1@x\nm2 u2@x\nm3 u3@x\n"
	for _, test := range []struct {
		name             string
		got              string
		spoil            func(v *verdict)
		lost, duplicated int
	}{
		{"clean", clean, nil, 0, 0},
		{"a message twice", clean + "m1 u1@x\n", nil, 0, 1},
		{"an unknown message twice", clean + "m3 u3@x\nm3 u3@x\n", nil, 0, 2},
		{"two messages to one person", clean + "m4 u1@x\n", nil, 0, 1},
		{"sent and not got", strings.Replace(clean, "m1 u1@x\n", "", 1), nil, 1, 0},
		{"got and not known", clean + "m9 u9@x\n", nil, 1, 0},
		{"unknown and not listed", clean, func(v *verdict) { delete(v.listed, "m3") }, 1, 0},
		{"sent and listed as unknown", clean, func(v *verdict) { v.listed["m0"] = true }, 1, 0},
		{"listed and not there", clean, func(v *verdict) { v.listed["m9"] = true }, 1, 0},
		{"told twice", clean, func(v *verdict) { v.sent["m0"] = 2 }, 1, 0},
		{"unknown and not told", clean, func(v *verdict) { delete(v.failed, "m4") }, 1, 0},
		{"still waiting", clean, func(v *verdict) { v.messages[0].State = "waiting" }, 1, 0},
		{"a person skipped", clean, func(v *verdict) { v.messages = v.messages[:4]; delete(v.listed, "m4") }, 1, 0},
		{"a message for a person too many", clean + "m5 u0@y\n", func(v *verdict) {
			v.messages = append(v.messages, told{"m5", "sent", "", "u0"})
			v.sent["m5"] = 1
		}, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "got")
			if err := os.WriteFile(file, []byte(test.got), 0o600); err != nil {
				t.Fatal(err)
			}
			v := &verdict{
				messages: []told{{"m0", "sent", "", "u0"}, {"m1", "sent", "", "u1"}, {"m2", "sent", "", "u2"}, {"m3", "unknown", "", "u3"}, {"m4", "unknown", "", "u4"}},
				listed:   map[string]bool{"m3": true, "m4": true},
				sent:     map[string]int{"m0": 1, "m1": 1, "m2": 1},
				failed:   map[string]int{"m3": 1, "m4": 1},
			}
			var err error
			if v.got, v.addresses, err = sunk(file); err != nil {
				t.Fatal(err)
			}
			if test.spoil != nil {
				test.spoil(v)
			}
			r := v.judge(5, 1)
			if r.lost != test.lost || r.duplicated != test.duplicated {
				t.Errorf("%d lost and %d duplicated, not %d and %d: %v", r.lost, r.duplicated, test.lost, test.duplicated, r.notes)
			}
			if r.rounds = 1; r.bad() != (test.lost+test.duplicated > 0) {
				t.Error("the table says otherwise")
			}
		})
	}
}

// TestJudgeDevices: who has two devices gets two messages, one to each.
func TestJudgeDevices(t *testing.T) {
	for name, test := range map[string]struct {
		addresses        map[string]int
		messages         []told
		lost, duplicated int
	}{
		"clean":            {map[string]int{"u0-0": 1, "u0-1": 1}, []told{{"m0", "sent", "", "u0"}, {"m1", "sent", "", "u0"}}, 0, 0},
		"a device skipped": {map[string]int{"u0-0": 1}, []told{{"m0", "sent", "", "u0"}}, 1, 0},
		"one got both":     {map[string]int{"u0-0": 2}, []told{{"m0", "sent", "", "u0"}, {"m1", "sent", "", "u0"}}, 0, 1},
	} {
		v := &verdict{messages: test.messages, addresses: test.addresses, got: map[string]int{}, sent: map[string]int{}}
		for _, m := range test.messages {
			v.got[m.Message], v.sent[m.Message] = 1, 1
		}
		if r := v.judge(1, 2); r.lost != test.lost || r.duplicated != test.duplicated {
			t.Errorf("%s: %d lost and %d duplicated: %v", name, r.lost, r.duplicated, r.notes)
		}
	}
}
