package console

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"github.com/cloisterhq/cloister/appliance/people"
)

type listJSON struct {
	Name      string     `json:"name"`
	People    uint64     `json:"people"`
	Unknown   uint64     `json:"unknown"`
	Changed   *time.Time `json:"changed"` // null: it is not in force yet
	Uploading bool       `json:"uploading"`
}

func listed(l people.ListInfo) listJSON {
	return listJSON{Name: l.Name, People: l.People, Unknown: l.Unknown, Changed: stamp(l.Changed), Uploading: l.Upload != ""}
}

func (c *Console) lists(r *request) error {
	out := []listJSON{}
	for _, l := range r.publisher.Lists() {
		out = append(out, listed(l))
	}
	return ok(r, map[string]any{"lists": out})
}

func (c *Console) findList(r *request) (people.ListInfo, error) {
	all := r.publisher.Lists()
	i := slices.IndexFunc(all, func(l people.ListInfo) bool { return l.Name == r.PathValue("name") })
	if i < 0 {
		return people.ListInfo{}, notFound()
	}
	return all[i], nil
}

func (c *Console) list(r *request) error {
	l, err := c.findList(r)
	if err != nil {
		return err
	}
	return ok(r, listed(l))
}

func (c *Console) uploadList(r *request) error {
	name, err := savedName(r, "list")
	if err != nil {
		return err
	}
	if err := known(r, "source", "line", "mode", "last"); err != nil {
		return err
	}
	in := ListUpload{Source: r.URL.Query().Get("source"), Body: r.body}
	if in.Line, err = number(r, "line", 1, 1, 1<<53); err != nil {
		return err
	}
	if err := checkSource(in.Source); err != nil {
		return err
	}
	switch r.URL.Query().Get("last") {
	case "true":
		in.Last = true
	case "", "false":
	default:
		return badValue("last", "true or false")
	}
	if in.Source == "" { // all of it at once
		var id [16]byte
		rand.Read(id[:])
		in.Source, in.Last = hex.EncodeToString(id[:]), true
	}
	switch r.URL.Query().Get("mode") {
	case "add":
		in.Add = true
	case "", "replace":
	default:
		return badValue("mode", "replace or add")
	}
	leave, err := c.enter()
	if err != nil {
		return err
	}
	defer leave()
	var l people.ListInfo
	var lines Imported
	err = c.change(r, "list.upload", "list "+name+" source "+in.Source+" line "+strconv.FormatInt(in.Line, 10), func() (err error) {
		l, lines, err = r.publisher.UploadList(r.Context(), name, in)
		return err
	})
	if err != nil {
		return err
	}
	return ok(r, struct {
		listJSON
		Taken   int64         `json:"taken"`
		Refused []RefusedLine `json:"refused"`
	}{listed(l), lines.Taken, list(lines.Refused)})
}

func (c *Console) deleteList(r *request) error {
	l, err := c.findList(r)
	if err != nil {
		return err
	}
	return c.done(r, "list.delete", "list "+l.Name, func() error { return r.publisher.DeleteList(r.Context(), l.Name) })
}
