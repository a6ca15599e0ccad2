package badinput

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

const (
	providerSecret = "a-secret-of-providers"
	bounceKey      = "0123456789abcdef0123456789abcdef"
)

// providers is what the connectors' blocks are, of a publisher.
const providers = `
  connector "sms" "gateway" {
    plugin = "smshttp"
    settings {
      request {
        url  = "http://127.0.0.1:1/send"
        json = "{\"to\":\"{to}\",\"text\":\"{text}\"}"
      }
      callbacks {
        secret  = "` + providerSecret + `"
        message = "ref"
        id      = "id"
        status  = "status"
        from    = "from"
        text    = "text"
      }
    }
  }
  connector "email" "relay" {
    plugin = "smtp"
    settings {
      host = "127.0.0.1"
      port = 1
      from = "Acme <hello@acme.example>"
      tls { mode = "none" }
      bounces {
        domain = "bounce.acme.example"
        key    = "` + bounceKey + `"
      }
    }
  }
`

const gateway = "/receipts/acme/gateway"

func signature(body string) string {
	mac := hmac.New(sha256.New, []byte(providerSecret))
	io.WriteString(mac, body)
	return hex.EncodeToString(mac.Sum(nil))
}

// signed posts what the provider really signed.
func (d *daemon) signed(body string, headers ...string) answer {
	return d.app("POST", gateway, strings.NewReader(body), append([]string{"Content-Type", "application/json", "X-Signature", signature(body)}, headers...)...)
}

// until waits for what takes a while at the start.
func (b *table) until(what string, ok func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if b.d.crashed() || time.Now().After(deadline) {
			b.t.Fatalf("waited in vain for %s:\n%.4000s", what, b.d.log)
		}
	}
}

