package badinput

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// canary must never be in the log.
const canary = "canary-7f3a@bad.example"

var usual = [3]string{`"u-1 ` + canary + `"`, `"Bad Input"`, `{"a":1}`}

// unread wants that a body was not read: 400 with the place, nothing kept.
func (b *table) unread(l *line, what string, o door, body string) {
	b.t.Helper()
	if o.kept == nil { // a library that would send it again for ever is told 200
		before := b.d.refused()
		a := o.send(b.d, strings.NewReader(body))
		l.want(o.name+": "+what, a, a.status == 200 && b.d.refused() > before)
		return
	}
	a := o.send(b.d, strings.NewReader(body))
	ok := a.status == 400 && strings.Contains(a.body, "byte ")
	if o.name == "import" { // line by line
		ok = a.status == 200 && strings.Contains(a.body, `"taken":0`) && strings.Contains(a.body, "byte ")
	}
	l.want(o.name+": "+what, a, ok)
}

// item wants that a record was refused, by name.
func (b *table) item(l *line, what string, o door, body string) {
	b.t.Helper()
	before := b.d.refused()
	a := o.send(b.d, strings.NewReader(body))
	ok := a.status == 200 || a.status == 400
	if o.kept != nil {
		ok = ok && !o.kept(a) && len(a.body) > 10
	} else {
		ok = ok && b.d.refused() > before
	}
	l.want(o.name+": "+what, a, ok)
}

func syntax(b *table) {
	l := b.line("malformed JSON, trailing data, duplicate keys, byte order mark: 400 and where")
	for _, o := range doors {
		body := o.record(usual[0], usual[1], usual[2])
		if a := o.send(b.d, strings.NewReader(body)); o.kept != nil && !o.kept(a) {
			b.t.Fatalf("%s takes nothing at all: %d %s", o.name, a.status, a.body)
		}
		twice := o.record(usual[0], usual[1], `{"a":1,"a":2}`)
		for what, bad := range map[string]string{
			"cut": body[:len(body)-2], "trailing": body + " x", "twice": twice, "twice, escaped": strings.Replace(twice, `"a":2`, `"\u0061":2`, 1),
			"a comma too many": strings.Replace(body, `{"a":1}`, `{"a":1,}`, 1), "single quotes": strings.Replace(body, `{"a":1}`, `{'a':1}`, 1),
			"a comment": strings.Replace(body, `{"a":1}`, `{"a":1/**/}`, 1),
		} {
			b.unread(l, what, o, bad)
		}
		before := b.d.refused()
		a := o.send(b.d, strings.NewReader("\ufeff"+body))
		ok := a.status == 400 || o.name == "import" && strings.Contains(a.body, `"taken":0`) || o.kept == nil && b.d.refused() > before
		l.want(o.name+": byte order mark", a, ok)
	}
	for i, one := range asks {
		for what, bad := range map[string]string{"cut": one.body[:len(one.body)-1], "trailing": one.body + "x", "mark": "\ufeff" + one.body,
			"twice": `{"zz":1,"zz":2,` + one.body[1:]} {
			l.status(one.name+": "+what, b.d.askJSON(i, bad), 400)
		}
	}
	for _, text := range []string{`{"id":"ACME-APP"`, `{"id":"ACME-APP","a":1,"a":2}`, `{"id":"ACME-APP"}x`, "\ufeff{}"} {
		l.status("CleverTap /a: "+text, b.d.call("push", text), 400)
	}
}

