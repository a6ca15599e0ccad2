package journal

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cloisterhq/cloister/appliance/health"
)

// Range is a run of sequences, both ends included.
type Range struct{ First, Last uint64 }

func (r Range) String() string {
	if r.First == r.Last {
		return strconv.FormatUint(r.First, 10)
	}
	return fmt.Sprintf("%d to %d", r.First, r.Last)
}

// DamageError says what a journal should hold and does not. It is ErrDamaged.
type DamageError struct {
	Publisher   string
	Incarnation uint64
	Missing     []Range // the first 32; records that cannot be read count as missing
	Reason      string
}

func (e *DamageError) Error() string {
	s := fmt.Sprintf("%v: %s", ErrDamaged, e.Reason)
	if len(e.Missing) > 0 {
		parts := make([]string, len(e.Missing))
		for i, r := range e.Missing {
			parts[i] = r.String()
		}
		s += "; records that are gone: " + strings.Join(parts, ", ")
	}
	return s
}

// Is makes it ErrDamaged.
func (e *DamageError) Is(target error) bool { return target == ErrDamaged }

// damaged makes the error, and a problem of it.
func (j *Journal) damaged(incarnation uint64, missing []Range, reason string) error {
	e := &DamageError{Publisher: j.publisher, Incarnation: incarnation, Missing: missing[:min(len(missing), 32)], Reason: reason}
	j.s.o.Logger.Error("journal damaged", "publisher", j.publisher, "error", e)
	j.s.o.Board.Raise(health.Problem{
		Code: ProblemDamaged, Subject: j.publisher, Severity: health.Down,
		Summary: "The journal holds less than it acknowledged: " + e.Error() + ".",
		Hint:    "Nothing was changed on disk. Copy the journal's directory away, check the disk, and restore the newest backup of it.",
	})
	return e
}
