package ingest

import "github.com/cloisterhq/cloister/appliance/event"

// plain says whether a fact that a parser here made is one that event.Check
// surely takes, as nearly all are: names and ids in printable ASCII, everything
// within the limits. It is there for speed alone: what is not plain goes to
// Check, whose word counts, and the fuzz tests ask Check about all that is taken.
// Texts are valid UTF-8, numbers finite and names unique by the parser's rules.
func plain(f *event.Fact, l *event.Limits) bool {
	return f.Kind == event.Track && f.Person == 0 &&
		len(f.Changes)+len(f.Addresses)+len(f.Consents) == 0 &&
		f.User != f.Device && // neither is there, or something is odd
		f.Name != "" && !event.Own(f.Name) && !event.Placeholder(f.User) && !event.Placeholder(f.Device) &&
		plainID(f.ID, l.ID) && plainID(f.User, l.Identity) && plainID(f.Device, l.Identity) && f.Previous == "" &&
		plainID(f.Name, l.Name) && plainProps(f.Props, l, 0)
}

func plainProps(ps []event.Prop, l *event.Limits, depth int) bool {
	if len(ps) > l.Properties {
		return false
	}
	for i := range ps {
		if p := &ps[i]; p.Key == "" || !plainID(p.Key, l.Key) || !plainValue(&p.Value, l, depth+1) {
			return false
		}
	}
	return true
}

func plainValue(v *event.Value, l *event.Limits, depth int) bool {
	switch v.Kind() {
	case event.Text:
		return len(v.Text()) <= l.Text
	case event.List:
		if depth > l.Depth || len(v.List()) > l.List {
			return false
		}
		for i := range v.List() {
			if !plainValue(&v.List()[i], l, depth+1) {
				return false
			}
		}
	case event.Object:
		return depth <= l.Depth && plainProps(v.Object(), l, depth)
	}
	return true
}

func plainID(s string, limit int) bool {
	if len(s) > limit {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
