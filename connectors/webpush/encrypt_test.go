package main

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func raw(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	must(t, err)
	return b
}

// The example of RFC 8291, section 5 and appendix A.
func TestExampleOfTheRFC(t *testing.T) {
	k, err := readKeys(`{"p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4","auth":"BTBZMqHH6r4Tts7J_aSIgg"}`)
	must(t, err)
	own, err := ecdh.P256().NewPrivateKey(raw(t, "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"))
	must(t, err)
	body, err := record(k, own, [saltSize]byte(raw(t, "DGv6ra1nlYgDCS1FRnbzlw")), []byte("When I grow up, I want to be a watermelon"), 0)
	must(t, err)
	const want = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
	if got := base64.RawURLEncoding.EncodeToString(body); got != want {
		t.Errorf("%s", got)
	}
}

func TestSealed(t *testing.T) {
	b := newBrowser(t)
	k, err := readKeys(b.extra())
	must(t, err)
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOfN(rapid.ByteRange(1, 255), 0, maxPlain).Draw(t, "plain")
		own, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		body, err := seal(k, own, [saltSize]byte(rapid.SliceOfN(rapid.Byte(), saltSize, saltSize).Draw(t, "salt")), plain)
		if err != nil {
			t.Fatal(err)
		}
		if (len(body)-86-17)%padding != 0 && len(body) != recordSize {
			t.Errorf("%d bytes tell how long the text is", len(body))
		}
		if got, err := b.open(body); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d of %d bytes, %v", len(got), len(plain), err)
		}
	})
	own, err := ecdh.P256().GenerateKey(rand.Reader)
	must(t, err)
	if _, err := seal(k, own, [saltSize]byte{}, make([]byte, maxPlain+1)); err == nil {
		t.Error("more than a record holds was taken")
	}
}

func TestKeysOfSubscriptions(t *testing.T) {
	b := newBrowser(t)
	good := b.extra()
	for name, c := range map[string]struct {
		extra string
		ok    bool
	}{
		"as browsers write them": {good, true},
		"padded":                 {strings.Replace(good, `"}`, `=="}`, 1), true},
		"the other alphabet":     {strings.NewReplacer("-", "+", "_", "/").Replace(good), true},
		"nothing":                {"", false},
		"no keys":                {"{}", false},
		"a short secret":         {strings.Replace(good, `"auth":"`, `"auth":"AA`, 1), false},
		"no point of the curve":  {`{"p256dh":"B` + strings.Repeat("A", 86) + `","auth":"BTBZMqHH6r4Tts7J_aSIgg"}`, false},
		"a list":                 {`["p256dh"]`, false},
	} {
		if _, err := readKeys(c.extra); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReadKeys(f *testing.F) {
	f.Add(`{"p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4","auth":"BTBZMqHH6r4Tts7J_aSIgg"}`)
	f.Add(`{"p256dh":"AA","auth":""}`)
	f.Fuzz(func(t *testing.T, extra string) {
		if k, err := readKeys(extra); err == nil && (k.client == nil || len(k.auth) != authSize) {
			t.Errorf("%+v", k)
		}
	})
}
