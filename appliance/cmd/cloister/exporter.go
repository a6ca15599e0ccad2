package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/cloisterhq/cloister/appliance/export"
)

// exporter takes one file out. The daemon sends pieces, each with the place
// where an export goes on behind it.
type exporter struct {
	client   *client
	url      string
	query    url.Values
	path     string    // of the file, "-" = out
	out      io.Writer // of "-"
	screen   io.Writer // where the progress is drawn
	patience time.Duration

	file *os.File
	mark exportMark
	bar  *bar
}

// exportMark is how far an export came: what lies in the file before Bytes.
type exportMark struct {
	URL     string `json:"url"`
	Cursor  string `json:"cursor"`
	Bytes   int64  `json:"bytes"`
	Records int64  `json:"records"`
}

// pieceHead stands before each piece.
type pieceHead struct {
	Bytes   int64  `json:"bytes"`
	Records int64  `json:"records"`
	Cursor  string `json:"cursor"`
	Done    bool   `json:"done"`
}

// Bounds of what the daemon sends.
const (
	maxPiece     = 64 << 20
	maxPieceHead = 64 << 10
	// exportStill is how long nothing may come before the connection counts as
	// lost.
	exportStill = 3 * time.Minute
)

func (x *exporter) part() string     { return x.path + ".part" }
func (x *exporter) progress() string { return x.path + ".progress" }

func (x *exporter) run(ctx context.Context) (result exportResult, err error) {
	begun := time.Now()
	whole := x.query.Get("format") == export.Parquet
	if x.path != "-" && exists(x.path) {
		return result, fmt.Errorf("%s is there already; nothing was done", x.path)
	}
	if !whole {
		x.query.Set("marks", "true")
	}
	x.mark.URL = x.url + "?" + x.query.Encode()
	if err := x.open(whole); err != nil {
		return result, err
	}
	x.bar = startBar(x.screen, filepath.Base(x.path), 0)
	if x.mark.Cursor != "" {
		x.bar.note(fmt.Sprintf("%s: going on behind %s records", plain(x.path), thousands(x.mark.Records)))
	}
	err = x.again(ctx, whole)
	x.bar.stop()
	if err == nil {
		err = x.finish()
	} else if x.file != nil {
		err = errors.Join(err, x.file.Close())
		if x.mark.Cursor != "" {
			err = fmt.Errorf("%w\n%s records are in %s; the same command goes on there", err, thousands(x.mark.Records), x.part())
		}
	}
	return exportResult{File: x.path, Records: x.mark.Records, Bytes: x.mark.Bytes, Seconds: time.Since(begun).Seconds()}, err
}

// open opens the file, and finds out where to begin.
func (x *exporter) open(whole bool) (err error) {
	if x.path == "-" {
		return nil
	}
	// What is taken out may be personal: it is the owner's alone.
	if x.file, err = os.OpenFile(x.part(), os.O_WRONLY|os.O_CREATE, 0o600); err != nil {
		return err
	}
	b, err := os.ReadFile(x.progress())
	if err == nil && !whole {
		var was exportMark
		st, serr := x.file.Stat()
		// Another export begins at its own beginning.
		if json.Unmarshal(b, &was) == nil && was.URL == x.mark.URL && serr == nil && st.Size() >= was.Bytes {
			x.mark = was
		}
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return errors.Join(err, x.file.Close())
	}
	if err := x.rewind(); err != nil {
		return errors.Join(err, x.file.Close())
	}
	return nil
}

// rewind cuts off what is behind the mark.
func (x *exporter) rewind() error {
	if x.file == nil {
		return nil
	}
	if err := x.file.Truncate(x.mark.Bytes); err != nil {
		return err
	}
	_, err := x.file.Seek(x.mark.Bytes, io.SeekStart)
	return err
}

