package connector

import (
	"strings"
	"testing"
)

func TestOptOut(t *testing.T) {
	usual := NewOptOut(nil, nil)
	for text, want := range map[string]ReceiptKind{
		"STOP": Unsubscribed, "stop": Unsubscribed, " Stop! ": Unsubscribed, "Stop ACME please": Unsubscribed,
		"stop all": Unsubscribed, "“STOP”": Unsubscribed, "Arrêt": Unsubscribed, "退订": Unsubscribed, "TD": Unsubscribed,
		"стоп": Unsubscribed, "बंद": Unsubscribed, "START": Subscribed, "unstop": Subscribed,
		"Start again": Replied, "When does it stop?": Replied, "Stop by the shop on Monday": Replied, "": Replied, "!!": Replied,
		"yes": Replied, strings.Repeat("stop", 10_000): Replied,
	} {
		if got := usual.Asks(text); got != want {
			t.Errorf("%.40q: %s, want %s", text, got, want)
		}
	}
	own := NewOptOut([]string{"genug"}, []string{})
	if own.Asks("GENUG") != Unsubscribed || own.Asks("stop") != Replied {
		t.Error("own words do not replace the usual ones")
	}
	if own.Asks("start") != Replied || NewOptOut([]string{"..."}, nil).Stops() || (OptOut{}).Asks("stop") != Replied {
		t.Error("words that nobody gave")
	}
}