func sizes(b *table) {
	l := b.line("a body over its limit, a Content-Length that lies: 413, closed, memory flat")
	before := b.d.memory("VmRSS:")
	for _, o := range doors {
		a := o.send(b.d, strings.NewReader(strings.Repeat(" ", o.limit+10)))
		l.status(o.name+": too large", a, 413)
		// Without a length.
		a = o.send(b.d, struct{ io.Reader }{strings.NewReader(strings.Repeat(" ", o.limit+10))})
		l.status(o.name+": too large, in chunks", a, 413)
	}
	for i, one := range asks {
		l.status(one.name+": too large", b.d.askJSON(i, `{"x":"`+strings.Repeat("x", 9<<20)+`"}`), 413, 0) // 0: it was closed on while sending
	}
	for _, path := range []string{"/v1/batch", "/batch/", "/2/httpapi", "/cloister/v1/collect"} {
		got := b.d.raw(b.d.collect, "POST "+path+"?writeKey=ACME-APP HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{", 5*time.Second)
		l.want(path+": says too much", answer{status: statusIn(got), body: got}, statusIn(got) == 413 && strings.Contains(got, "Connection: close"))
		got = b.d.raw(b.d.collect, "POST "+path+"?writeKey=ACME-APP HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 5*time.Second)
		l.want(path+": says too little", answer{status: statusIn(got), body: got}, statusIn(got) < 500 && statusIn(got) > 0)
		for _, n := range []string{"-1", "1e3", "0x10", "+5", "5, 6", "99999999999999999999999"} {
			got = b.d.raw(b.d.collect, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: "+n+"\r\n\r\n{}", 5*time.Second)
			l.want(path+": length "+n, answer{status: statusIn(got), body: got}, statusIn(got) == 400)
		}
	}
	b.flat(l, before)
}

// flat wants that memory is where it was, but for what a collector leaves.
func (b *table) flat(l *line, before int) {
	now := b.d.memory("VmRSS:")
	l.want(fmt.Sprintf("memory: %d MiB, then %d", before, now), answer{status: 200}, now < before+200)
}

func statusIn(raw string) int {
	var code int
	_, _ = fmt.Sscanf(raw, "HTTP/1.1 %d", &code)
	return code
}

// packed makes n zero bytes, or spaces, small.
func packed(encoding string, n int) string {
	var out bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "deflate":
		w = zlib.NewWriter(&out)
	case "zstd":
		w, _ = zstd.NewWriter(&out)
	}
	block := bytes.Repeat([]byte{' '}, 1<<20)
	for ; n > 0; n -= len(block) {
		_, _ = w.Write(block)
	}
	_ = w.Close()
	return out.String()
}

func bombs(b *table) {
	l := b.line("gzip, zstd and deflate bombs, nested and unknown encodings: 413 while it streams, 415")
	before := b.d.memory("VmRSS:")
	for _, encoding := range []string{"gzip", "deflate", "zstd"} {
		bomb := packed(encoding, 64<<20)
		for _, o := range doors {
			if !o.packed {
				l.status(o.name+": "+encoding, o.send(b.d, strings.NewReader(bomb), "Content-Encoding", encoding), 415)
				continue
			}
			for range 2 {
				l.status(o.name+": "+encoding, o.send(b.d, strings.NewReader(bomb), "Content-Encoding", encoding), 413)
			}
			l.status(o.name+": "+encoding+", cut", o.send(b.d, strings.NewReader(bomb[:100]), "Content-Encoding", encoding), 400, 413)
		}
	}
	unsaid := packed("gzip", 64<<20)
	for _, o := range doors {
		if !o.packed {
			continue
		}
		l.status(o.name+": gzip that is not said", o.send(b.d, strings.NewReader(unsaid)), 413)
		l.status(o.name+": gzip in gzip", o.send(b.d, strings.NewReader(unsaid), "Content-Encoding", "gzip, gzip"), 415)
		l.status(o.name+": two encodings", o.send(b.d, strings.NewReader(unsaid), "Content-Encoding", "gzip", "Content-Encoding", "gzip"), 415)
		for _, unknown := range []string{"br", "compress", "x", strings.Repeat("x", 1000)} {
			l.status(o.name+": "+unknown[:1], o.send(b.d, strings.NewReader("{}"), "Content-Encoding", unknown), 415)
		}
	}
	for i, one := range asks {
		l.status(one.name+": packed", b.d.askJSON(i, unsaid, "Content-Encoding", "gzip"), 415)
	}
	l.status("LZString", b.d.app("GET", "/a?d="+strings.Repeat("A", 50_000), nil), 400, 413)
	b.flat(l, before)
}

func depth(b *table) {
	l := b.line("nested deeper than 32: 400, never a recursive parser")
	for _, n := range []int{40, 10_000, 100_000} {
		for _, kind := range [][2]string{{"[", "]"}, {`{"a":`, "}"}} {
			deep := strings.Repeat(kind[0], n) + "1" + strings.Repeat(kind[1], n)
			for _, o := range doors {
				body := o.record(usual[0], usual[1], `{"a":`+deep+`}`)
				if len(body) < o.limit {
					b.unread(l, fmt.Sprint(n, kind[0]), o, body)
				}
			}
			for i, one := range asks {
				if len(deep) < 10_000 {
					l.status(one.name, b.d.askJSON(i, `{"a":`+deep+`}`), 400)
				}
			}
		}
	}
}

func numbers(b *table) {
	l := b.line("NaN, Infinity, 1e400, whole numbers of more than 64 bits: 400")
	for _, o := range doors {
		for _, n := range []string{"NaN", "Infinity", "-Infinity", "1e400", "-1e999", "9223372036854775808", "123456789012345678901234567890", "01", "+1", "0x1", ".5", "1."} {
			b.unread(l, n, o, o.record(usual[0], usual[1], `{"a":`+n+`}`))
		}
	}
	// Exactly kept.
	a := doors[7].send(b.d, strings.NewReader(doors[7].record(`"exact"`, `"Exact"`, `{"n":9007199254740993}`)))
	l.want("2^53+1 is taken", a, doors[7].kept(a))
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) { // until it is applied
		a = b.d.root("GET", "/v1/publishers/acme/people/exact/timeline", "")
		if strings.Contains(a.body, "Exact") || time.Now().After(deadline) {
			break
		}
	}
	l.want("2^53+1 is kept to the digit", a, strings.Contains(a.body, "9007199254740993"))
}

