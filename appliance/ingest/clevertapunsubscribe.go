package ingest

import (
	_ "embed"
	"net/http"
	"strings"

	"github.com/cloisterhq/cloister/appliance/event"
)

//go:embed clevertapunsubscribe.js
var clevertapUnsubscribe string

// clevertapEmail answers the library on a page where somebody unsubscribes, with
// a script that asks and tells the recipient's own address (links), which is
// what the page's e stands for. Here nothing is looked up and nothing changes:
// the library has only GETs, and scanners follow those.
func (d *Door) clevertapEmail(w http.ResponseWriter, r *http.Request) {
	c, key, release, ok := d.clevertapRead(w, r)
	if !ok {
		return
	}
	defer release()
	token := c.query.Get("e")
	if !clevertapGUID(token) || strings.ContainsAny(token, ".:") {
		clevertapFail(w, http.StatusBadRequest, "e must be the last part of a recipient's address for unsubscribing")
		return
	}
	// Where the library's path has something before it, a proxy took it off, or
	// it comes as it is, and then the address begins at the host.
	at := "u/" + key.Publisher.Name + "/" + token
	if !strings.HasPrefix(r.RequestURI, "/e") {
		at = "/" + at
	}
	var groups []event.Value
	for _, g := range event.Lookup(c.o, "unsubGroups").List() {
		groups = append(groups, event.OfObject([]event.Prop{
			{Key: "name", Value: event.OfText(event.Lookup(g.Object(), "name").Text())},
			{Key: "isUnsubscribed", Value: event.OfBool(event.Lookup(g.Object(), "isUnsubscribed").Bool())},
		}))
	}
	said := event.OfObject([]event.Prop{
		{Key: "at", Value: event.OfText(at)}, {Key: "sub", Value: event.OfText(c.query.Get("sub"))},
		{Key: "global", Value: event.OfBool(c.query.Get("page_type") == "global")}, {Key: "groups", Value: event.OfList(groups)},
	})
	w.Header().Set("Cache-Control", "no-store")
	writeText(w, "text/javascript; charset=utf-8", strings.TrimSpace(clevertapUnsubscribe)+"("+inScript(said)+");\n")
}
