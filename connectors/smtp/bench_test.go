package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"
	"time"
)

func BenchmarkCompose(b *testing.B) {
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	rk, _ := rsa.GenerateKey(rand.Reader, 2048)
	for name, s := range map[string][]signer{"plain": nil, "ed25519": {{"acme.example", "e", ed}}, "rsa": {{"acme.example", "e", rk}}, "both": {{"acme.example", "e", ed}, {"acme.example", "r", rk}}} {
		b.Run(name, func(b *testing.B) {
			c, _ := read(settingsFor("127.0.0.1:25", nil))
			c.dkim = s
			m := mailTo("acme-42", "ana@example.com")
			m.HTML = "<html><body>" + strings.Repeat("<p>Good morning, Ana, this is what is new today.</p>\n", 60) + "</body></html>"
			m.Text = strings.Repeat("Good morning, Ana, this is what is new today.\n", 60)
			m.Unsubscribe = "https://engage.acme.example/u/1"
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.compose(m, time.Now()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
