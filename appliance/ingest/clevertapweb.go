package ingest

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// The dialect of CleverTap's library for browsers: one call is one GET, mostly
// of a script element, whose query holds what is told, packed by LZString, and
// whose answer is a script that the library's page runs. Facts about it come
// from recordings of the library and from its source.

// clevertapMaxCall bounds what a call unpacks to. Go bounds the URL itself.
const clevertapMaxCall = 512 << 10

func (d *Door) clevertapWebRoutes() {
	d.mux.HandleFunc("GET /a", cors(d.take(d.clevertapWeb)))
	// The recorder of clicks: the link itself is counted, by links.
	d.mux.HandleFunc("GET /r", func(w http.ResponseWriter, _ *http.Request) { writeText(w, "text/javascript; charset=utf-8", "") })
	d.mux.HandleFunc("OPTIONS /a", cors(preflight))
}

// clevertapCall is one call of the library, read.
type clevertapCall struct {
	query url.Values
	kind  string       // of the call: "page", "push", "ping", "data"
	text  string       // what it tells, as JSON
	data  event.Value  // the same
	o     []event.Prop // the same
	guid  string       // of the device, without the mark of opting out; "" = it has none yet
	out   bool         // it was raised while the device had opted out
}

// clevertapRead reads what a call tells, and whose it is. Where that fails it has
// answered, and ok is false. release must be called when nothing uses the call
// any more.
func (d *Door) clevertapRead(w http.ResponseWriter, r *http.Request) (c *clevertapCall, key Key, release func(), ok bool) {
	query := r.URL.Query()
	text, drop, err := clevertapUnpack(visitOf(r), query.Get("d"))
	if busy(err) {
		d.refuse(w, r, err)
		return nil, Key{}, nil, false
	}
	if err != nil {
		clevertapFail(w, statusOf(err), err.Error())
		return nil, Key{}, nil, false
	}
	p := d.parsers.Get().(*parser)
	p.begin(text)
	release = func() {
		p.forget()
		d.parsers.Put(p)
		drop()
	}
	data, err := p.whole()
	if err == nil && data.Kind() != event.Object {
		err = badBody("d must hold an object")
	}
	if err != nil {
		release()
		clevertapFail(w, http.StatusBadRequest, err.Error())
		return nil, Key{}, nil, false
	}
	if key, ok = d.o.Key(event.Lookup(data.Object(), "id").Text()); !ok {
		release()
		clevertapFail(w, http.StatusUnauthorized, clevertapNoAccount)
		return nil, Key{}, nil, false
	}
	return readClevertapCall(query, text, data), key, release, true
}

func (d *Door) clevertapWeb(w http.ResponseWriter, r *http.Request) {
	c, key, release, ok := d.clevertapRead(w, r)
	if !ok {
		return
	}
	defer release()
	b := d.begin("clevertap-web", key)
	answer := translateClevertapCall(b, c, r)
	if !d.write(w, r, b) {
		return
	}
	// A library that fetches reads JSON; a script element runs a script.
	if r.Header.Get("X-CleverTap-Encryption-Enabled") != "" {
		writeJSON(w, http.StatusOK, answer.object())
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	writeText(w, "text/javascript; charset=utf-8", answer.script())
}

// clevertapUnpack gives the JSON that a parameter d holds. While it is in use it
// is counted among the bodies; release ends that. The error is a *bodyError, or
// an *errBusy.
func clevertapUnpack(v *visit, packed string) (text string, release func(), err error) {
	reserve := int64(clevertapMaxCall)
	if err := v.hold(reserve); err != nil {
		return "", nil, err
	}
	text, err = clevertapPlain(packed)
	// As much as it may become was reserved; from here on it is known.
	used := min(reserve, int64(len(text)))
	v.drop(reserve - used)
	if err != nil {
		v.drop(used)
		return "", nil, err
	}
	return text, func() { v.drop(used) }, nil
}

// clevertapPlain unpacks d, and what an envelope in it hides. The key is in the
// envelope, so it hides nothing; the library offers it all the same.
func clevertapPlain(packed string) (string, error) {
	text, err := lzDecode(packed, clevertapMaxCall)
	if errors.Is(err, errLZLarge) {
		return "", tooLarge(clevertapMaxCall)
	}
	if err != nil {
		return "", badBody("d cannot be unpacked: %v", err)
	}
	if !strings.Contains(text, `"itp"`) {
		return text, nil
	}
	v, err := parseJSON(text)
	if err != nil {
		return "", badBody("%v", err)
	}
	o := v.Object()
	if !event.Lookup(o, "encrypted").Bool() {
		return text, nil
	}
	inner, err := clevertapOpen(event.Lookup(o, "itk").Text(), event.Lookup(o, "itv").Text(), event.Lookup(o, "itp").Text())
	if err != nil {
		return "", badBody("the envelope in d cannot be opened: %v", err)
	}
	if text, err = lzDecode(inner, clevertapMaxCall); errors.Is(err, errLZLarge) {
		return "", tooLarge(clevertapMaxCall)
	} else if err != nil {
		return "", badBody("what the envelope in d holds cannot be unpacked: %v", err)
	}
	return text, nil
}

// clevertapOpen opens what the library sealed by AES-GCM; all three are base64.
func clevertapOpen(key, nonce, sealed string) (string, error) {
	var parts [3][]byte
	for i, s := range []string{key, nonce, sealed} {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return "", err
		}
		parts[i] = b
	}
	block, err := aes.NewCipher(parts[0])
	if err != nil {
		return "", err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return "", err
	}
	if len(parts[1]) != gcm.NonceSize() {
		return "", errors.New("its nonce has another length")
	}
	plain, err := gcm.Open(nil, parts[1], parts[2], nil)
	return string(plain), err
}

