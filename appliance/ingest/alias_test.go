package ingest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
)

// An alias of the longest id there may be is not refused for its second fact.
func TestAliasOfLongID(t *testing.T) {
	a := newDoor(t)
	id := strings.Repeat("m", event.DefaultLimits().ID)
	for path, body := range map[string]string{
		"/e/":    `{"api_key":"WRITEKEY","event":"$create_alias","distinct_id":"u","uuid":%q,"properties":{"alias":"v"}}`,
		"/track": `{"event":"$create_alias","properties":{"token":"WRITEKEY","distinct_id":"u","alias":"v","$insert_id":%q}}`,
	} {
		for range 2 {
			a.want(a.send("POST", path, fmt.Sprintf(body, id)), 200)
		}
		if got := a.facts(); len(got) != 4 || got[1].ID != got[3].ID || got[0].ID == got[1].ID {
			t.Errorf("%s: %d facts", path, len(got))
		}
	}
}
