package people

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// listed is a part of an upload.
func listed(name string, part ListPart, ids ...string) event.Fact {
	if part.Source == "" {
		part.Source = "file"
	}
	part.Lines, part.People = int64(len(ids)), ids
	body, err := part.Encode()
	if err != nil {
		panic(err)
	}
	return event.Fact{Kind: event.Programme, Name: event.TypeList, Ref: name, Body: body}
}

func (h *house) list(name string) []uint32 {
	h.t.Helper()
	s := h.Snapshot()
	defer s.Release()
	b := s.List(name)
	if (b != nil) != slices.Contains(s.Lists(), name) {
		h.t.Fatalf("Lists and List do not agree on %q", name)
	}
	if b == nil {
		return nil
	}
	return append([]uint32{}, b.ToArray()...)
}

func (h *house) info(name string) ListInfo {
	s := h.Snapshot()
	defer s.Release()
	for _, l := range s.ListInfos() {
		if l.Name == name {
			return l
		}
	}
	return ListInfo{}
}

// wantList compares a list before and after opening again.
func (h *house) wantList(name string, want ...uint32) {
	h.t.Helper()
	for range 2 {
		if got := h.list(name); !slices.Equal(got, want) || (got == nil) != (want == nil) {
			h.t.Errorf("%q is %v, want %v", name, got, want)
		}
		h.reopen()
	}
}

func TestAListIsReplacedAddedToAndDeleted(t *testing.T) {
	h := open(t, Options{})
	h.apply(track("ann", "phone"), track("bob", ""), track("", "watch"), track("carl", ""))
	h.wantList("vips")

	// It is in force with its last part, not before.
	h.apply(listed("vips", ListPart{Line: 1}, "ann", "nobody", "watch"))
	h.wantList("vips")
	if i := h.info("vips"); i.Upload != "file" || i.Next != 4 || i.Changed != 0 {
		t.Errorf("%+v", i)
	}
	h.apply(listed("vips", ListPart{Line: 4, Last: true}, "ann", "carl", "somebody"))
	h.wantList("vips", 1, 3, 4)
	if i := h.info("vips"); i.People != 3 || i.Unknown != 2 || i.Upload != "" || i.Finished != "file" || i.Changed != h.clock {
		t.Errorf("%+v", i)
	}
	// Another replaces it.
	h.apply(listed("vips", ListPart{Line: 1, Last: true, Source: "other"}, "bob"))
	h.wantList("vips", 2)
	if i := h.info("vips"); i.People != 1 || i.Unknown != 0 {
		t.Errorf("%+v", i)
	}
	// What is added is there at once, and those on it already only once.
	h.apply(listed("vips", ListPart{Line: 1, Add: true, Source: "more"}, "ann", "bob", "who"))
	h.wantList("vips", 1, 2)
	h.apply(listed("vips", ListPart{Line: 4, Add: true, Last: true, Source: "more"}, "carl"))
	h.wantList("vips", 1, 2, 4)
	if i := h.info("vips"); i.Unknown != 1 || i.Finished != "more" {
		t.Errorf("%+v", i)
	}
	// An empty one is one.
	h.apply(listed("none", ListPart{Line: 1, Last: true}))
	h.wantList("none", []uint32{}...)
	if s := h.Snapshot(); !slices.Equal(s.Lists(), []string{"none", "vips"}) {
		t.Error(s.Lists())
	}
	h.apply(event.Fact{Kind: event.Programme, Name: event.TypeList, Ref: "vips"}, event.Fact{Kind: event.Programme, Name: event.TypeList, Ref: "none"},
		event.Fact{Kind: event.Programme, Name: event.TypeList, Ref: "unknown"})
	h.wantList("vips")
	if n := h.count(kv.People, []byte{keyList}) + h.count(kv.People, []byte{keySet}); n != 0 {
		t.Errorf("%d keys are left", n)
	}
}