// webhooks is the door for providers.
func webhooks(b *table) {
	l := b.line("providers' webhooks: forged 403, unknown 404, too large 413, cut 400; what is signed and makes no sense 200 and nothing; nothing is unpacked")
	b.until("the connector", func() bool { return b.d.signed("{}").status == 200 })
	before := b.d.memory("VmRSS:")
	body := `{"ref":"m1","status":"delivered","text":"` + canary + `"}`
	for what, s := range map[string]string{
		"none": "", "another's": signature(body + " "), "cut": signature(body)[:20], "no hexadecimal": strings.Repeat("x", 64), "the secret": providerSecret, "long": strings.Repeat("a", 30_000),
	} {
		l.status("a signature: "+what, b.d.app("POST", gateway, strings.NewReader(body), "X-Signature", s, "Content-Type", "application/json"), 403)
	}
	l.status("a GET", b.d.app("GET", gateway+"?ref=m1&status=delivered", nil), 403)
	l.status("a GET of what is signed", b.d.app("GET", gateway+"?ref=m1&status=delivered", nil, "X-Signature", signature("")), 200) // the query is not
	for _, path := range []string{
		"/receipts", "/receipts/", "/receipts/acme", "/receipts/acme/", "/receipts/acme/none", "/receipts/none/gateway", "/receipts/acme/sms/gateway", "/receipts/" + canary + "/x",
		"/receipts/acme/gateway%00", "/receipts/ACME/gateway", "/receipts/other/gateway", "/receipts/acme/../acme/gateway", "/receipts//gateway",
	} {
		a := b.d.app("POST", path, strings.NewReader(body), "X-Signature", signature(body))
		l.status(path, a, 404, 301, 307, 405)
	}
	l.status("an escaped slash is one", b.d.app("POST", "/receipts/acme%2fgateway", strings.NewReader(body), "X-Signature", signature(body)), 200)
	for _, method := range []string{"DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "XYZ"} {
		l.status(method, b.d.app(method, gateway, nil), 405)
	}
	many := "[" + strings.TrimSuffix(strings.Repeat(`{"id":"a","status":"delivered"},`, 30_000), ",") + "]"
	stops := "[" + strings.TrimSuffix(strings.Repeat(`{"from":"+4915112345678","text":"STOP"},`, 20_000), ",") + "]"
	for what, garbage := range map[string]string{
		"nothing": "", "no JSON": "nonsense " + canary, "cut": body[:30], "two": body + body, "null": "null", "a number": "1e400", "many digits": `{"ref":` + strings.Repeat("9", 100_000) + `,"status":"delivered"}`,
		"deep": strings.Repeat("[", 500_000), "deep, and whole": strings.Repeat(`{"status":`, 90_000) + "1" + strings.Repeat("}", 90_000), "NUL": "{\"ref\":\"a\\u0000b\",\"status\":\"delivered\"}",
		"no UTF-8": "{\"ref\":\"\xff\xfe\",\"status\":\"delivered\"}", "lone surrogate": `{"ref":"\ud800","status":"delivered"}`, "an object for a text": `{"ref":{"a":[1]},"status":[1],"from":{},"text":null}`,
		"a long id": `{"ref":"` + strings.Repeat("x", 100_000) + `","status":"delivered"}`, "a long status": `{"ref":"m1","status":"` + strings.Repeat("x", 100_000) + `"}`,
		"line breaks": `{"ref":"m1\r\nX: y","status":"failed\r\nlevel=ERROR"}`, "nobody's STOP": `{"from":"+4915112345678","text":"STOP"}`, "STOP by " + canary: `{"from":"` + canary + `","text":"STOP"}`,
		"thousands": many, "thousands of STOP": stops, "the twentieth key": `{` + strings.Repeat(`"a":1,`, 100_000) + `"ref":"m1","status":"delivered"}`,
	} {
		l.status("signed: "+what, b.d.signed(garbage), 200)
	}
	for what, kind := range map[string]string{"no form": "application/x-www-form-urlencoded", "no type": "", "parts": "multipart/form-data; boundary=x", "a strange type": "a/b; c=\"" + strings.Repeat("x", 10_000)} {
		l.status("signed: "+what, b.d.signed("%zz&=&ref=m1;status=delivered", "Content-Type", kind), 200)
	}
	l.status("too large", b.d.signed(strings.Repeat(" ", 1<<20+1)), 413)
	large := strings.Repeat(" ", 4<<20)
	l.status("too large, in chunks", b.d.app("POST", gateway, struct{ io.Reader }{strings.NewReader(large)}, "X-Signature", signature(large)), 413)
	got := b.d.raw(b.d.collect, "POST "+gateway+" HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n{", 5*time.Second)
	code := statusIn(got)
	l.want("says too much, and waits", answer{status: 413, body: got}, code == 413 || code == 0) // 0: it is waited for, within bounds
	for _, encoding := range []string{"gzip", "deflate", "zstd"} {
		bomb := packed(encoding, 256<<20)
		l.status(encoding+", not signed", b.d.app("POST", gateway, strings.NewReader(bomb), "Content-Encoding", encoding), 403, 413)
		if len(bomb) <= 1<<20 {
			l.status(encoding+", signed", b.d.signed(bomb, "Content-Encoding", encoding), 200)
		}
	}
	got = b.d.cut(b.d.collect, "POST "+gateway+" HTTP/1.1\r\nHost: a\r\nX-Signature: "+signature(body)+"\r\nContent-Length: 1000\r\n\r\n"+body)
	l.status("half closed within the body", answer{status: statusIn(got), body: got}, 400)
	b.flat(l, before)
	l.status("and it is still there", b.d.signed("{}"), 200)
}

// slowWebhook is a body that trickles.
func slowWebhook(b *table) {
	l := b.line("slow headers, slow bodies, slow readers, idle connections: closed, 408; others notice nothing")
	got := b.d.raw(b.d.collect, "POST "+gateway+" HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{", 60*time.Second)
	l.status("a webhook's body that trickles", answer{status: statusIn(got), body: got}, 400, 408)
}

// cut sends bytes, sends no more, and reads until the daemon closes.
func (d *daemon) cut(address, text string) string {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
	_, _ = io.WriteString(conn, text)
	_ = conn.(*net.TCPConn).CloseWrite()
	got, _ := io.ReadAll(conn)
	return string(got)
}

