package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// importPatience is how long a part is tried again while the daemon does not
// take it: it may be restarting, or the disk may be full.
const importPatience = 10 * time.Minute

// importer brings one file in, part after part: the next is read while one is
// under way. Each may be sent again without harm, since lines have ids that
// follow from the file and their numbers.
type importer struct {
	client   *client
	url      string
	list     bool // of people: parts follow each other without a gap, and a last call ends them
	dir      string
	in       io.Reader // of "-"
	csv      *csvLines // how a file is read that is CSV; nil = it is NDJSON
	screen   io.Writer // where the progress bar is drawn
	patience time.Duration

	name  string // of the file, for what lies in dir
	first int64  // line that this run begins at

	mark    bookmark
	rejects *os.File
	bar     *bar
}

// rejected is a line of the file of rejects.
type rejected struct {
	refusal
	Record json.RawMessage `json:"record"`

	text string
}

// importResult is how it went.
type importResult struct {
	File    string  `json:"file"`
	Taken   int64   `json:"taken"`
	Refused int64   `json:"refused"`
	Rejects string  `json:"rejects,omitempty"`
	People  *int64  `json:"people,omitempty"`  // on the list
	Unknown *int64  `json:"unknown,omitempty"` // identities that nobody has
	Seconds float64 `json:"seconds"`
}

func (r importResult) String() string {
	s := fmt.Sprintf("%s: %s taken in %s", r.File, thousands(r.Taken), time.Duration(r.Seconds*float64(time.Second)).Round(100*time.Millisecond))
	if r.Refused > 0 {
		s += fmt.Sprintf(", %s refused: see %s", thousands(r.Refused), r.Rejects)
	}
	if r.People != nil {
		s += fmt.Sprintf("; %s people are on the list, %s identities are nobody's", thousands(*r.People), thousands(*r.Unknown))
	}
	return s
}

// bookmark is how far an import came: every line before Line is done.
type bookmark struct {
	Source  string `json:"source"` // of the file, by its content
	URL     string `json:"url"`
	Line    int64  `json:"line"`
	Taken   int64  `json:"taken"`
	Refused int64  `json:"refused"`
	Rejects int64  `json:"rejects"` // bytes of the file of rejects
}

