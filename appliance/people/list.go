package people

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/kv"
)

// Bounds of uploaded lists.
const (
	MaxLists    = 100    // of a publisher, with those that are being uploaded
	MaxListName = 128    // bytes
	MaxListPart = 20_000 // identities
	// MaxListBytes bounds the identities of a part together, so that its fact
	// fits a record of the journal.
	MaxListBytes = 6 << 20
)

// Why a part of a list is refused: Resolved.Refused.
const (
	RefusedUpload = "upload" // it does not follow what was uploaded before
	RefusedLists  = "lists"  // there are MaxLists
)

// ListPart is part of an upload of a list: what a Programme fact of
// event.TypeList says beside the list's name, its Ref. An upload is its parts
// in the order of their lines. What replaces a list is gathered apart, and in
// force with the last part; what is added is in force at once. A part that
// begins with line 1 begins an upload anew, one that came before is passed
// over, and one that leaves a gap is refused.
type ListPart struct {
	Source string   `json:"source"` // names the upload
	Line   int64    `json:"line"`   // its first line in the source, from 1
	Lines  int64    `json:"lines"`  // how many lines it is made of
	Add    bool     `json:"add,omitempty"`
	Last   bool     `json:"last,omitempty"`
	People []string `json:"-"` // identities, or anonymous ids: no control characters
}

// Encode gives the Body of the fact: a line of JSON, then an identity a line.
func (l *ListPart) Encode() ([]byte, error) {
	head, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("encoding a part of a list: %w", err)
	}
	for _, id := range l.People {
		head = append(append(head, '\n'), id...)
	}
	return head, nil
}

func decodeListPart(b []byte) (*ListPart, error) {
	head, rest, some := bytes.Cut(b, []byte("\n"))
	l := &ListPart{}
	if err := json.Unmarshal(head, l); err != nil {
		return nil, err
	}
	if l.Line < 1 || l.Lines < 0 || l.Source == "" {
		return nil, errors.New("it names no source or no lines")
	}
	if some {
		for id := range bytes.SplitSeq(rest, []byte("\n")) {
			l.People = append(l.People, string(id))
		}
	}
	return l, nil
}

// uploaded is an uploaded list, as the applier has it.
type uploaded struct {
	name     string
	inForce  bool // else only its upload is there yet
	set      numberSet
	unknown  uint64 // identities that nobody had
	changed  int64  // when it was last in force anew
	finished string // the source of the last upload that ended
	upload   *upload
}

// upload is one that has not ended.
type upload struct {
	source  string
	add     bool
	next    int64     // the line that follows
	set     numberSet // what replaces the list; none of add
	unknown uint64
}

// applyList carries a fact about a list.
func (a *applying) applyList() error {
	p, name := a.p, a.f.Ref
	l := p.lists[name]
	if len(a.f.Body) == 0 {
		if l == nil {
			return nil
		}
		p.listsChanged = true
		delete(p.lists, name)
		return p.deleteList(a.t, l)
	}
	part, err := decodeListPart(a.f.Body)
	if err != nil || name == "" || len(name) > MaxListName || len(part.People) > MaxListPart {
		// The door checks; what is wrong here all the same must not stop the publisher.
		p.log.Error("a part of a list in the journal is not one and was left out", "error", err)
		return nil
	}
	if l == nil {
		if len(p.lists) >= MaxLists {
			a.refuse(RefusedLists)
			return nil
		}
		l = &uploaded{name: name, set: p.newSet()}
	}
	if why, err := a.takePart(l, part); err != nil || why != "" {
		a.refuse(why)
		return err
	}
	p.lists[name], p.listsChanged = l, true
	return p.saveList(a.t, l)
}

func (a *applying) takePart(l *uploaded, part *ListPart) (refused string, err error) {
	p, u := a.p, l.upload
	switch {
	case part.Line == 1:
		if u != nil {
			if err := p.dropUpload(a.t, l); err != nil {
				return "", err
			}
		}
		u = &upload{source: part.Source, add: part.Add}
		if !u.add {
			u.set = p.newSet()
		}
		l.upload = u
	case u == nil && l.finished == part.Source:
		return "", nil
	case u == nil || u.source != part.Source || u.add != part.Add || part.Line > u.next:
		return RefusedUpload, nil
	}
	if part.Line >= u.next {
		set := &u.set
		if u.add {
			set, l.inForce, l.changed = &l.set, true, a.time
		}
		unknown, err := a.join(set, part.People)
		if err != nil {
			return "", err
		}
		u.unknown += unknown
		if u.add {
			l.unknown += unknown
		}
		u.next = part.Line + part.Lines
	}
	if !part.Last {
		return "", nil
	}
	if !u.add {
		if err := p.deleteSet(a.t, &l.set); err != nil {
			return "", err
		}
		l.set, l.unknown = u.set, u.unknown
	}
	l.inForce, l.changed, l.finished, l.upload = true, a.time, u.source, nil
	return "", nil
}