// returnedMail is the listener for mail that came back.
func returnedMail(b *table) {
	l := b.line("returned mail: garbage, relaying, forging, smuggling, giants, nesting, cut, a crowd: refused or hung up on, never taken")
	say := func(lines ...string) string { return b.d.cut(b.d.mail, strings.Join(lines, "\r\n")+"\r\n") }
	taken := func(got string) int { return strings.Count(got, "OK: queued") }
	id := "0123456789abcdef"
	genuine := mark('u', id) + "@bounce.acme.example"
	letter := func(to string, body ...string) string {
		return say(append(append([]string{"EHLO x", "MAIL FROM:<ann@example.com>", "RCPT TO:<" + to + ">", "DATA"}, body...), ".", "QUIT")...)
	}
	b.until("the connector", func() bool { return taken(letter(genuine, "Subject: unsubscribe", "", "x")) == 1 })
	before := b.d.memory("VmRSS:")
	nothing := func(what, got string) {
		b.t.Helper()
		l.want(what, answer{status: 200, body: got}, taken(got) == 0 && (got == "" || strings.HasPrefix(got, "220 ")))
	}
	for what, text := range map[string]string{
		"nothing": "", "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "HTTP": "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "NUL": strings.Repeat("\x00", 10_000), "no line": strings.Repeat("x", 1<<20),
		"long lines": strings.Repeat("EHLO "+strings.Repeat("x", 5000)+"\r\n", 20), "no command": strings.Repeat("XYZZY\r\n", 10_000), "a flood": strings.Repeat("NOOP\r\n", 100_000),
		"escapes": "EHLO \x1b[31m" + canary + "\r\nMAIL FROM:<" + canary + ">\r\nRCPT TO:<" + canary + ">\r\nQUIT\r\n", "bare LF": "EHLO x\nMAIL FROM:<>\nRCPT TO:<" + genuine + ">\nDATA\nx\n.\nQUIT\n",
		"out of order": "DATA\r\nRCPT TO:<" + genuine + ">\r\nMAIL FROM:<>\r\n.\r\n", "who is there": "EHLO x\r\nVRFY root\r\nEXPN all\r\nETRN x\r\nAUTH PLAIN AGEAYg==\r\nSTARTTLS\r\nHELP\r\nQUIT\r\n",
		"sizes":  "EHLO x\r\nMAIL FROM:<> SIZE=99999999999999999999\r\nMAIL FROM:<> SIZE=-1\r\nMAIL FROM:<> BODY=X\r\nMAIL FROM:<\r\nMAIL FROM:<a@b\r\nRCPT TO:<" + genuine + ">\r\nQUIT\r\n",
		"chunks": "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<" + genuine + ">\r\nBDAT 9999999999 LAST\r\nx\r\nQUIT\r\n", "no chunks": "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<" + genuine + ">\r\nBDAT -1\r\nBDAT x\r\nQUIT\r\n",
	} {
		nothing(what, b.d.cut(b.d.mail, text))
	}
	for _, to := range []string{
		"ann@example.com", "ann%example.com@acme.example", "@bounce.acme.example:ann@example.com", "ann@bounce.acme.example.evil.example", "ann@x.bounce.acme.example", "bounce.acme.example", "",
		"ann@[127.0.0.1]", "ann@localhost", "postmaster", `"ann@example.com" <b@bounce.acme.example>`, strings.Repeat("x", 100_000) + "@bounce.acme.example", "ann@" + strings.Repeat("x.", 10_000),
	} {
		got := letter(to, "x")
		l.want("relaying: "+to[:min(40, len(to))], answer{status: 200, body: got}, taken(got) == 0 && !strings.Contains(got, "\n354 "))
	}
	forged := "b" + genuine[1:]
	for what, to := range map[string]string{
		"another's code": forged, "no code": "b-" + id + "@bounce.acme.example", "half a code": genuine[:25] + "@bounce.acme.example", "nobody": "abuse@bounce.acme.example",
		"quoted": `"ann@example.com"@bounce.acme.example`, "very long": "b-" + strings.Repeat("a", 60) + "@bounce.acme.example",
	} {
		got := letter(to, "Subject: "+canary, "", canary)
		l.want("forged: "+what, answer{status: 200, body: got}, taken(got) == 0 && (strings.Contains(got, "\n550 ") || strings.Contains(got, "\n501 ")))
	}
	got := say("EHLO x", "MAIL FROM:<>", "RCPT TO:<"+genuine+">", "RCPT TO:<"+genuine+">", "RSET", "QUIT")
	l.want("two recipients", answer{status: 200, body: got}, strings.Contains(got, "\n452 "))
	// What ends a mail is CR LF . CR LF alone: what others take for an end is within it.
	for _, end := range []string{"\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r\n.\r", "\n.\r", "\r\n\x00.\r\n"} {
		got := b.d.cut(b.d.mail, "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<"+forged+">\r\nDATA\r\nx"+end+"MAIL FROM:<>\r\nRCPT TO:<"+genuine+">\r\nDATA\r\ny\r\n.\r\nQUIT\r\n")
		l.want(fmt.Sprintf("smuggling by %q", end), answer{status: 200, body: got}, taken(got) == 0 && strings.Count(got, "\n354 ") == 1)
	}
	line := strings.Repeat("x", 70) + "\r\n"
	got = letter(genuine, strings.Repeat(line, 3<<20/len(line)))
	l.want("a giant", answer{status: 200, body: got}, taken(got) == 0 && strings.Contains(got, "\n552 "))
	nested := "Content-Type: multipart/mixed; boundary=b0\r\n\r\n"
	for i := range 5000 {
		nested += fmt.Sprintf("--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n", i, i+1)
	}
	report := "Content-Type: multipart/report; report-type=%s; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\nContent-Type: %s\r\n\r\n%s\r\n--b--"
	for what, mail := range map[string]string{
		"nested": nested, "letters in letters": strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 20_000), "many headers": strings.Repeat("X-A: b\r\n", 100_000),
		"a long header": "Subject: " + strings.Repeat(strings.Repeat("x", 900)+"\r\n ", 1000), "many parts": "Content-Type: multipart/mixed; boundary=b\r\n" + strings.Repeat("\r\n--b\r\n", 100_000),
		"no boundary": "Content-Type: multipart/report\r\n\r\n--\r\n--\r\n", "base64 that is none": "Content-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat("====", 100_000),
		"an encoded bomb": "Subject: " + strings.Repeat("=?utf-8?q?=41?= ", 20_000), "no UTF-8": "Subject: \xff\xfe\r\nFrom: \x80\r\n\r\n\xff", "a report of nothing": fmt.Sprintf(report, "delivery-status", "message/delivery-status", ""),
		"a report of much":       fmt.Sprintf(report, "delivery-status", "message/delivery-status", strings.Repeat("Final-Recipient: rfc822; "+canary+"\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n", 10_000)),
		"a complaint of nothing": fmt.Sprintf(report, "feedback-report", "message/feedback-report", "Feedback-Type: "+strings.Repeat("x", 10_000)),
	} {
		for _, to := range []string{forged, "abuse@bounce.acme.example"} {
			nothing(what+" to "+to[:1], letter(to, mail))
		}
		got := letter(mark('b', id)+"@bounce.acme.example", mail)
		l.want(what+", to a genuine address", answer{status: 200, body: got}, taken(got)+strings.Count(got, "\n55")+strings.Count(got, "\n500 5.4.0 ") == 1) // 500: a line that is too long
	}
	for _, text := range []string{
		"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<" + genuine + ">\r\nDATA\r\nSubject: x\r\n\r\nx", "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<" + genuine + ">\r\nDATA\r\nx\r\n.",
		"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<" + genuine + ">\r\nBDAT 100 LAST\r\nx", "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<" + genuine + ">",
	} {
		nothing("half closed", b.d.cut(b.d.mail, text))
	}
	b.crowd(l)
	b.flat(l, before)
	b.until("mail after all that", func() bool { return taken(letter(genuine, "x")) == 1 })
}