// A part that was sent again changes nothing, one too far ahead is refused, and
// line 1 begins anew.
func TestPartsComeInTheirOrder(t *testing.T) {
	h := open(t, Options{})
	h.apply(track("ann", ""), track("bob", ""), track("carl", ""))
	refused := func(part ListPart, ids ...string) string {
		r := h.one(listed("l", part, ids...))
		return r.Refused
	}
	for _, add := range []bool{false, true} {
		for i, step := range []struct {
			part ListPart
			id   string
			want string
		}{
			{ListPart{Line: 2}, "ann", RefusedUpload},
			{ListPart{Line: 1}, "ann", ""},
			{ListPart{Line: 2}, "x", ""},
			{ListPart{Line: 2}, "x", ""},
			{ListPart{Line: 4}, "bob", RefusedUpload},
			{ListPart{Line: 3, Source: "another"}, "bob", RefusedUpload},
			{ListPart{Line: 1}, "carl", ""}, // anew
			{ListPart{Line: 2}, "y", ""},
			{ListPart{Line: 2, Last: true}, "y", ""},
			{ListPart{Line: 2, Last: true}, "y", ""},
			{ListPart{Line: 3, Last: true}, "bob", ""}, // it has ended
			{ListPart{Line: 3, Source: "another"}, "bob", RefusedUpload},
		} {
			step.part.Add = add
			if step.part.Source == "" {
				step.part.Source = fmt.Sprint("file ", add)
			}
			if got := refused(step.part, step.id); got != step.want {
				t.Errorf("add %v, step %d: refused %q, want %q", add, i, got, step.want)
			}
			if i%3 == 0 {
				h.reopen()
			}
		}
		want := []uint32{3}
		if add {
			want = []uint32{1, 3} // what was added stays
		}
		h.wantList("l", want...)
		if i := h.info("l"); i.Unknown != map[bool]uint64{false: 1, true: 2}[add] {
			t.Errorf("add %v: %+v", add, i)
		}
	}
	if n := h.count(kv.People, []byte{keySet}); n != 1 {
		t.Errorf("%d pieces", n)
	}
}

