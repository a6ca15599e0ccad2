package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/connectorpb"
	"github.com/cloisterhq/cloister/plugins/sandbox"
)

// about is what a program says of itself.
type about struct {
	description connector.Description
	schema      connector.Schema
	receives    bool
	forgets     bool
	returns     bool
	collects    bool
}

// describe asks bin what it is, or remembers. One process of a program at a time
// is asked; a program that hangs holds up nobody who asks another.
func (h *Host) describe(ctx context.Context, bin *binary) (*about, error) {
	var asked chan struct{}
	for asked == nil {
		h.mu.Lock()
		a, other := h.abouts[bin.sum], h.describing[bin.sum]
		closed := h.closed
		if a == nil && other == nil && !closed {
			asked = make(chan struct{})
			h.describing[bin.sum] = asked
			h.asking.Add(1)
		}
		h.mu.Unlock()
		switch {
		case a != nil:
			return a, nil
		case closed:
			return nil, fmt.Errorf("connector %q: %w", filepath.Base(bin.path), ErrClosed)
		case other != nil:
			select {
			case <-other:
			case <-ctx.Done():
				return nil, fmt.Errorf("connector %q: waiting until it has said what it is: %w", filepath.Base(bin.path), ctx.Err())
			}
		}
	}
	defer func() {
		h.mu.Lock()
		delete(h.describing, bin.sum)
		h.mu.Unlock()
		close(asked)
		h.asking.Done()
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.ctx, cancel)()
	plugin := filepath.Base(bin.path)
	reply := h.onCard(bin)
	if reply == nil {
		reply = h.cached(bin.sum)
	}
	if reply == nil {
		var err error
		if reply, err = h.ask(ctx, bin, plugin); err != nil {
			return nil, err
		}
	}
	a, err := readAbout(reply)
	if err != nil {
		return nil, fmt.Errorf("connector %q: %w: its description: %w", plugin, ErrBroken, err)
	}
	h.cache(bin.sum, reply)
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.abouts) >= 256 {
		clear(h.abouts) // programs of the past; there are never that many
	}
	h.abouts[bin.sum] = a
	return a, nil
}

// ask starts bin, in a sandbox that allows it nothing, to hear what it is.
func (h *Host) ask(ctx context.Context, bin *binary, plugin string) (*connectorpb.DescribeReply, error) {
	p, err := h.launch(ctx, bin, plugin, sandbox.Policy{})
	if err != nil {
		return nil, err
	}
	defer p.stop()
	reply, err := call(ctx, h.o.timing.describe, func(ctx context.Context) (*connectorpb.DescribeReply, error) {
		return p.rpc.Describe(ctx, &connectorpb.DescribeRequest{})
	})
	if err != nil {
		return nil, fmt.Errorf("connector %q: %w: asked what it is: %w", plugin, ErrBroken, p.insteadOf(rpcError(err)))
	}
	return reply, nil
}

// readAbout reads a description and brings it within bounds.
func readAbout(r *connectorpb.DescribeReply) (*about, error) {
	schema, err := connectorpb.ToSchema(r.GetSchema())
	if err != nil {
		return nil, err
	}
	a := &about{
		description: connectorpb.ToDescription(r.GetDescription()), schema: schema,
		receives: r.GetReceives(), forgets: r.GetForgets(), returns: r.GetReturns(), collects: r.GetCollects(),
	}
	if a.description.Name == "" {
		return nil, errors.New("no name")
	}
	return a, nil
}

// The cache on disk is a convenience: what cannot be read is asked again, what
// cannot be written is asked next time.

func (h *Host) cacheFile(sum string) string {
	return filepath.Join(h.o.CacheDir, "connector.v1-"+sum+".json")
}

func (h *Host) cached(sum string) *connectorpb.DescribeReply {
	if h.o.CacheDir == "" {
		return nil
	}
	raw, err := os.ReadFile(h.cacheFile(sum))
	if err != nil {
		return nil
	}
	var r connectorpb.DescribeReply
	if err := protojson.Unmarshal(raw, &r); err != nil {
		h.o.Logger.Warn("a connector's remembered description is damaged and will be asked for again", "file", h.cacheFile(sum))
		return nil
	}
	return &r
}

func (h *Host) cache(sum string, r *connectorpb.DescribeReply) {
	if h.o.CacheDir == "" {
		return
	}
	path := h.cacheFile(sum)
	if _, err := os.Lstat(path); err == nil {
		return
	}
	raw, err := protojson.Marshal(r)
	if err == nil {
		err = os.MkdirAll(h.o.CacheDir, 0o700)
	}
	if err == nil {
		tmp := path + ".new"
		if err = os.WriteFile(tmp, raw, 0o600); err == nil {
			err = os.Rename(tmp, path)
		}
	}
	if err != nil {
		h.o.Logger.Warn("a connector's description could not be remembered", "error", err)
	}
}

// policy is what a process with these settings may do, but for folders. The
// problems are those of what it should reach.
func (a *about) policy(s connector.Settings, more []connector.Host) (sandbox.Policy, []connector.Problem) {
	if !a.description.Network {
		return sandbox.Policy{}, nil
	}
	hosts, problems := connector.Reached(a.schema, s)
	return sandbox.Policy{Network: true, Hosts: append(hosts, more...)}, problems
}

// enough says what is wrong if a process is confined less than is required.
func enough(level sandbox.Level, require sandbox.Grade) error {
	if level.Grade() >= require {
		return nil
	}
	return fmt.Errorf("%w: it is %q (%s), and %q is required", ErrWeak, level.Grade(), level.Weak(), require)
}

// folders are the folders among the settings, by the path of the setting.
func (a *about) folders(s connector.Settings) map[string]string {
	out := make(map[string]string)
	walk := func(prefix string, known []connector.Setting, s connector.Settings) {
		for _, k := range known {
			if dir := s.Text(k.Name); k.Folder && dir != "" {
				out[prefix+k.Name] = dir
			}
		}
	}
	walk("", a.schema.Settings, s)
	for _, b := range a.schema.Blocks {
		walk(b.Name+"\x00", b.Settings, s.Block(b.Name))
	}
	return out
}

// folderProblems says what is wrong with the folders that settings name.
func (h *Host) folderProblems(a *about, s connector.Settings) []connector.Problem {
	var problems []connector.Problem
	for setting, dir := range a.folders(s) {
		bad := func(summary, detail string) {
			problems = append(problems, connector.Problem{Path: strings.Split(setting, "\x00"), Summary: summary, Detail: detail})
		}
		if !filepath.IsAbs(dir) || filepath.Clean(dir) == "/" {
			bad("not a folder for a connector", "Write an absolute path, such as /var/lib/cloister/mailbox; the connector can write there and nowhere else.")
			continue
		}
		if i := slices.IndexFunc(h.o.Protect, func(keep string) bool {
			return keep != "" && (within(keep, dir) || within(dir, keep))
		}); i >= 0 {
			bad("not a folder for a connector", h.o.Protect[i]+" is the appliance's own. Write a folder apart from it.")
			continue
		}
		if info, err := os.Stat(dir); err == nil && !info.IsDir() {
			bad("not a folder", dir+" is a file.")
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			bad("cannot be looked at", err.Error())
		}
	}
	return problems
}

// within says whether path is dir or lies in it, links followed.
func within(path, dir string) bool {
	rel, err := filepath.Rel(resolve(dir), resolve(path))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// resolve follows the links of as much of a path as is there.
func resolve(path string) string {
	path = filepath.Clean(path)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if parent := filepath.Dir(path); parent != path {
		return filepath.Join(resolve(parent), filepath.Base(path))
	}
	return path
}
