package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
)

// keyBytes is the length of every key but the signing key: AES-256.
const keyBytes = 32

// kind says what was sealed, in headers, files and what is authenticated.
// The numbers are on disk and never change.
type kind byte

const (
	kindRecord kind = 1 // under an epoch key
	kindPerson kind = 2 // under a person's key
	kindChunk  kind = 3 // under the storage key

	kindRing      kind = 16 // files of the keyring's own
	kindPublisher kind = 17
	kindEpochs    kind = 18
	kindPage      kind = 19
	kindPages     kind = 20
)

// version is the first byte of all that is sealed.
const version = 1

// nonceBytes and tagBytes are what AES-GCM adds to a message.
const (
	nonceBytes = 12
	tagBytes   = 16
)

// newAEAD makes AES-256-GCM with a random nonce before each message. One key
// may seal 2^32 messages so; a busy epoch seals less than a tenth of that in
// its day.
func newAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("keyring: a key of the wrong length: " + err.Error()) // all are [32]byte
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("keyring: " + err.Error()) // only for a block size other than AES's
	}
	return aead
}

// bind makes the data that is authenticated beside a message: nobody can pass
// one publisher's, kind's or person's off as another's. The caller's part
// comes last and everything before has a fixed or a written length, so no two
// bindings are the same bytes.
func bind(publisher string, k kind, number uint32, aad []byte) []byte {
	b := make([]byte, 0, 2+1+len(publisher)+4+len(aad))
	b = append(b, version, byte(k), byte(len(publisher)))
	b = append(b, publisher...)
	b = binary.BigEndian.AppendUint32(b, number)
	return append(b, aad...)
}

// sealTo appends the sealed form of plain to header, which it owns.
func sealTo(header []byte, a cipher.AEAD, plain, bound []byte) []byte {
	out := make([]byte, len(header), len(header)+nonceBytes+len(plain)+tagBytes)
	copy(out, header)
	return a.Seal(out, nil, plain, bound)
}

// openFrom opens what sealTo made, without its header.
func openFrom(sealed []byte, a cipher.AEAD, bound []byte) ([]byte, error) {
	if len(sealed) < nonceBytes+tagBytes {
		return nil, fmt.Errorf("%w: only %d bytes", ErrForged, len(sealed))
	}
	plain, err := a.Open(nil, nil, sealed, bound)
	if err != nil {
		return nil, ErrForged // the cipher's own error says no more
	}
	return plain, nil
}

// body checks a header of version and kind and gives what follows it.
func body(sealed []byte, k kind) ([]byte, error) {
	if len(sealed) < 2 {
		return nil, fmt.Errorf("%w: only %d bytes", ErrForged, len(sealed))
	}
	if sealed[0] != version {
		return nil, fmt.Errorf("%w: version %d, and this program knows %d", ErrForged, sealed[0], version)
	}
	if kind(sealed[1]) != k {
		return nil, fmt.Errorf("%w: kind %d where %d was expected", ErrForged, sealed[1], k)
	}
	return sealed[2:], nil
}