func TestAListFollowsMergesAndErasures(t *testing.T) {
	h := open(t, Options{})
	h.apply(track("ann", ""), track("", "phone"), track("bob", ""), track("carl", ""))
	h.apply(listed("l", ListPart{Line: 1, Last: true}, "phone", "bob"), listed("m", ListPart{Line: 1}, "bob", "carl"))
	h.wantList("l", 2, 3)
	h.apply(track("ann", "phone"))
	h.wantList("l", 1, 3)
	// A demerge parts what was put on it.
	h.apply(event.Fact{Kind: event.Demerge, User: "ann"})
	h.wantList("l", 2, 3)
	h.apply(alias("phone", "ann"))
	h.wantList("l", 1, 3)

	stored := func(n uint32) (sets int) {
		err := h.db.View(func(t *kv.Txn) error {
			return t.Scan(kv.People, []byte{keySet}, nil, func(key, sealed []byte) error {
				b, err := h.openPiece(key, sealed)
				if err == nil && b.Contains(n) {
					sets++
				}
				return err
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		return sets
	}
	if stored(3) != 2 || stored(2) != 1 {
		t.Fatal("the numbers are not in the pieces")
	}
	h.erase(3)
	h.wantList("l", 1)
	h.erase(1) // with the phone
	h.wantList("l", []uint32{}...)
	for left := true; left; {
		var err error
		if left, err = h.Sweep(); err != nil {
			t.Fatal(err)
		}
	}
	if stored(3) != 0 || stored(2) != 0 || stored(4) != 1 || h.count(kv.People, []byte{keyListSweep}) != 0 {
		t.Error("the erased are still in the pieces")
	}
	// What goes on is without them, and they are nobody.
	h.apply(listed("m", ListPart{Line: 3, Last: true}, "bob", "phone"), listed("l", ListPart{Line: 1, Last: true, Source: "again"}, "ann", "carl"))
	h.wantList("m", 4)
	h.wantList("l", 4)
	if h.info("m").Unknown != 2 || h.info("l").Unknown != 1 {
		t.Errorf("%+v %+v", h.info("m"), h.info("l"))
	}
}

// A long list is in pieces; small additions fill the last one, and sweeping
// many goes in several transactions.
func TestALongList(t *testing.T) {
	h := open(t, Options{})
	const people = 50_000
	var ids []string
	for from := 0; from < people; from += 5000 {
		h.update(func(t *kv.Txn) error {
			for i := from; i < from+5000; i++ {
				ids = append(ids, fmt.Sprint("p", i))
				f := track(ids[i], "")
				if _, err := h.Apply(t, &f); err != nil {
					return err
				}
			}
			return nil
		})
	}
	line := int64(1)
	for part := range slices.Chunk(ids[:people-100], 1000) {
		h.apply(listed("l", ListPart{Line: line}, part...))
		line += int64(len(part))
	}
	h.apply(listed("l", ListPart{Line: line, Last: true}))
	for _, id := range ids[people-100:] {
		h.apply(listed("l", ListPart{Line: 1, Add: true, Last: true}, id))
	}
	if n := len(h.list("l")); n != people {
		t.Errorf("%d people", n)
	}
	if n := h.count(kv.People, []byte{keySet}); n != 3 {
		t.Errorf("%d pieces", n)
	}
	// One transaction's worth of pieces is not all of them.
	h.update(func(t *kv.Txn) error {
		set := &h.lists["l"].set
		for i := range sweepPieces + 4 {
			key := setKey(keySet, set.id, set.pieces)
			set.pieces++
			if err := h.writePiece(t, key, roaring.BitmapOf(7, uint32(100+i))); err != nil {
				return err
			}
		}
		return h.saveList(t, h.lists["l"])
	})
	h.erase(7)
	calls := 0
	for left := true; left; calls++ {
		var err error
		if left, err = h.Sweep(); err != nil {
			t.Fatal(err)
		}
	}
	if calls != 3 {
		t.Errorf("%d calls", calls)
	}
	h.reopen()
	if got := h.list("l"); len(got) != people-1 || slices.Contains(got, 7) {
		t.Errorf("%d people after the erasure", len(got))
	}
}

func TestOnlySoManyLists(t *testing.T) {
	h := open(t, Options{})
	h.apply(track("ann", ""))
	for i := range MaxLists {
		if r := h.one(listed(fmt.Sprint(i), ListPart{Line: 1, Last: true}, "ann")); r.Refused != "" {
			t.Fatal(i, r.Refused)
		}
	}
	if r := h.one(listed("more", ListPart{Line: 1}, "ann")); r.Refused != RefusedLists {
		t.Errorf("%+v", r)
	}
	if r := h.one(listed("7", ListPart{Line: 1, Last: true, Source: "x"}, "ann")); r.Refused != "" {
		t.Errorf("one that is there: %+v", r)
	}
	// What is no part is left out, and stops nobody.
	for _, body := range []string{"{", "null", `{"source":"s","line":0}`, `{"source":"","line":1}`} {
		h.apply(event.Fact{Kind: event.Programme, Name: event.TypeList, Ref: "7", Body: []byte(body)})
	}
	h.apply(listed("", ListPart{Line: 1, Last: true}, "ann"), listed(strings.Repeat("x", MaxListName+1), ListPart{Line: 1, Last: true}, "ann"))
	if h.wantList("7", 1); h.count(kv.People, []byte{keyList}) != MaxLists {
		t.Error("a list of no name")
	}
}

// Names of lists and who is on them are sealed.
func TestListsRestSealed(t *testing.T) {
	h := open(t, Options{})
	h.apply(track("ann", ""))
	h.apply(listed("people with debts", ListPart{Line: 1, Last: true, Source: "file of debts"}, "ann"))
	err := h.db.View(func(tx *kv.Txn) error {
		return tx.Scan(kv.People, nil, nil, func(key, val []byte) error {
			if strings.Contains(string(key)+string(val), "debts") {
				t.Errorf("a name lies open under %x", key)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	// A piece of one set is not another's.
	h.update(func(t *kv.Txn) error {
		sealed, err := t.Get(kv.People, setKey(keySet, h.lists["people with debts"].set.id, 0))
		if err != nil {
			return err
		}
		return t.Set(kv.People, setKey(keySet, 9, 0), sealed)
	})
	err = h.db.View(func(t *kv.Txn) error { _, err := h.readPiece(t, setKey(keySet, 9, 0)); return err })
	if err == nil {
		t.Error("a piece opens in another place")
	}
}

func FuzzListPart(f *testing.F) {
	for _, p := range []ListPart{{Source: "s", Line: 1}, {Source: "s", Line: 4, Lines: 2, Add: true, Last: true, People: []string{"ann", ""}}} {
		b, err := p.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := decodeListPart(b)
		if err != nil {
			return
		}
		again, err := l.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if same, err := decodeListPart(again); err != nil || !reflect.DeepEqual(l, same) {
			t.Errorf("%+v became %+v, %v", l, same, err)
		}
	})
}

func FuzzList(f *testing.F) {
	for _, b := range goldenPlain(f, []byte(aadList)) {
		f.Add(b)
		f.Add(b[:len(b)-1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := decodeList(b); err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("not a sentinel: %v", err)
		}
	})
}