func characters(b *table) {
	l := b.line("invalid UTF-8, lone surrogates, NUL, direction marks: 400 on ids and names, values never altered")
	for _, o := range doors {
		for what, id := range map[string]string{"UTF-8": "\"a\xff\"", "overlong": "\"a\xc0\x80\"", "surrogate": `"a\ud800"`, "raw NUL": "\"a\x00\"", "raw line": "\"a\n\""} {
			b.unread(l, what+" in an id", o, o.record(id, usual[1], usual[2]))
			b.unread(l, what+" in a name", o, o.record(usual[0], id, usual[2]))
			b.unread(l, what+" in a value", o, o.record(usual[0], usual[1], `{"a":`+id+`}`))
		}
		for what, id := range map[string]string{"NUL": `"a\u0000b"`, "direction": `"a\u202eb"`, "isolate": `"a\u2066b"`, "escape": `"a\u001b[31m"`, "line": `"a\r\nb"`} {
			b.item(l, what+" in an id", o, o.record(id, usual[1], usual[2]))
			b.item(l, what+" in a name", o, o.record(usual[0], id, usual[2]))
		}
	}
}

func shapes(b *table) {
	l := b.line("giant ids, zero length, a list where an object stands: refused, itemised")
	giant := `"` + strings.Repeat("x", 20_000) + `"`
	for _, o := range doors {
		b.item(l, "a giant id", o, o.record(giant, usual[1], usual[2]))
		b.item(l, "a giant name", o, o.record(usual[0], giant, usual[2]))
		b.item(l, "an empty id", o, o.record(`""`, usual[1], usual[2]))
		b.item(l, "an empty name", o, o.record(usual[0], `""`, usual[2]))
		b.item(l, "a list for an id", o, o.record(`["u"]`, usual[1], usual[2]))
		b.item(l, "an object for a name", o, o.record(usual[0], `{"a":1}`, usual[2]))
		if !strings.HasPrefix(o.name, "Mixpanel") { // whose properties hold the id, and are an object
			b.item(l, "a list for properties", o, o.record(usual[0], usual[1], `[1,2]`))
		}
		var many strings.Builder
		for i := range 400 {
			fmt.Fprintf(&many, `,"k%d":1`, i)
		}
		b.item(l, "too many properties", o, o.record(usual[0], usual[1], `{"a":1`+many.String()+`}`))
		a := o.send(b.d, strings.NewReader(o.record(`"🙂"`, `"🙂 name"`, `{"🙂":"🙂"}`)))
		l.want(o.name+": emoji are names", a, o.kept == nil && a.status == 200 || o.kept != nil && o.kept(a))
		for _, whole := range []string{``, `null`, `1`, `"x"`, `{}`, `[]`, `[[]]`, `[null]`, `{"batch":{}}`, `{"d":[1]}`} {
			a := o.send(b.d, strings.NewReader(whole))
			l.want(o.name+": "+whole, a, a.status == 200 || a.status >= 400 && a.status < 500)
		}
	}
}

