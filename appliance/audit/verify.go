package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Report is what a Verify found in good order.
type Report struct {
	First  int64  // number of the first entry that is kept
	Size   int64  // number of entries ever, so of the next one
	Head   []byte // the signed head that covers them, but the last Behind
	Behind int64  // entries behind the head: written last, or added by somebody
}

// Verify checks a log that may be in use: every entry against the signed head
// that lies beside it, and against heads kept elsewhere, if given. verifier is
// the key to check signatures with, as it was in the log's file "verifier"
// when that could be trusted; "" takes the one that is there now. The error
// wraps ErrDamaged where the log is damaged, was changed, or was before and
// what was set aside is still there.
func Verify(dir, verifier string, heads ...[]byte) (Report, error) {
	if verifier == "" {
		text, err := os.ReadFile(filepath.Join(dir, verifierFile))
		if err != nil {
			return Report{}, fmt.Errorf("verifying the audit: %w", err)
		}
		verifier = string(text)
	}
	v, err := note.NewVerifier(strings.TrimSpace(verifier))
	if err != nil {
		return Report{}, fmt.Errorf("verifying the audit: reading the verifier: %w", err)
	}
	f, h, err := checkDir(dir, v, heads...)
	for range 2 {
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		f, h, err = checkDir(dir, v, heads...) // the oldest file was trimmed meanwhile
	}
	if err != nil {
		return Report{}, fmt.Errorf("verifying the audit: %w", err)
	}
	aside, err := filepath.Glob(filepath.Join(dir, asidePrefix+"*"))
	if err != nil {
		return Report{}, fmt.Errorf("verifying the audit: %w", err)
	}
	if len(aside) > 0 {
		return Report{}, fmt.Errorf("verifying the audit: %w: an earlier log is in %s", ErrDamaged, aside[0])
	}
	signed, err := os.ReadFile(filepath.Join(dir, headFile))
	if err != nil {
		return Report{}, fmt.Errorf("verifying the audit: %w", err)
	}
	return Report{First: f.first, Size: f.tree.size, Head: signed, Behind: max(f.tree.size-h.size, 0)}, nil
}

// checkDir reads a log and compares it with its head, and others. The head is
// read first: entries that are written meanwhile only lie behind it.
func checkDir(dir string, v note.Verifier, others ...[]byte) (*found, head, error) {
	signed, err := os.ReadFile(filepath.Join(dir, headFile))
	if errors.Is(err, fs.ErrNotExist) {
		// Before the very first write there is a file, or none, and no head.
		f, rerr := read(dir)
		if rerr == nil && f.tree.size == 0 && len(others) == 0 {
			return f, head{}, nil
		}
		return nil, head{}, fmt.Errorf("%w: the signed head is gone", ErrDamaged)
	}
	if err != nil {
		return nil, head{}, err
	}
	var hs []head
	var sizes []int64
	for _, s := range append([][]byte{signed}, others...) {
		h, err := parseHead(s, v)
		if err != nil {
			return nil, head{}, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		hs, sizes = append(hs, h), append(sizes, h.size)
	}
	f, err := read(dir, sizes...)
	if err != nil {
		return nil, head{}, err
	}
	for _, h := range hs {
		if err := f.covers(h); err != nil {
			return nil, head{}, err
		}
	}
	return f, hs[0], f.whole()
}