// join puts people on a set, and counts the identities that nobody has. A
// number is kept as it is before merges, so that a demerge parts it again.
func (a *applying) join(set *numberSet, ids []string) (unknown uint64, err error) {
	fresh := roaring.New()
	for _, id := range ids {
		n := a.p.index.find(a.p.hashID(idIdentity, id))
		if n == 0 {
			n = a.p.index.find(a.p.hashID(idDevice, id))
		}
		switch {
		case n == 0 || a.p.erased.has(n):
			unknown++
		case !a.p.lost.has(n) && !set.people.has(n):
			fresh.Add(n)
		}
	}
	return unknown, a.p.addTo(a.t, set, fresh)
}

// dropUpload forgets an upload that did not end.
func (p *People) dropUpload(t *kv.Txn, l *uploaded) error {
	u := l.upload
	l.upload = nil
	if u.add {
		l.unknown -= u.unknown
		return nil
	}
	return p.deleteSet(t, &u.set)
}

func (p *People) deleteList(t *kv.Txn, l *uploaded) error {
	if l.upload != nil {
		if err := p.dropUpload(t, l); err != nil {
			return err
		}
	}
	if err := p.deleteSet(t, &l.set); err != nil {
		return err
	}
	return t.Delete(kv.People, p.listKey(l.name))
}

// leaveLists takes an erased number off every list. Its place in the stored
// bytes is Sweep's to take.
func (p *People) leaveLists(t *kv.Txn, n uint32) error {
	for _, l := range p.lists {
		sets := []*numberSet{&l.set}
		if l.upload != nil && !l.upload.add {
			sets = append(sets, &l.upload.set)
		}
		for _, s := range sets {
			if !s.people.has(n) {
				continue
			}
			s.people.set(n, false)
			p.listsChanged = true
			if err := t.Set(kv.People, setKey(keyListSweep, s.id, n), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// listView is a list as readers see it.
type listView struct {
	ListInfo
	inForce bool
	people  *roaring.Bitmap // numbers, as they are before merges
}

func (p *People) viewLists() map[string]*listView {
	out := make(map[string]*listView, len(p.lists))
	for name, l := range p.lists {
		v := &listView{ListInfo: ListInfo{Name: name, Unknown: l.unknown, Changed: l.changed, Finished: l.finished}, inForce: l.inForce, people: l.set.people.view()}
		if u := l.upload; u != nil {
			v.Upload, v.Next = u.source, u.next
		}
		out[name] = v
	}
	return out
}

// ListInfo tells of an uploaded list.
type ListInfo struct {
	Name     string
	People   uint64 // persons, as of now
	Unknown  uint64 // identities of its uploads that nobody had
	Changed  int64  // microseconds since 1970; 0 = it is not in force yet
	Finished string // the source of the last upload that ended
	Upload   string // the source of an upload that has not ended
	Next     int64  // the line that it goes on with
}

// Lists are the lists in force, in the order of their names.
func (s *Snapshot) Lists() []string {
	var out []string
	for name, l := range s.v.lists {
		if l.inForce {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// List is who is on a list that is in force, winners alone; nil if there is no
// such list. It belongs to the caller.
func (s *Snapshot) List(name string) *roaring.Bitmap {
	l := s.v.lists[name]
	if l == nil || !l.inForce {
		return nil
	}
	return s.v.persons(l.people)
}

// persons are the living winners of numbers.
func (v *view) persons(numbers *roaring.Bitmap) *roaring.Bitmap {
	out := roaring.AndNot(numbers, v.merged)
	for it := roaring.And(numbers, v.merged).Iterator(); it.HasNext(); {
		out.Add(v.winner(it.Next()))
	}
	out.And(v.exists)
	return out
}

// ListInfos tells of all lists, also those that are only being uploaded, in
// the order of their names.
func (s *Snapshot) ListInfos() []ListInfo {
	out := make([]ListInfo, 0, len(s.v.lists))
	for _, l := range s.v.lists {
		info := l.ListInfo
		info.People = s.v.persons(l.people).GetCardinality()
		out = append(out, info)
	}
	slices.SortFunc(out, func(a, b ListInfo) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
