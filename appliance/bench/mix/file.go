package mix

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

// A file of events has 20 bytes for each, in their order, little endian: it is
// made once, so that making them is in nobody's time.
const eventBytes = 20

// Write makes the file at path, and that of everybody's profiles beside it, if
// they are not there.
func Write(path string, events int, seed uint64) (err error) {
	if info, err := os.Stat(path); err == nil && info.Size() == int64(events)*eventBytes {
		return nil
	}
	// The profiles first: the events' file says that all is there.
	var b []byte
	for i, p := range Profiles(events, seed) {
		b = append(binary.LittleEndian.AppendUint32(b, uint32(i)), p.Country, p.Plan, p.Platform, p.Language)
	}
	if err := os.WriteFile(path+"-profiles", b, 0o600); err != nil {
		return err
	}
	f, err := os.Create(path + ".part")
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	err = Generate(events, seed, func(list []Event) error {
		b = b[:0]
		for i := range list {
			e := &list[i]
			b = binary.LittleEndian.AppendUint64(b, uint64(e.Time))
			b = binary.LittleEndian.AppendUint32(b, e.Person)
			b = binary.LittleEndian.AppendUint32(b, uint32(e.Amount))
			b = append(b, e.Name, e.Country, e.Platform, e.Plan)
		}
		_, err := w.Write(b)
		return err
	})
	if err := errors.Join(err, w.Flush(), f.Close()); err != nil {
		return fmt.Errorf("writing events to %s: %w", path, err)
	}
	return os.Rename(path+".part", path)
}

// Read gives the events of a file to fn, so many at a time; fn must not keep
// them.
func Read(path string, atOnce int, fn func([]Event) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b, list := make([]byte, atOnce*eventBytes), make([]Event, atOnce)
	for {
		n, err := io.ReadFull(f, b)
		if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
			return fmt.Errorf("reading events: %w", err)
		}
		list = list[:n/eventBytes]
		for i := range list {
			e := b[i*eventBytes:]
			list[i] = Event{Time: int64(binary.LittleEndian.Uint64(e)), Person: binary.LittleEndian.Uint32(e[8:]),
				Amount: int32(binary.LittleEndian.Uint32(e[12:])), Name: e[16], Country: e[17], Platform: e[18], Plan: e[19]}
		}
		if len(list) > 0 {
			if err := fn(list); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

// IDBytes is what `"id":"UUID",` takes in a line of JSON.
const IDBytes = 44

// User is a person's identity.
func User(person uint32) string { return "user-" + strconv.Itoa(int(person)) }

// AppendJSON appends an event as the smallest line of JSON that says the same.
// An app's event has an id beside that, in IDBytes.
func (e *Event) AppendJSON(b []byte) []byte {
	b = append(b, `{"user":"`...)
	b = append(b, User(e.Person)...)
	b = append(b, `","event":"`...)
	b = append(b, Names[e.Name]...)
	b = append(b, `","ts":"`...)
	b = time.UnixMilli(e.Time).UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
	b = append(b, `","props":{"country":"`...)
	b = append(b, Countries[e.Country]...)
	b = append(b, `","platform":"`...)
	b = append(b, Platforms[e.Platform]...)
	b = append(b, `","plan":"`...)
	b = append(b, Plans[e.Plan]...)
	b = append(b, '"')
	if e.Amount != 0 {
		b = append(b, `,"amount":`...)
		b = strconv.AppendFloat(b, float64(e.Amount)/100, 'f', -1, 64)
	}
	return append(b, `}}`...)
}
