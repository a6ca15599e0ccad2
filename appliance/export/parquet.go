package export

import (
	"fmt"
	"io"
	"slices"
	"unsafe"

	"github.com/parquet-go/parquet-go"

	"github.com/cloisterhq/cloister/appliance/event"
)

// Bounds of a Parquet file.
const (
	// parquetKeys is how many keys of the group have a column; what is beyond,
	// in their order, stands in More. A column costs some 50 kB while writing.
	parquetKeys = 1000
	rowGroup    = 128 << 10 // rows
	rowBatch    = 64        // rows handed over at once
	dictionary  = 1 << 20   // bytes of a column's, then its values stand for themselves
)

// Survey finds out what kinds of value a group has, which a Parquet file must
// know before its first row. Add every record that will be written; the zero
// value is empty.
type Survey struct {
	kinds map[string]kinds
	more  bool // some value is personal
}

// kinds is a set of event.ValueKind, and a bit beyond them.
type kinds uint16

// bigInt: some whole number is not exact as a float.
const bigInt kinds = 1 << 15

func kindOf(v event.Value) kinds {
	k := kinds(1) << v.Kind()
	if i := v.Int(); i >= 1<<53 || i <= -1<<53 {
		k |= bigInt
	}
	return k
}

// Add takes a record into account.
func (s *Survey) Add(r *Record) {
	if s.kinds == nil {
		s.kinds = make(map[string]kinds)
	}
	for i := range r.Group {
		p := &r.Group[i]
		if p.Personal {
			s.more = true
			continue
		}
		s.kinds[p.Key] |= kindOf(p.Value)
	}
}

const (
	ofBool  = kinds(1) << event.Bool
	ofInt   = kinds(1) << event.Int
	ofFloat = kinds(1) << event.Float
	ofText  = kinds(1) << event.Text
	ofTime  = kinds(1) << event.Time
)

// leaf is how a column lies in the file.
type leaf struct {
	node parquet.Node
	make func(event.Value) (parquet.Value, bool) // false: it is not of the column's kind
}

// leafOf is the narrowest leaf for values of these kinds; JSON holds them all.
func leafOf(k kinds) leaf {
	switch k {
	case ofBool:
		return leaf{parquet.Leaf(parquet.BooleanType), func(v event.Value) (parquet.Value, bool) {
			return parquet.BooleanValue(v.Bool()), v.Kind() == event.Bool
		}}
	case ofInt, ofInt | bigInt:
		return leaf{parquet.Int(64), func(v event.Value) (parquet.Value, bool) {
			return parquet.Int64Value(v.Int()), v.Kind() == event.Int
		}}
	case ofFloat, ofFloat | ofInt:
		return leaf{parquet.Leaf(parquet.DoubleType), func(v event.Value) (parquet.Value, bool) {
			f, _ := v.Number()
			return parquet.DoubleValue(f), v.IsNumber() && kindOf(v)&bigInt == 0
		}}
	case ofTime:
		return leaf{parquet.Timestamp(parquet.Microsecond), func(v event.Value) (parquet.Value, bool) {
			return parquet.Int64Value(v.Micros()), v.Kind() == event.Time
		}}
	case ofText:
		return leaf{parquet.Encoded(parquet.String(), &parquet.RLEDictionary), func(v event.Value) (parquet.Value, bool) {
			return textValue(v.Text()), v.Kind() == event.Text
		}}
	}
	return leaf{parquet.Encoded(parquet.JSON(), &parquet.RLEDictionary), func(v event.Value) (parquet.Value, bool) {
		return parquet.ByteArrayValue(v.AppendJSON(nil)), true
	}}
}

// textValue is a text that the writer only reads.
func textValue(s string) parquet.Value {
	return parquet.ByteArrayValue(unsafe.Slice(unsafe.StringData(s), len(s)))
}

// ordered is a group whose columns are in the order that they were given.
type ordered struct {
	parquet.Group
	names []string
}

func (o *ordered) add(name string, n parquet.Node) {
	o.Group[name] = n
	o.names = append(o.names, name)
}

// Fields implements parquet.Node.
func (o *ordered) Fields() []parquet.Field {
	all := o.Group.Fields()
	out := make([]parquet.Field, len(o.names))
	for i, name := range o.names {
		out[i] = all[slices.IndexFunc(all, func(f parquet.Field) bool { return f.Name() == name })]
	}
	return out
}

