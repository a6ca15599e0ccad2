// Package parcel is the file in which a connector travels from its author to an
// operator: one program and what it says of itself, signed by the author
// (FORMAT.md). There are no names of files in it, and so no paths and no links.
//
// Failure rules: nothing of a parcel is interpreted before its signature is that
// of a trusted author, and of its program nothing counts before it has been read
// to its end and its checksum is right.
package parcel

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"

	"golang.org/x/mod/semver"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/cloisterhq/cloister/plugins/connectorpb"
)

const (
	magic = "cloister parcel 1\n"
	// maxManifest bounds the manifest, in bytes.
	maxManifest = 1 << 20
	// MaxProgram bounds the program, in bytes.
	MaxProgram = 256 << 20
)

// What can be wrong with a parcel, to be matched with errors.Is.
var (
	ErrFormat    = errors.New("this is no connector's parcel, or a damaged one")
	ErrSignature = errors.New("the signature is not the author's: the parcel was changed on its way")
	ErrUntrusted = errors.New("its author's key is not among those that are trusted here")
)

// Manifest is what a parcel says of its program.
type Manifest struct {
	Name    string `json:"name"`    // the plugin's, and that of its file
	Version string `json:"version"` // semantic, without a v
	// Platform is "linux/amd64" or "linux/arm64", or "linux/any" for a script.
	Platform string `json:"platform"`
	Contract int    `json:"contract"` // the version of the connectors' protocol
	Size     int64  `json:"size"`     // of the program, in bytes
	SHA256   string `json:"sha256"`   // of the program, in hexadecimal
	Author   Key    `json:"author"`
	// About is the DescribeReply of connector.proto, in protobuf's JSON.
	About json.RawMessage `json:"about"`
}

var (
	namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	hashPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)
	platforms   = []string{"linux/amd64", "linux/arm64", "linux/any"}
)

func (m *Manifest) check() error {
	switch {
	case !namePattern.MatchString(m.Name):
		return fmt.Errorf("the name %q is not of a-z, 0-9, _ and -", m.Name)
	case !semver.IsValid("v"+m.Version) || len(m.Version) > 64:
		return fmt.Errorf("the version %q is not like 1.2.3", m.Version)
	case !slices.Contains(platforms, m.Platform):
		return fmt.Errorf("the platform %q is not known", m.Platform)
	case m.Contract != connectorpb.ProtocolVersion:
		return fmt.Errorf("it speaks version %d of the connectors' protocol, and this appliance %d", m.Contract, connectorpb.ProtocolVersion)
	case m.Size < 1 || m.Size > MaxProgram:
		return fmt.Errorf("a program of %d bytes; there may be %d", m.Size, MaxProgram)
	case !hashPattern.MatchString(m.SHA256):
		return fmt.Errorf("the checksum %q is not a SHA-256", m.SHA256)
	}
	about, err := m.Describe()
	if err != nil {
		return err
	}
	if d := about.GetDescription(); d.GetName() != m.Name || d.GetVersion() != m.Version {
		return fmt.Errorf("the program calls itself %s %s, and the manifest %s %s", d.GetName(), d.GetVersion(), m.Name, m.Version)
	}
	return nil
}

// Describe is About, read.
func (m *Manifest) Describe() (*connectorpb.DescribeReply, error) {
	var reply connectorpb.DescribeReply
	if err := protojson.Unmarshal(m.About, &reply); err != nil {
		return nil, fmt.Errorf("what it says of itself: %w", err)
	}
	if _, err := connectorpb.ToSchema(reply.GetSchema()); err != nil {
		return nil, fmt.Errorf("its schema: %w", err)
	}
	return &reply, nil
}

// SetAbout fills in About, the same for the same reply.
func (m *Manifest) SetAbout(reply *connectorpb.DescribeReply) error {
	raw, err := protojson.Marshal(reply)
	if err != nil {
		return err
	}
	var out bytes.Buffer // protojson varies its spaces on purpose
	if err := json.Compact(&out, raw); err != nil {
		return err
	}
	m.About = out.Bytes()
	return nil
}

// Newer says whether m's version is higher than another's.
func (m *Manifest) Newer(than string) bool { return semver.Compare("v"+m.Version, "v"+than) > 0 }

