package host

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

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

func TestReceiptsAndForgetting(t *testing.T) {
	r := newRig(t, Options{}, "receiver", "good")
	c := r.start(t, "receiver")
	got, err := c.Receipts(short(t), connector.Webhook{Method: "POST", Headers: []connector.Header{{Name: "X-Sign", Value: "signed"}}})
	if err != nil {
		t.Fatal(err)
	}
	want := connector.Answer{
		Status: 202, Headers: []connector.Header{{Name: "Content-Type", Value: "text/xml"}},
		Receipts: []connector.Receipt{
			{MessageID: "m1", Kind: connector.Delivered, At: time.Unix(5, 0).UTC()},
			{ProviderID: "p1", Kind: connector.Bounced, Class: connector.ClassOther, Reason: "a b"},
			{Address: "+1", Kind: connector.Unsubscribed},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, err := c.Receipts(short(t), connector.Webhook{}); !errors.Is(err, connector.ErrForged) {
		t.Errorf("unsigned: %v", err)
	}
	if got := c.Given(); !slices.Equal(got.MailDomains, []string{"bounce.example"}) || got.WebPushKey != "" {
		t.Errorf("given %+v", got)
	}
	back, err := c.Returned(short(t), connector.Mail{To: "b+m1@bounce.example", Message: make([]byte, 5<<20)})
	if err != nil || !reflect.DeepEqual(back, []connector.Receipt{{MessageID: "m1", Kind: connector.Bounced, Class: connector.ClassAddress}}) {
		t.Errorf("returned: %+v, %v", back, err)
	}
	if _, err := c.Returned(short(t), connector.Mail{To: "else@bounce.example"}); !errors.Is(err, connector.ErrForged) {
		t.Errorf("forged mail: %v", err)
	}
	found, token, err := c.Collect(short(t), "")
	if err != nil || token != "1" || !reflect.DeepEqual(found, []connector.Receipt{{ProviderID: "p1", Kind: connector.Uninstall, Gone: connector.GoneStale}}) {
		t.Errorf("collected %+v %q, %v", found, token, err)
	}
	if found, _, err := c.Collect(short(t), token); err != nil || len(found) != 0 {
		t.Errorf("collected %+v again, %v", found, err)
	}
	if err := c.Forget(short(t), []string{"ana@example.com"}); err != nil {
		t.Error(err)
	}
	if err := c.Forget(short(t), []string{"bob@example.com"}); err == nil || errors.Is(err, ErrUnsupported) {
		t.Errorf("got %v", err)
	}
	plain := r.start(t, "good")
	if _, err := plain.Receipts(short(t), connector.Webhook{}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("got %v", err)
	}
	if err := plain.Forget(short(t), []string{"x"}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("got %v", err)
	}
	if err := plain.Close(); err != nil {
		t.Error(err)
	}
	if err := plain.Forget(short(t), []string{"x"}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := plain.Check(short(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// A process can make the host connect to a socket in its own folder only.
func TestPluginToHost(t *testing.T) {
	dir := t.TempDir()
	other := t.TempDir()
	for _, d := range []string{dir, other} {
		l, err := net.Listen("unix", filepath.Join(d, "s"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	os.WriteFile(filepath.Join(dir, "file"), nil, 0o600)
	os.Symlink(filepath.Join(other, "s"), filepath.Join(dir, "link"))
	c := &child{dir: dir}
	for _, tc := range []struct {
		network, address string
		ok               bool
	}{
		{"unix", filepath.Join(dir, "s"), true},
		{"tcp", "127.0.0.1:22", false},
		{"unixgram", filepath.Join(dir, "s"), false},
		{"unix", filepath.Join(other, "s"), false},
		{"unix", filepath.Join(dir, "link"), false},
		{"unix", filepath.Join(dir, "file"), false},
		{"unix", filepath.Join(dir, "missing"), false},
		{"unix", dir + "/../" + filepath.Base(other) + "/s", false},
		{"unix", dir + "//s", false},
		{"unix", "s", false},
		{"unix", "", false},
		{"unix", "@abstract", false},
	} {
		if _, _, err := c.PluginToHost(tc.network, tc.address); (err == nil) != tc.ok {
			t.Errorf("%s %s: %v", tc.network, tc.address, err)
		}
	}
	if _, _, err := c.HostToPlugin("unix", "/x"); err == nil {
		t.Error("a connector may be told of the host's addresses")
	}
}

// FuzzParseLine: whatever a connector prints, what reaches the log is lines of
// bounded text.
func FuzzParseLine(f *testing.F) {
	for _, s := range []string{"", "hello", `{"level":"warn","msg":"x","k":{"a":[1,2]}}`, `{"msg":5}`, "{", "panic: x\r\n\x1b[31m", `{"@message":"\u0000\u202e"}`, "\xff\xfe"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > logLine {
			return
		}
		_, msg, attrs := parseLine(raw)
		texts := []string{msg}
		for _, a := range attrs {
			texts = append(texts, a.Key, a.Value.String())
		}
		if len(attrs) > 16 {
			t.Errorf("%d attributes", len(attrs))
		}
		for _, s := range texts {
			if len(s) > logLine || strings.ContainsAny(s, "\r\n\x00\x1b\u202e") || !utf8.ValidString(s) {
				t.Errorf("%q became %q", raw, s)
			}
		}
	})
}

// A start that its caller gives up leaves nothing behind (newRig looks).
func TestStartIsGivenUp(t *testing.T) {
	tm := patient()
	tm.start = time.Hour // else nothing would be given up
	r := newRig(t, Options{timing: tm}, "silent")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := r.Start(ctx, instance("silent")); err == nil {
		t.Error("started")
	}
	cancel()
	if _, err := r.Start(ctx, instance("silent")); err == nil {
		t.Error("started")
	}
}

// A program that hangs while it is asked what it is holds up nobody who asks
// another, and ends with the host.
func TestDescribingHoldsUpNobody(t *testing.T) {
	tm := patient()
	tm.describe = time.Hour
	r := newRig(t, Options{timing: tm}, "slowdescribe", "good")
	given := make(chan error, 2)
	for range cap(given) { // the second waits for the first
		go func() {
			_, _, err := r.Describe(t.Context(), "slowdescribe")
			given <- err
		}()
	}
	asking := func() int {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.describing)
	}
	eventually(t, "it is asked", func() bool { return asking() == 1 })
	if _, _, err := r.Describe(t.Context(), "good"); err != nil {
		t.Error(err)
	}
	if err := r.start(t, "good").Check(short(t)); err != nil {
		t.Error(err)
	}
	if n := asking(); n != 1 || len(given) != 0 {
		t.Errorf("%d are being asked, %d have answered", n, len(given))
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	for range cap(given) {
		if err := <-given; err == nil {
			t.Error("described")
		}
	}
}