// finish gives the file its name, once all of it is on disk.
func (x *exporter) finish() error {
	if x.file == nil {
		return nil
	}
	err := x.file.Sync()
	if cerr := x.file.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		// Not over another one that came meanwhile.
		err = os.Link(x.part(), x.path)
	}
	if err == nil {
		err = os.Remove(x.part())
	}
	if err != nil {
		return err
	}
	if err := os.Remove(x.progress()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// again asks until all of it is there.
func (x *exporter) again(ctx context.Context, whole bool) error {
	begun, wait := time.Now(), 250*time.Millisecond
	for {
		had := x.mark
		var err error
		if whole {
			err = x.all(ctx)
		} else {
			err = x.pieces(ctx)
		}
		var local *localError
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return errors.New("interrupted")
		case errors.As(err, &local):
			return local.err
		case x.path == "-":
			return x.final(err) // what was written cannot be taken back
		}
		if x.outdated(err) {
			x.bar.note(plain(x.path) + ": " + plain(err.Error()) + ": beginning again")
			x.mark = exportMark{URL: x.mark.URL}
			if err := errors.Join(x.rewind(), x.save()); err != nil {
				return err
			}
			continue
		}
		if had != x.mark {
			begun, wait = time.Now(), 250*time.Millisecond
		}
		pause, passes := retry(err, wait)
		if !passes || time.Since(begun)+pause > x.patience {
			return x.final(err)
		}
		x.bar.waits(err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.New("interrupted")
		}
		wait = min(2*wait, 30*time.Second)
		if err := x.rewind(); err != nil {
			return err
		}
	}
}

// outdated says whether the daemon cannot go on where the file ends: what there
// is now does not fit it.
func (x *exporter) outdated(err error) bool {
	var ae *apiError
	return errors.As(err, &ae) && ae.Status == http.StatusConflict && x.mark.Cursor != ""
}

// localError is of this machine's disk: asking again does not help.
type localError struct{ err error }

func (l *localError) Error() string { return l.err.Error() }

func (x *exporter) final(err error) error {
	var ae *apiError
	if errors.As(err, &ae) {
		return ae.exit()
	}
	return x.client.unreachable(err)
}

func (x *exporter) write(b []byte) error {
	var w io.Writer = x.file
	if x.file == nil {
		w = x.out
	}
	if _, err := w.Write(b); err != nil {
		return &localError{err}
	}
	return nil
}

// pieces takes pieces until there are no more.
func (x *exporter) pieces(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	q := x.url + "?" + x.query.Encode()
	if x.mark.Cursor != "" {
		q += "&cursor=" + url.QueryEscape(x.mark.Cursor)
	}
	body, err := x.client.stream(ctx, q)
	if err != nil {
		return err
	}
	defer body.Close()
	still := time.AfterFunc(exportStill, cancel)
	defer still.Stop()
	r := bufio.NewReaderSize(body, maxPieceHead)
	var piece []byte
	behind := x.mark // where the file ends
	for {
		still.Reset(exportStill)
		line, err := r.ReadSlice('\n')
		if err != nil {
			return cut(err)
		}
		var head pieceHead
		if err := json.Unmarshal(line, &head); err != nil || head.Bytes < 0 || head.Bytes > maxPiece {
			return &localError{errors.New("the daemon's answer is not what this version understands (cloister version)")}
		}
		if head.Done {
			x.mark.Bytes, x.mark.Records = behind.Bytes, behind.Records
			return nil
		}
		if int64(cap(piece)) < head.Bytes {
			piece = make([]byte, head.Bytes)
		}
		piece = piece[:head.Bytes]
		if _, err := io.ReadFull(r, piece); err != nil {
			return cut(err)
		}
		if err := x.write(piece); err != nil {
			return err
		}
		behind.Bytes += head.Bytes
		behind.Records += head.Records
		x.bar.add(0, head.Records, 0)
		if head.Cursor != "" {
			behind.Cursor = head.Cursor
			x.mark = behind
			if err := x.save(); err != nil {
				return &localError{err}
			}
		}
	}
}

func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// all takes what goes only whole.
func (x *exporter) all(ctx context.Context) error {
	x.mark.Bytes = 0
	if err := x.rewind(); err != nil {
		return &localError{err}
	}
	body, err := x.client.stream(ctx, x.url+"?"+x.query.Encode())
	if err != nil {
		return err
	}
	defer body.Close()
	buf := make([]byte, 1<<20)
	for {
		n, err := body.Read(buf)
		if werr := x.write(buf[:n]); werr != nil {
			return werr
		}
		x.mark.Bytes += int64(n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// save writes the mark, once what it says is on disk.
func (x *exporter) save() error {
	if x.file == nil {
		return nil
	}
	if err := x.file.Sync(); err != nil {
		return err
	}
	return saveProgress(x.progress(), x.mark)
}