// ParseManifest reads a manifest, strictly.
func ParseManifest(raw []byte) (*Manifest, error) {
	if len(raw) > maxManifest {
		return nil, fmt.Errorf("%w: a manifest of %d bytes", ErrFormat, len(raw))
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	var m Manifest
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("%w: its manifest: %w", ErrFormat, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: something follows its manifest", ErrFormat)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%w: its manifest: %w", ErrFormat, err)
	}
	return &m, nil
}

// Write makes a parcel of a program. m's Author, Contract, Size and SHA256 are
// filled in here. The same program and key make the same bytes.
func Write(w io.Writer, m Manifest, program []byte, key ed25519.PrivateKey) error {
	sum := sha256.Sum256(program)
	m.Author = PublicKey(key)
	m.Contract, m.Size, m.SHA256 = connectorpb.ProtocolVersion, int64(len(program)), hex.EncodeToString(sum[:])
	raw, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("writing a manifest: %w", err)
	}
	if _, err := ParseManifest(raw); err != nil {
		return err
	}
	head := head(m.Author, raw)
	for _, part := range [][]byte{head, ed25519.Sign(key, head), program} {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("writing a parcel: %w", err)
		}
	}
	return nil
}

// head is all that is signed.
func head(author Key, manifest []byte) []byte {
	out := append([]byte(magic), author[:]...)
	out = binary.BigEndian.AppendUint32(out, uint32(len(manifest)))
	return append(out, manifest...)
}

// Parcel is one that is being read.
type Parcel struct {
	Manifest
	Card []byte // the manifest as it was signed
	r    io.Reader
}

// Open reads a parcel up to its program. The error is ErrUntrusted, with the
// author's key in an *Untrusted, if it is none of trusted.
func Open(r io.Reader, trusted ...Key) (*Parcel, error) {
	fixed := make([]byte, len(magic)+len(Key{})+4)
	if _, err := io.ReadFull(r, fixed); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	rest, ok := bytes.CutPrefix(fixed, []byte(magic))
	if !ok {
		return nil, fmt.Errorf("%w: it begins otherwise", ErrFormat)
	}
	author, size := Key(rest[:len(Key{})]), binary.BigEndian.Uint32(rest[len(Key{}):])
	if !slices.Contains(trusted, author) {
		return nil, &Untrusted{author}
	}
	if size > maxManifest {
		return nil, fmt.Errorf("%w: a manifest of %d bytes", ErrFormat, size)
	}
	raw := make([]byte, size)
	signature := make([]byte, ed25519.SignatureSize)
	for _, part := range [][]byte{raw, signature} {
		if _, err := io.ReadFull(r, part); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFormat, err)
		}
	}
	if !ed25519.Verify(author[:], head(author, raw), signature) {
		return nil, ErrSignature
	}
	m, err := ParseManifest(raw)
	if err != nil {
		return nil, err
	}
	if m.Author != author {
		return nil, fmt.Errorf("%w: its manifest names another author", ErrFormat)
	}
	return &Parcel{Manifest: *m, Card: raw, r: r}, nil
}

// Program writes the program to w, once. After an error what was written is not
// the program; ErrSignature means that its checksum is wrong.
func (p *Parcel) Program(w io.Writer) error {
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(p.r, p.Size))
	if err != nil {
		return fmt.Errorf("taking a program out of its parcel: %w", err)
	}
	if n < p.Size {
		return fmt.Errorf("%w: it ends after %d of %d bytes of its program", ErrFormat, n, p.Size)
	}
	if n, err := io.ReadFull(p.r, make([]byte, 1)); n > 0 || err != io.EOF {
		return fmt.Errorf("%w: something follows its program", ErrFormat)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != p.SHA256 {
		return fmt.Errorf("%w: its program has SHA-256 %s, and was signed with %s", ErrSignature, got, p.SHA256)
	}
	return nil
}

// Untrusted is the error of a parcel whose author is not known here. Whether the
// signature is theirs has not been looked at.
type Untrusted struct{ Author Key }

func (u *Untrusted) Error() string { return fmt.Sprintf("%v: %s", ErrUntrusted, u.Author) }

// Is makes it an ErrUntrusted.
func (u *Untrusted) Is(target error) bool { return target == ErrUntrusted }