// mark is what stands before the @ of an address that the connector made.
func mark(what byte, id string) string {
	mac := hmac.New(sha256.New, []byte(bounceKey))
	_, _ = fmt.Fprintf(mac, "%c-%s", what, id)
	return fmt.Sprintf("%c-%s-%s", what, id, strings.ToLower(base32.StdEncoding.EncodeToString(mac.Sum(nil)[:10])))
}

// crowd takes all places of one address, and idles.
func (b *table) crowd(l *line) {
	greeted := func(c net.Conn) bool {
		buf := make([]byte, 512)
		_ = c.SetReadDeadline(time.Now().Add(60 * time.Second))
		n, err := c.Read(buf)
		return err == nil && strings.HasPrefix(string(buf[:n]), "220 ")
	}
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	in := 0
	for range 80 {
		c, err := net.Dial("tcp", b.d.mail)
		if err != nil {
			l.want("to connect", answer{body: err.Error()}, false)
			return
		}
		open = append(open, c)
		if greeted(c) {
			in++
		}
	}
	l.want(fmt.Sprintf("%d of a crowd of 80 are let in", in), answer{status: 200}, in > 0 && in <= 64)
	for _, c := range open {
		c.Close()
	}
	open = nil
	b.until("a place at the listener for mail", func() bool {
		c, err := net.Dial("tcp", b.d.mail)
		if err != nil {
			return false
		}
		defer c.Close()
		return greeted(c)
	})
	l.want("and then others are", answer{status: 200}, true)
}
