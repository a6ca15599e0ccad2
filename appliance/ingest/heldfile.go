package ingest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/ingest/detect"
)

const heldSuffix = ".held"

// heldRecord is a record in a file.
type heldRecord struct {
	Number  uint64     `json:"n"`
	At      time.Time  `json:"at"`
	Dialect string     `json:"dialect"`
	Key     string     `json:"key"`
	Kinds   detect.Set `json:"kinds"`
	Facts   []byte     `json:"facts"` // event.AppendFact, one after another
}

// senderID is what a record is known by when it is sent again.
func senderID(facts []event.Fact) (id [16]byte, ok bool) {
	if len(facts) == 0 || facts[0].ID == "" || strings.HasPrefix(facts[0].ID, "held:") {
		return id, false
	}
	var b []byte
	for _, s := range []string{facts[0].ID, facts[0].User, facts[0].Device} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	sum := sha256.Sum256(b)
	return [16]byte(sum[:]), true
}

func (r *heldRecord) held() (Held, error) {
	facts, err := event.DecodeFacts(r.Facts)
	if err != nil {
		return Held{}, fmt.Errorf("reading held record %d: %w", r.Number, err)
	}
	return Held{Number: r.Number, At: r.At, Dialect: r.Dialect, Key: r.Key, Kinds: r.Kinds, Facts: facts}, nil
}

func (h *Hold) read(name string) (records []heldRecord, size int64, err error) {
	sealed, err := os.ReadFile(filepath.Join(h.dir, name))
	if err != nil {
		return nil, 0, fmt.Errorf("reading held records: %w", err)
	}
	plain, err := h.keys.OpenChunk(sealed, heldAAD(name))
	if err == nil {
		err = json.Unmarshal(plain, &records)
	}
	if err == nil && len(records) == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reading held records in %s: %w", name, err)
	}
	return records, int64(len(sealed)), nil
}

func heldAAD(name string) []byte { return []byte("ingest hold " + name) }

// write writes a file whole, and has it and its name on disk.
func (h *Hold) write(name string, records []heldRecord) (size int64, err error) {
	plain, err := json.Marshal(records)
	if err != nil {
		return 0, fmt.Errorf("encoding held records: %w", err)
	}
	sealed, err := h.keys.SealChunk(plain, heldAAD(name))
	if err != nil {
		return 0, fmt.Errorf("sealing held records: %w", err)
	}
	temporary := filepath.Join(h.dir, name+".new")
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, fmt.Errorf("writing held records: %w", err)
	}
	_, err = f.Write(sealed)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temporary, filepath.Join(h.dir, name))
	}
	if err == nil {
		err = syncDir(h.dir)
	}
	if err != nil {
		return 0, fmt.Errorf("writing held records: %w", err)
	}
	return int64(len(sealed)), nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
