package host

import (
	"errors"
	"testing"

	"github.com/cloisterhq/cloister/plugins/connector"
)

func TestWorks(t *testing.T) {
	r := newRig(t, Options{}, "good")
	d, s, err := r.Describe(t.Context(), "good")
	if err != nil {
		t.Fatal(err)
	}
	if d.Name != "good" || d.Batch != 10 || len(s.Settings) != 6 || len(s.Blocks) != 1 || s.Blocks[0].Settings[1].Default != true {
		t.Errorf("description %+v, schema %+v", d, s)
	}
	c := r.start(t, "good")
	outs, err := c.Send(short(t), messages(25))
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range outs {
		if o.ID != messages(25)[i].ID || o.Result != connector.Accepted {
			t.Errorf("outcome %d: %+v", i, o)
		}
	}
	if outs[0].ProviderID != "1/10" || outs[24].ProviderID != "3/5" {
		t.Errorf("not split as described: %q, %q", outs[0].ProviderID, outs[24].ProviderID)
	}
	if err := c.Check(short(t)); err != nil {
		t.Error(err)
	}
	st := c.Status()
	if st.State != Running || st.Sent.Accepted != 25 || st.PID == 0 || st.Version != "0.1.0" || len(st.SHA256) != 64 {
		t.Errorf("status %+v", st)
	}
	t.Log("sandbox:", st.Sandbox)
	if err := c.Drain(short(t)); err != nil {
		t.Error(err)
	}
	var unsent *NotSent
	if _, err := c.Send(short(t), messages(1)); !errors.As(err, &unsent) || !errors.Is(err, ErrClosed) {
		t.Errorf("Send after Drain: %v", err)
	}
	if st := c.Status(); st.State != Stopped || st.PID != 0 {
		t.Errorf("status after Drain %+v", st)
	}
}
