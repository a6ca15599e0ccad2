package console

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/cloisterhq/cloister/appliance/export"
)

// errNotAnyMore ends an export whose token ended, or whose operator's role did.
var errNotAnyMore = errors.New("whoever asked may not see it any more")

// exportStream is an export on its way out.
type exportStream struct {
	c    *Console
	r    *request
	e    Export
	form exportForm
	of   string
	to   int64

	begun    bool // the answer has
	records  int64
	bytes    int64
	piece    []byte // not yet sent
	inPiece  int64
	packed   bytes.Buffer // the piece, compressed
	gzip     *gzip.Writer
	zstd     *zstd.Encoder
	lastMark []byte
}

func (x *exportStream) run(ctx context.Context) error {
	if x.form.format == export.Parquet {
		return x.parquet(ctx)
	}
	t := x.e.Table()
	add := t.AppendNDJSON
	if x.form.format == export.CSV {
		add = t.AppendCSV
		if x.form.cursor == "" {
			x.piece = t.AppendCSVHeader(x.piece)
		}
	}
	x.head()
	err := x.e.Each(ctx, func(r *export.Record) error {
		if len(x.piece) >= exportPiece {
			if err := x.send(""); err != nil {
				return err
			}
		}
		x.piece = add(x.piece, r)
		x.inPiece++
		return nil
	}, func(position []byte) error {
		x.lastMark = append(x.lastMark[:0], position...)
		if len(x.piece) < exportPiece {
			return nil
		}
		return x.send(x.cursor())
	})
	if err != nil {
		return err
	}
	cursor := ""
	if len(x.lastMark) > 0 {
		cursor = x.cursor()
	}
	if err := x.send(cursor); err != nil {
		return err
	}
	if x.form.marks {
		return x.write(exportPieceHead{Done: true}, nil)
	}
	return nil
}

func (x *exportStream) cursor() string {
	b, err := json.Marshal(exportCursor{To: x.to, Of: x.of, Position: x.lastMark})
	if err != nil {
		panic(err) // numbers and texts
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// head begins the answer.
func (x *exportStream) head() {
	h := x.r.w.Header()
	kind := map[string]string{export.NDJSON: "application/x-ndjson", export.CSV: "text/csv; charset=utf-8; header=present", export.Parquet: "application/vnd.apache.parquet"}[x.form.format]
	name := fmt.Sprintf("%s-%s.%s", x.r.publisher.Name(), x.form.kind, x.form.format)
	switch x.form.compress {
	case "gzip":
		kind, name = "application/gzip", name+".gz"
	case "zstd":
		kind, name = "application/zstd", name+".zst"
	}
	if x.form.marks {
		kind = "application/vnd.cloister.marked"
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name))
	h.Set("X-Accel-Buffering", "no")
	setWriteDeadline(x.r.w, exportWrite)
	x.begun = true
	x.r.w.WriteHeader(http.StatusOK)
}

// send sends the piece: with its mark, if that is wanted.
func (x *exportStream) send(cursor string) error {
	body, err := x.compressed()
	if err != nil {
		return err
	}
	head := exportPieceHead{Bytes: len(body), Records: x.inPiece, Cursor: cursor}
	if err := x.write(head, body); err != nil {
		return err
	}
	x.piece, x.inPiece = x.piece[:0], 0
	if !x.c.lasts(x.r.caller, x.r.publisher.Name(), x.r.role) {
		return errNotAnyMore
	}
	return nil
}

func (x *exportStream) write(head exportPieceHead, body []byte) error {
	setWriteDeadline(x.r.w, exportWrite)
	if x.form.marks {
		line, err := json.Marshal(head)
		if err != nil {
			return err
		}
		if _, err := x.r.w.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	if _, err := x.r.w.Write(body); err != nil {
		return err
	}
	x.records += head.Records
	x.bytes += int64(len(body))
	return http.NewResponseController(x.r.w).Flush()
}

// compressed is the piece as it goes out: each a gzip member or zstd frame of
// its own, so that a file may be cut and continued between any two.
func (x *exportStream) compressed() ([]byte, error) {
	if len(x.piece) == 0 {
		return nil, nil
	}
	switch x.form.compress {
	case "gzip":
		x.packed.Reset()
		if x.gzip == nil {
			x.gzip = gzip.NewWriter(nil)
		}
		x.gzip.Reset(&x.packed)
		if _, err := x.gzip.Write(x.piece); err != nil {
			return nil, err
		}
		if err := x.gzip.Close(); err != nil {
			return nil, err
		}
		return x.packed.Bytes(), nil
	case "zstd":
		if x.zstd == nil {
			var err error
			if x.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20)); err != nil {
				return nil, err
			}
		}
		x.packed.Reset()
		return x.zstd.EncodeAll(x.piece, x.packed.AvailableBuffer()), nil
	}
	return x.piece, nil
}

// parquet goes through the records twice: a file must say first what kinds of
// value its columns hold.
func (x *exportStream) parquet(ctx context.Context) error {
	x.head()
	var survey export.Survey
	passed := func([]byte) error { return nil }
	err := x.e.Each(ctx, func(r *export.Record) error { survey.Add(r); return nil }, passed)
	if err != nil {
		return err
	}
	w := export.NewParquet(exportWriter{x}, x.e.Table(), &survey)
	err = x.e.Each(ctx, func(r *export.Record) error {
		x.records++
		if x.records%exportLook == 0 && !x.c.lasts(x.r.caller, x.r.publisher.Name(), x.r.role) {
			return errNotAnyMore
		}
		return w.Write(r)
	}, passed)
	if err != nil {
		return err
	}
	return w.Close()
}

// exportWriter is where a file goes that has no pieces.
type exportWriter struct{ x *exportStream }

func (w exportWriter) Write(b []byte) (int, error) {
	setWriteDeadline(w.x.r.w, exportWrite)
	n, err := w.x.r.w.Write(b)
	w.x.bytes += int64(n)
	return n, err
}