// ParquetWriter writes one file: rows in groups of 128 Ki, columns compressed by
// zstd. For one goroutine.
type ParquetWriter struct {
	t      Table
	w      *parquet.Writer
	leaves []leaf // of the columns, the keys, and More if there is
	more   bool
	rows   []parquet.Row
}

// NewParquet begins a file of t's records. Every record must have been added to
// s; keys that none has get no column.
func NewParquet(w io.Writer, t *Table, s *Survey) *ParquetWriter {
	p := &ParquetWriter{t: *t}
	p.t.Keys = nil
	root := &ordered{Group: parquet.Group{}}
	for _, c := range t.Columns {
		l := leafOf(kinds(1) << c.Kind)
		root.add(c.Name, parquet.Optional(l.node))
		p.leaves = append(p.leaves, l)
	}
	group := &ordered{Group: parquet.Group{}}
	p.more = s.more
	for _, k := range t.Keys {
		of, ok := s.kinds[k]
		if !ok {
			continue
		}
		if len(p.t.Keys) == parquetKeys {
			p.more = true
			break
		}
		l := leafOf(of)
		group.add(k, parquet.Optional(l.node))
		p.leaves = append(p.leaves, l)
		p.t.Keys = append(p.t.Keys, k)
	}
	for k := range s.kinds {
		p.more = p.more || !t.hasKey(k)
	}
	if len(p.t.Keys) > 0 {
		root.add(t.Group, group)
	}
	if p.more {
		l := leafOf(0)
		root.add(More, parquet.Optional(l.node))
		p.leaves = append(p.leaves, l)
	}
	p.w = parquet.NewWriter(w, parquet.NewSchema("cloister", root),
		parquet.Compression(&parquet.Zstd), parquet.MaxRowsPerRowGroup(rowGroup), parquet.DictionaryMaxBytes(dictionary),
		parquet.PageBufferSize(64<<10), parquet.CreatedBy("cloister", "", ""))
	for range rowBatch {
		p.rows = append(p.rows, make(parquet.Row, 0, len(p.leaves)))
	}
	p.rows = p.rows[:0]
	return p
}

// Write adds a record. It is read before Write returns.
func (p *ParquetWriter) Write(r *Record) error {
	p.rows = p.rows[:len(p.rows)+1]
	at := len(p.rows) - 1
	row := p.rows[at][:0]
	add := func(v event.Value) error {
		i := len(row)
		if v.IsNull() {
			row = append(row, parquet.NullValue().Level(0, 0, i))
			return nil
		}
		pv, ok := p.leaves[i].make(v)
		if !ok {
			return fmt.Errorf("a value of column %d is of another kind than all that were surveyed", i)
		}
		row = append(row, pv.Level(0, 1, i))
		return nil
	}
	for i := range p.t.Columns {
		if err := add(r.Cells[i]); err != nil {
			return err
		}
	}
	own := r.Group
	for _, k := range p.t.Keys {
		for len(own) > 0 && !own[0].Personal && own[0].Key < k {
			own = own[1:]
		}
		v := event.Value{}
		if len(own) > 0 && !own[0].Personal && own[0].Key == k {
			v = own[0].Value
		}
		if err := add(v); err != nil {
			return err
		}
	}
	if p.more {
		v := event.Value{}
		if more := p.t.more(r); len(more) > 0 {
			v = event.OfObject(more)
		}
		if err := add(v); err != nil {
			return err
		}
	}
	p.rows[at] = row
	// The texts of a record are its owner's, and may be gone after this; those
	// of a row are copied when it is handed over.
	for i := range row {
		row[i] = row[i].Clone()
	}
	if len(p.rows) == rowBatch {
		return p.flush()
	}
	return nil
}

func (p *ParquetWriter) flush() error {
	_, err := p.w.WriteRows(p.rows)
	p.rows = p.rows[:0]
	if err != nil {
		return fmt.Errorf("writing rows of parquet: %w", err)
	}
	return nil
}

// Close ends the file; without it there is none.
func (p *ParquetWriter) Close() error {
	if err := p.flush(); err != nil {
		return err
	}
	if err := p.w.Close(); err != nil {
		return fmt.Errorf("ending a parquet file: %w", err)
	}
	return nil
}
