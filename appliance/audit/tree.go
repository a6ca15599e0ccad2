package audit

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// tree is the right edge of a Merkle tree (RFC 6962): the heads of the perfect
// trees that its leaves make, the largest first. It is all that is needed to
// go on from, so a file that has it can be checked without those before it.
type tree struct {
	size int64
	edge []tlog.Hash
}

// add adds a leaf.
func (t *tree) add(line []byte) {
	t.edge = append(t.edge, tlog.RecordHash(line))
	t.size++
	for n := bits.TrailingZeros64(uint64(t.size)); n > 0; n-- {
		last := len(t.edge) - 1
		t.edge[last-1] = tlog.NodeHash(t.edge[last-1], t.edge[last])
		t.edge = t.edge[:last]
	}
}

// root is the head of the whole.
func (t *tree) root() tlog.Hash {
	if len(t.edge) == 0 {
		return tlog.Hash(sha256.Sum256(nil))
	}
	h := t.edge[len(t.edge)-1]
	for i := len(t.edge) - 2; i >= 0; i-- {
		h = tlog.NodeHash(t.edge[i], h)
	}
	return h
}

func (t *tree) clone() tree { return tree{t.size, append([]tlog.Hash(nil), t.edge...)} }

func (t *tree) equal(o *tree) bool { return t.size == o.size && t.root() == o.root() }

// edgeOf takes an edge out of a file's first line.
func edgeOf(size int64, edge []string) (tree, error) {
	if size < 0 || len(edge) != bits.OnesCount64(uint64(size)) {
		return tree{}, fmt.Errorf("%d hashes cannot be the edge of a tree of %d", len(edge), size)
	}
	t := tree{size: size}
	for _, s := range edge {
		h, err := tlog.ParseHash(s)
		if err != nil {
			return tree{}, fmt.Errorf("reading a hash: %w", err)
		}
		t.edge = append(t.edge, h)
	}
	return t, nil
}

// head is what a signed head says.
type head struct {
	origin string
	size   int64
	root   tlog.Hash
}

var errHead = errors.New("this is no signed head")

// sign makes the note of a tree's head: origin, size, root, one a line.
func sign(signer note.Signer, t *tree) ([]byte, error) {
	root := t.root()
	text := fmt.Sprintf("%s\n%d\n%s\n", signer.Name(), t.size, base64.StdEncoding.EncodeToString(root[:]))
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return nil, fmt.Errorf("signing the head: %w", err)
	}
	return signed, nil
}

// parseHead checks a signed head and reads it.
func parseHead(signed []byte, v note.Verifier) (head, error) {
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		return head{}, fmt.Errorf("%w: %w", errHead, err)
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || lines[3] != "" || lines[0] != v.Name() {
		return head{}, errHead
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return head{}, errHead
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return head{}, errHead
	}
	return head{lines[0], size, root}, nil
}
