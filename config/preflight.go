package config

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// Preflight looks at the machine as a start would: the data directory, the
// master key, certificates, ports, and connectors' binaries in dirs. It is for
// the machine and the user that the daemon runs as. It changes nothing; ports
// that the running daemon holds are reported as in use. now is the time that
// certificates are checked against.
func Preflight(ctx context.Context, c *Config, dirs []string, now time.Time) Diagnostics {
	l := newLoader(LoadOptions{}.withDefaults())
	l.files = c.Files
	for _, f := range c.Files {
		if src, err := readBounded(f, maxFile); err == nil {
			l.sources[f] = src
		}
	}
	l.dataDir(c.Appliance)
	l.masterKey(c.Keyring)
	for _, one := range c.Listeners {
		l.certificate(one, now)
		l.port(ctx, one)
	}
	for _, p := range c.Publishers {
		for _, one := range p.Connectors {
			l.binary(one, append(append([]string(nil), c.Appliance.Connectors...), dirs...))
		}
	}
	return l.finish()
}

// dataDir looks whether the directory, or the nearest one above that is there,
// may be written.
func (l *loader) dataDir(a Appliance) {
	dir := a.DataDir
	for {
		st, err := os.Stat(dir)
		switch {
		case err == nil && !st.IsDir():
			l.bad(codeDataDir, nil, a.Range, dir+" is not a directory", "Name another data_dir.")
			return
		case err == nil:
			if err := syscall.Access(dir, 0x2|0x1); err != nil { // write and enter
				l.bad(codeDataDir, nil, a.Range, fmt.Sprintf("the data directory %s cannot be written: %s", a.DataDir, reason(err)), "Make it, and give it to the service's user.")
			}
			return
		case !errors.Is(err, os.ErrNotExist) || filepath.Dir(dir) == dir:
			l.bad(codeDataDir, nil, a.Range, fmt.Sprintf("the data directory %s cannot be reached: %s", a.DataDir, reason(err)), "Give the service's user the right to enter it.")
			return
		}
		dir = filepath.Dir(dir)
	}
}

// masterKey looks at what keyring.LoadMaster will ask for.
func (l *loader) masterKey(k Keyring) {
	st, err := os.Stat(k.File)
	if k.Make && err != nil {
		return // it will be made; what keeps it from that is told of the directory
	}
	const detail = "The file holds 64 hexadecimal digits and is readable by the service's user alone (0400)."
	key, rerr := readBounded(k.File, 1024)
	switch {
	case err != nil || rerr != nil:
		l.bad(codeMasterKey, nil, k.Range, fmt.Sprintf("the master key %s cannot be read: %s", k.File, reason(errors.Join(err, rerr))), detail)
	case st.Mode().Perm()&0o077 != 0:
		l.bad(codeMasterKey, nil, k.Range, fmt.Sprintf("the master key %s may be read by others (mode %#o)", k.File, st.Mode().Perm()), detail)
	case !masterPattern.Match(key):
		l.bad(codeMasterKey, nil, k.Range, fmt.Sprintf("%s holds no master key", k.File), detail)
	}
}

var masterPattern = regexp.MustCompile(`^[0-9a-fA-F]{64}\r?\n?$`)

func (l *loader) certificate(one Listener, now time.Time) {
	if one.TLS == nil || one.TLS.SelfSigned {
		return
	}
	at := one.TLS.Range
	pair, err := tls.LoadX509KeyPair(one.TLS.CertFile, one.TLS.KeyFile)
	if err != nil {
		l.bad(codeCertificate, nil, at, fmt.Sprintf("the certificate of listener %q does not load: %s", one.Name, err), "Both are PEM files, and the key belongs to the certificate.")
		return
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	switch {
	case err != nil:
		l.bad(codeCertificate, nil, at, fmt.Sprintf("the certificate of listener %q cannot be read: %s", one.Name, err), "")
	case now.After(cert.NotAfter):
		l.bad(codeCertificate, nil, at, fmt.Sprintf("the certificate of listener %q expired at %s", one.Name, cert.NotAfter.UTC().Format(time.RFC3339)), "Renew it.")
	case now.Before(cert.NotBefore):
		l.bad(codeCertificate, nil, at, fmt.Sprintf("the certificate of listener %q is not valid before %s", one.Name, cert.NotBefore.UTC().Format(time.RFC3339)), "Look at the machine's clock.")
	case now.Add(14 * day).After(cert.NotAfter):
		l.warn(codeExpires, nil, at, fmt.Sprintf("the certificate of listener %q expires at %s", one.Name, cert.NotAfter.UTC().Format(time.RFC3339)), "Renew it; a running daemon takes the new files by itself.")
	}
}

func (l *loader) port(ctx context.Context, one Listener) {
	var lc net.ListenConfig
	socket, err := lc.Listen(ctx, "tcp", one.Address)
	if err == nil {
		socket.Close()
		return
	}
	detail := "Look with: ss -ltnp"
	if errors.Is(err, syscall.EACCES) {
		detail = "Ports below 1024 need AmbientCapabilities=CAP_NET_BIND_SERVICE in the service's unit."
	}
	l.bad(codePort, nil, one.Range, fmt.Sprintf("listener %q: %s", one.Name, errors.Unwrap(err)), detail)
}

// binary looks for a connector's file, and compares its checksum if one is pinned.
func (l *loader) binary(one Connector, dirs []string) {
	for _, dir := range dirs {
		path := filepath.Join(dir, one.Plugin)
		st, err := os.Stat(path)
		if err != nil {
			continue
		}
		if !st.Mode().IsRegular() || st.Mode().Perm()&0o111 == 0 {
			l.bad(codeBinary, nil, one.Range, path+" is not a program", "Install the connector again.")
			return
		}
		if one.SHA256 == "" {
			return
		}
		sum, err := checksum(path)
		if err != nil {
			l.bad(codeBinary, nil, one.Range, err.Error(), "Give the service's user the right to read it.")
		} else if sum != one.SHA256 {
			l.bad(codeBinary, nil, one.Range, path+" is another program than the one that was pinned", "It has sha256 = \""+sum+"\". Find out who changed it.")
		}
		return
	}
	l.bad(codeBinary, nil, one.Range, fmt.Sprintf("there is no connector %q", one.Plugin), "It was looked for in "+strings.Join(dirs, ", ")+".")
}

func checksum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
