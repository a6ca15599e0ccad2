package event

import (
	"errors"
	"testing"
)

func TestPlaceholders(t *testing.T) {
	for _, id := range []string{
		"undefined", "Undefined", "null", "NULL", "nil", "<nil>", "None", "NaN", "n/a", "N/A", "unknown", "anonymous", "ANONYMOUS", "guest",
		"true", "False", "[object Object]", "{}", "[]", "id", "distinct_id", "email", "0", "-", "__", "0000000000",
		"00000000-0000-0000-0000-000000000000", "00000000000000000000000000000000", "__00000000000000000000000000000000", " null ", "   ",
	} {
		for _, f := range []Fact{
			{Kind: Track, Name: "x", User: id}, {Kind: Track, Name: "x", Device: id}, {Kind: Alias, User: "u", Previous: id},
			{Kind: Identify, User: "u", Device: id},
		} {
			var r *Refusal
			if err := Check(&f, DefaultLimits()); !errors.As(err, &r) || r.Code != RefusedNoID {
				t.Errorf("%q of %+v: %v", id, f, err)
			}
		}
	}
	for _, id := range []string{"", "1", "00000000-0000-0000-0000-000000000001", "asha", "none of your business", "anonymous-7", "null@bank.example", "id7", "-1", "0x0"} {
		if Placeholder(id) {
			t.Errorf("%q is an id", id)
		}
	}
}