func noIDs(b *table) {
	l := b.line("ids that stand for none (undefined, null, all-zero UUIDs): refused, itemised")
	for _, o := range doors {
		for _, id := range []string{"undefined", "null", "NaN", "anonymous", "[object Object]", "None", "0", "00000000-0000-0000-0000-000000000000"} {
			b.item(l, id, o, o.record(`"`+id+`"`, usual[1], usual[2]))
		}
	}
}

func times(b *table) {
	l := b.line("far ahead or too old: the server's time, or refused; no row of 1970 or 9999")
	event := `"Out Of Time"`
	for stamp, want := range map[string]bool{"9999-12-31T23:59:59Z": true, "2099-01-01T00:00:00Z": true, "1970-01-01T00:00:00Z": false, "0001-01-01T00:00:00Z": false} {
		at, err := time.Parse(time.RFC3339, stamp)
		if err != nil {
			b.t.Fatal(err)
		}
		for name, send := range map[string]func() (answer, bool){
			"plain HTTP": func() (answer, bool) {
				a := b.d.app("POST", "/cloister/v1/collect", strings.NewReader(`{"key":"ACME-APP","batch":[{"user":"t","event":`+event+`,"ts":"`+stamp+`"}]}`))
				return a, strings.Contains(a.body, `"accepted":1`)
			},
			"Segment": func() (answer, bool) {
				a := doors[2].send(b.d, strings.NewReader(`{"batch":[{"type":"track","userId":"t","event":`+event+`,"timestamp":"`+stamp+`"}]}`))
				return a, doors[2].kept(a)
			},
			"CleverTap": func() (answer, bool) {
				a := doors[0].send(b.d, strings.NewReader(fmt.Sprintf(`{"d":[{"type":"event","identity":"t","evtName":%s,"ts":%d}]}`, event, at.Unix())))
				return a, doors[0].kept(a)
			},
			"import": func() (answer, bool) {
				a := doors[8].send(b.d, strings.NewReader(fmt.Sprintf(`{"user":"t","event":%s,"ts":%q}`, event, stamp)))
				return a, doors[8].kept(a)
			},
		} {
			a, kept := send()
			ok := kept == want
			if name == "CleverTap" && at.Year() == 9999 {
				ok = !kept // what is no count of seconds since 1970 is refused
			}
			l.want(name+" "+stamp, a, ok && a.status < 500)
		}
	}
	a := b.d.root("GET", "/v1/publishers/acme", "")
	var o struct {
		Events []struct {
			Name        string
			First, Last time.Time
		}
	}
	err := json.Unmarshal([]byte(a.body), &o)
	ok := err == nil
	for _, e := range o.Events {
		ok = ok && e.First.Year() > 2000 && e.Last.Before(time.Now().Add(48*time.Hour))
	}
	l.want("what there is", a, ok)
}

func names(b *table) {
	l := b.line("an explosion of names, keys, values, identities: names beyond 1,024 refused one by one, an alarm; memory bounded")
	before := b.d.memory("VmRSS:")
	refused := 0
	for i := range 3 {
		var batch strings.Builder
		for j := range 500 {
			if j > 0 {
				batch.WriteByte(',')
			}
			fmt.Fprintf(&batch, `{"user":"n","event":"Exploding %d-%d"}`, i, j)
		}
		a := b.d.app("POST", "/cloister/v1/collect", strings.NewReader(`{"key":"OTHER-APP","batch":[`+batch.String()+`]}`))
		n := strings.Count(a.body, `"index"`)
		refused += n
		l.want("names of events", a, a.status == 200 || a.status == 400 && n == 500)
	}
	l.want(fmt.Sprintf("%d of 1500 were refused", refused), answer{status: 200}, refused >= 1500-1024 && refused < 600)
	a := b.d.root("GET", "/v1/health", "")
	l.want("the alarm", a, strings.Contains(a.body, "ingest.names"))
	for range 20 {
		var batch strings.Builder
		for j := range 1000 {
			if j > 0 {
				batch.WriteByte(',')
			}
			fmt.Fprintf(&batch, `{"user":"many-%d-%d","event":"Exploding 0-0","props":{"v":"%d-%d"}}`, time.Now().UnixNano(), j, time.Now().UnixNano(), j)
		}
		a := b.d.app("POST", "/cloister/v1/collect", strings.NewReader(`{"key":"OTHER-APP","batch":[`+batch.String()+`]}`))
		l.want("values and identities", a, strings.Contains(a.body, `"accepted":1000`))
	}
	b.flat(l, before)
}