func (i *importer) run(ctx context.Context, path string) (result importResult, err error) {
	src, err := openSource(path, i.in, i.csv)
	if err != nil {
		return result, err
	}
	defer src.close()
	if err := i.resume(src); err != nil {
		return result, err
	}
	begun := time.Now()
	i.bar = startBar(i.screen, src.name, src.size)
	if i.mark.Line > 1 {
		i.bar.note(fmt.Sprintf("%s: going on at line %s", src.name, thousands(i.mark.Line)))
	}
	err = i.send(ctx, src)
	var list importAnswer
	if err == nil && i.list {
		err = i.try(ctx, &part{line: i.mark.Line, last: true}, &list)
	}
	i.bar.stop()
	if err = errors.Join(err, i.closeRejects()); err != nil {
		if errors.Is(err, errOutOfOrder) {
			return result, errors.Join(err, os.Remove(i.progressPath(src.name)))
		}
		if serr := i.save(); serr == nil && i.mark.Line > 1 && path != "-" {
			err = fmt.Errorf("%w\n%s lines are in; the same command goes on there", err, thousands(i.mark.Line-1))
		}
		return result, err
	}
	result = importResult{File: path, Taken: i.mark.Taken, Refused: i.mark.Refused, Seconds: time.Since(begun).Seconds()}
	if i.list {
		result.People, result.Unknown = &list.People, &list.Unknown
	}
	if i.mark.Refused > 0 {
		result.Rejects = i.rejectsPath(src.name)
	}
	// What follows from a finished import is a new one.
	if err := os.Remove(i.progressPath(src.name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return result, err
	}
	return result, nil
}

func (i *importer) progressPath(name string) string { return filepath.Join(i.dir, name+".progress") }
func (i *importer) rejectsPath(name string) string  { return filepath.Join(i.dir, name+".rejects") }

// resume finds out where to begin, and opens the file of rejects.
func (i *importer) resume(src *source) error {
	b, err := os.ReadFile(i.progressPath(src.name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err == nil {
		var was bookmark
		// Another file, or another publisher, begins at its own beginning.
		if json.Unmarshal(b, &was) == nil && was.Source == src.id && was.URL == i.url {
			i.mark = was
		}
	}
	if i.mark.Line == 0 {
		i.mark = bookmark{Source: src.id, URL: i.url, Line: 1}
	}
	i.rejects, err = os.OpenFile(i.rejectsPath(src.name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600) // it may hold personal data
	if err == nil {
		// Behind that are those of parts that are sent again.
		var st os.FileInfo
		if st, err = i.rejects.Stat(); err == nil {
			err = i.rejects.Truncate(min(st.Size(), i.mark.Rejects))
		}
		if err != nil {
			i.rejects.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("the file of rejects (--dir says where it lies): %w", err)
	}
	i.name, i.first = src.name, i.mark.Line
	return nil
}

// closeRejects closes the file of rejects, and removes it if it is empty.
func (i *importer) closeRejects() error {
	st, err := i.rejects.Stat()
	if cerr := i.rejects.Close(); err == nil {
		err = cerr
	}
	if err == nil && st.Size() == 0 {
		err = os.Remove(i.rejects.Name())
	}
	return err
}

// send sends the parts, and reads the next one meanwhile.
func (i *importer) send(ctx context.Context, src *source) error {
	parts := make(chan *part)
	reading, stop := context.WithCancel(ctx)
	var read error // set before parts is closed
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(parts)
		read = i.feed(reading, src, parts)
	})
	defer reader.Wait()
	defer stop()
	for p := range parts {
		if err := i.deliver(ctx, p); err != nil {
			if ctx.Err() != nil {
				return errors.New("interrupted")
			}
			return err
		}
	}
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return read
}

func (i *importer) feed(ctx context.Context, src *source, parts chan<- *part) error {
	for {
		p, err := src.next(i.first)
		if p != nil {
			select {
			case parts <- p:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// refusal is a line that was not taken.
type refusal struct {
	Line  int64  `json:"line"`
	Error string `json:"error"`
}

type importAnswer struct {
	Taken   int64     `json:"taken"`
	Refused []refusal `json:"refused"`
	People  int64     `json:"people"` // of a list
	Unknown int64     `json:"unknown"`
}

// deliver sends one part until it is taken.
func (i *importer) deliver(ctx context.Context, p *part) error {
	var out importAnswer
	if i.list && len(p.body) == 0 { // empty lines count too
		p.body = bytes.Repeat([]byte("\n"), int(p.next-p.line))
	}
	if len(p.body) > 0 {
		if err := i.try(ctx, p, &out); err != nil {
			return err
		}
	}
	out.Refused = append(out.Refused, p.refused...)
	return i.done(p, out)
}

func (i *importer) try(ctx context.Context, p *part, out *importAnswer) error {
	path := i.url + "?"
	if strings.Contains(i.url, "?") {
		path = i.url + "&"
	}
	path += "source=" + i.mark.Source + "&line=" + strconv.FormatInt(p.line, 10)
	if p.last {
		path += "&last=true"
	}
	begun, wait := time.Now(), 250*time.Millisecond
	for {
		b, err := i.client.roundTrip(ctx, http.MethodPost, path, bytes.NewReader(p.body))
		if err == nil {
			if err := json.Unmarshal(b, out); err != nil {
				return fmt.Errorf("the daemon's answer is not what this version understands: %w", err)
			}
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		pause, again := retry(err, wait)
		if !again || time.Since(begun)+pause > i.patience {
			return i.final(err)
		}
		i.bar.waits(err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		wait = min(2*wait, 30*time.Second)
	}
}

// retry says whether an error passes, and how long to wait for that.
func retry(err error, wait time.Duration) (time.Duration, bool) {
	pause := wait/2 + rand.N(wait)
	var ae *apiError
	if !errors.As(err, &ae) {
		return pause, true // no connection: the daemon may be restarting
	}
	switch ae.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusInsufficientStorage:
		return max(pause, ae.RetryAfter), true
	}
	return 0, false
}

// errOutOfOrder: somebody else uploads the same list, or it was deleted.
var errOutOfOrder = errors.New("the list was changed by somebody else meanwhile; the same command begins again")

func (i *importer) final(err error) error {
	var ae *apiError
	if errors.As(err, &ae) {
		if i.list && ae.Status == http.StatusConflict {
			return errOutOfOrder
		}
		return ae.exit()
	}
	return i.client.unreachable(err)
}

// done moves the bookmark behind a part: what is not behind it is sent again
// after a crash.
func (i *importer) done(p *part, out importAnswer) error {
	var refused []rejected
	for _, r := range out.Refused {
		refused = append(refused, rejected{refusal: r, text: p.text(r.Line)})
	}
	if err := i.reject(refused); err != nil {
		return err
	}
	i.mark.Line, i.mark.Taken, i.mark.Refused = p.next, i.mark.Taken+out.Taken, i.mark.Refused+int64(len(refused))
	i.bar.add(p.at, p.next-p.line, int64(len(refused)))
	return i.save()
}

func (i *importer) reject(all []rejected) error {
	for _, r := range all {
		b, err := i.rejectLine(r)
		if err == nil {
			_, err = i.rejects.Write(b)
		}
		if err != nil {
			return fmt.Errorf("writing %s: %w", i.rejects.Name(), err)
		}
	}
	if len(all) == 0 {
		return nil
	}
	st, err := i.rejects.Stat()
	if err != nil {
		return fmt.Errorf("writing %s: %w", i.rejects.Name(), err)
	}
	i.mark.Rejects = st.Size()
	return nil
}

// rejectLine is r as it can be mended and imported again.
func (i *importer) rejectLine(r rejected) ([]byte, error) {
	if i.csv != nil {
		var b []byte
		st, err := i.rejects.Stat()
		if err != nil {
			return nil, err
		}
		if st.Size() == 0 {
			b = i.csv.rejectHeader()
		}
		return i.csv.appendReject(b, r.Line, r.Error, r.text), nil
	}
	// As it is, where that is JSON: what stands in a text is hard to mend.
	var err error
	if r.Record = json.RawMessage(r.text); len(r.text) == 0 || r.text[0] != '{' || !json.Valid(r.Record) {
		if r.Record, err = json.Marshal(r.text); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err = e.Encode(r)
	return b.Bytes(), err
}

func (i *importer) save() error { return saveProgress(i.progressPath(i.name), i.mark) }

// saveProgress writes how far something came, so that a crash leaves the old or
// the new.
func saveProgress(path string, mark any) error {
	b, err := json.Marshal(mark)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing down the progress: %w", err)
	}
	return os.Rename(path+".new", path)
}
