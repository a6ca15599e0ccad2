package block

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
)

// BenchmarkColumns reads and writes a block's countries: of a person's eight
// events on a day, one in fifty is elsewhere.
func BenchmarkColumns(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	persons, home := make([]uint32, MaxRows), make([]uint32, MaxRows/8)
	for row := range persons {
		persons[row] = uint32(row/8) * event.Partitions
	}
	for i := range home {
		home[i] = uint32(r.IntN(50)) + 1
	}
	people := NewPeople([]Run{{Rows: MaxRows}}, persons)
	c := &Column{Codes: make([]uint32, MaxRows)}
	for i := range 50 {
		c.Dict = append(c.Dict, event.OfText(fmt.Sprint("C", i)))
	}
	for row, g := range people.Groups() {
		if c.Codes[row] = home[g]; r.IntN(50) == 0 {
			c.Codes[row] = uint32(r.IntN(50)) + 1
		}
	}
	alone := NewPeople([]Run{{Rows: MaxRows}}, crowd(MaxRows, 1).Persons)
	for _, of := range []struct {
		name   string
		people *People
	}{{"groups", people}, {"dictionary", alone}} {
		data := AppendColumn(nil, c, of.people)
		measure := func(name string, work func() error) {
			b.Run(of.name+"/"+name, func(b *testing.B) {
				before := cpuTime(b)
				for b.Loop() {
					if err := work(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N*MaxRows), "cpu-ns/row")
				b.ReportMetric(float64(len(data))/MaxRows, "bytes/row")
			})
		}
		measure("read", func() error { _, err := ReadColumn(data, of.people); return err })
		measure("write", func() error { AppendColumn(nil, c, of.people); return nil })
	}
}
