package ingest

import (
	"slices"
	"strings"
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
)

func TestListLines(t *testing.T) {
	long := strings.Repeat("x", event.DefaultLimits().Identity+1)
	body := "ann\r\n  bob \n\n{\"user\": \"carl\"}\n{\"user\":7}\n{\"user\":\"\"}\n{\"anonymous\":\"d\"}\n{\"user\":\"x\"\n" + long + "\n\xff\na\u202eb\n{\"user\":\"a\\nb\"}\nlast"
	ids, lines, refused := ListLines(11, []byte(body))
	if want := []string{"ann", "bob", "carl", "7", "last"}; !slices.Equal(ids, want) || lines != 13 {
		t.Errorf("%q of %d lines", ids, lines)
	}
	var at []int64
	for _, r := range refused {
		at = append(at, r.Line)
		if r.Message == "" {
			t.Errorf("line %d is refused without a word", r.Line)
		}
	}
	if want := []int64{16, 17, 18, 19, 20, 21, 22}; !slices.Equal(at, want) {
		t.Errorf("refused %v", refused)
	}
	for text, want := range map[string]int64{"": 0, "\n": 1, "a\n": 1, "a\n\n": 2, "a\nb": 2} {
		if _, lines, _ := ListLines(1, []byte(text)); lines != want {
			t.Errorf("%q is %d lines", text, lines)
		}
	}
}

// FuzzListLines: what is taken may be an identity, and every line that is not
// empty is either.
func FuzzListLines(f *testing.F) {
	f.Add([]byte("ann\n{\"user\":\"bob\"}\n\n"))
	f.Add([]byte("{\"user\":[]}\n{"))
	f.Fuzz(func(t *testing.T, body []byte) {
		ids, lines, refused := ListLines(1, body)
		if int64(len(ids)+len(refused)) > lines {
			t.Errorf("%d taken, %d refused of %d lines", len(ids), len(refused), lines)
		}
		for _, id := range ids {
			if err := event.Check(&event.Fact{Kind: event.Identify, User: id}, event.DefaultLimits()); err != nil || strings.Contains(id, "\n") {
				t.Errorf("%q is taken: %v", id, err)
			}
		}
	})
}
