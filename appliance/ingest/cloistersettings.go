package ingest

import (
	"net/http"
	"slices"

	"github.com/cloisterhq/cloister/appliance/event"
)

// Purpose is what consent can be given for, as an app shows it.
type Purpose struct {
	Name     string
	Title    string
	Contract bool     // goes out without consent, so that it cannot be declined
	Channels []string // empty = all
}

// cloisterSettings says what a device may collect, and what its app can ask
// people about. Everything in it is as public as the key.
func (d *Door) cloisterSettings(w http.ResponseWriter, r *http.Request) {
	key, ok := d.o.Key(cloisterKey(r))
	if !ok {
		writeJSON(w, errKey.status, failure(errKey.status, errKey.message))
		return
	}
	w.Header().Set("Cache-Control", "no-store") // it may say that somebody opted out
	pub := key.Publisher
	purposes := make([]event.Value, 0, len(pub.Purposes))
	for _, u := range pub.Purposes {
		purposes = append(purposes, event.OfObject([]event.Prop{
			{Key: "name", Value: event.OfText(u.Name)},
			{Key: "title", Value: event.OfText(u.Title)},
			{Key: "contract", Value: event.OfBool(u.Contract)},
			{Key: "channels", Value: texts(u.Channels)},
		}))
	}
	collect := true
	if device := r.URL.Query().Get("anonymous"); device != "" && pub.OptedOut != nil {
		collect = !pub.OptedOut(device)
	}
	writeJSON(w, http.StatusOK, event.OfObject([]event.Prop{
		{Key: "collect", Value: event.OfBool(collect)},
		{Key: "purposes", Value: event.OfList(purposes)},
		{Key: "properties", Value: pub.Rules.public()},
		{Key: "push", Value: event.OfText(pub.webPush())},
	}))
}

// public are the rules that a device can apply before it sends: what is denied
// need not leave it. "*" stands for the events without rules of their own.
func (r *Rules) public() event.Value {
	names := make([]string, 0, len(r.Events))
	for name := range r.Events {
		names = append(names, name)
	}
	slices.Sort(names)
	out := make([]event.Prop, 0, len(names))
	for _, name := range names {
		rule := r.Events[name]
		one := []event.Prop{{Key: "deny", Value: texts(rule.Deny)}}
		if rule.Allow != nil {
			one = append(one, event.Prop{Key: "allow", Value: texts(slices.Concat(rule.Allow, rule.Personal))})
		}
		out = append(out, event.Prop{Key: name, Value: event.OfObject(one)})
	}
	return event.OfObject(out)
}

func texts(all []string) event.Value {
	out := make([]event.Value, len(all))
	for i, s := range all {
		out[i] = event.OfText(s)
	}
	return event.OfList(out)
}