// clevertapOut marks the device id of a library that is to be silent.
const clevertapOut = ":OO"

func readClevertapCall(query url.Values, text string, data event.Value) *clevertapCall {
	c := &clevertapCall{query: query, kind: query.Get("type"), text: text, data: data, o: data.Object()}
	told := event.Lookup(c.o, "g").Text()
	c.out = strings.HasSuffix(told, clevertapOut) || strings.HasSuffix(query.Get("gc"), clevertapOut)
	// What was packed may be older than the id, which is added when it is sent.
	for _, id := range []string{query.Get("gc"), told} {
		if id = strings.TrimSuffix(id, clevertapOut); clevertapGUID(id) {
			c.guid = id
			break
		}
	}
	return c
}

// clevertapGUID says whether id may be a device's: the library keeps it in a
// cookie, and it goes back to it in a script.
func clevertapGUID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', strings.IndexByte("-_.!:@$", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// number is a whole number of the query, 0 where there is none.
func (c *clevertapCall) number(name string) int64 {
	n, err := strconv.ParseInt(c.query.Get(name), 10, 64)
	if err != nil || n < 0 || n > 1<<53 {
		return 0
	}
	return n
}

// at is when the call was made, by our clock: the library says when it sent it,
// so what its clock is off by is known.
func (c *clevertapCall) at(now time.Time) time.Time {
	made := c.number("i")
	if made == 0 || made > 1<<40 {
		return now
	}
	at := time.Unix(made, 0)
	if sent := c.number("r"); sent > 0 {
		at = at.Add(skew(now, time.UnixMilli(sent)).Truncate(time.Second))
	}
	return at
}

// clevertapAnswer is what the library is told.
type clevertapAnswer struct {
	guid    string // with the mark, if it is to be silent
	session int64  // when it began, in epoch seconds
	resume  bool   // the device is another user's from now on
	number  int64  // of the request, which frees what the library kept of it
	out     *bool  // answers a decision about collection
	more    []event.Prop
	push    string // the key for web push, "" = nothing about it
}

// script is what a script element runs. Nothing of it is anybody's data: whoever
// guesses an address gets the same.
func (a *clevertapAnswer) script() string {
	var b strings.Builder
	if len(a.more) > 0 {
		b.WriteString("$WZRK_WR.tr(" + inScript(event.OfObject(a.more)) + ");")
	}
	b.WriteString("$WZRK_WR.s(" + inScript(event.OfText(a.guid)) + "," + strconv.FormatInt(a.session, 10) + "," +
		strconv.FormatBool(a.resume) + "," + strconv.FormatInt(a.number, 10))
	if a.out != nil {
		b.WriteString("," + strconv.FormatBool(*a.out))
	}
	b.WriteString(");")
	if a.push != "" {
		b.WriteString("$WZRK_WR.enableWebPush(true," + inScript(event.OfText(a.push)) + ");")
	}
	return b.String()
}

// object is the same for a library that fetches.
func (a *clevertapAnswer) object() event.Value {
	meta := []event.Prop{
		{Key: "g", Value: event.OfText(a.guid)}, {Key: "sid", Value: event.OfInt(a.session)},
		{Key: "rf", Value: event.OfBool(a.resume)}, {Key: "rn", Value: event.OfInt(a.number)},
	}
	if a.out != nil {
		meta = append(meta, event.Prop{Key: "optOut", Value: event.OfBool(*a.out)})
	}
	out := []event.Prop{{Key: "tr", Value: event.OfObject(a.more)}, {Key: "meta", Value: event.OfObject(meta)}}
	if a.push != "" {
		out = append(out, event.Prop{Key: "wpe", Value: event.OfObject([]event.Prop{
			{Key: "enabled", Value: event.OfBool(true)}, {Key: "key", Value: event.OfText(a.push)},
		})})
	}
	return event.OfObject(out)
}

// inScript writes a value so that it can stand in a script, and so that the
// script can stand in a page.
func inScript(v event.Value) string {
	return scriptSafe.Replace(string(v.AppendJSON(nil)))
}

var scriptSafe = strings.NewReplacer("<", `\u003c`, ">", `\u003e`, "&", `\u0026`, "\u2028", `\u2028`, "\u2029", `\u2029`)
