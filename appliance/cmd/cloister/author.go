package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cloisterhq/cloister/config"
	"github.com/cloisterhq/cloister/plugins/author"
	"github.com/cloisterhq/cloister/plugins/conformance"
	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/parcel"
)

// defaultKey is where an author's key is looked for.
const defaultKey = "connector.key"

func newConnectorNew() *cobra.Command {
	var language, channel string
	cmd := &cobra.Command{
		Use: "new NAME", Short: "Write a project to begin a connector with", Args: cobra.ExactArgs(1),
		Long: `Writes the folder NAME: a small connector that is built, asked by the suite and
packed as it is, with what it is served with, a Makefile and a README.md. No daemon
is needed.`,
		RunE: verb(func(_ context.Context, cmd *cobra.Command, args []string) error {
			dir, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			err = author.New(dir, language, channel)
			if errors.Is(err, author.ErrName) || errors.Is(err, author.ErrLanguage) || errors.Is(err, author.ErrChannel) {
				return usage("%v", err)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s is a connector. In it: make, make test, cloister connector key, make package.\n", args[0])
			return nil
		}),
	}
	cmd.Flags().StringVar(&language, "language", "go", "what it is written in: "+strings.Join(author.Languages, ", "))
	cmd.Flags().StringVar(&channel, "channel", "sms", "what it sends by: "+strings.Join(author.Channels(), ", "))
	return cmd
}

func newConnectorTest() *cobra.Command {
	var file, platform string
	var wrong []string
	var reachable bool
	var to map[string]string
	cmd := &cobra.Command{
		Use: "test PROGRAM", Short: "Ask of a connector's program all that the contract demands", Args: cobra.ExactArgs(1),
		Long: `Starts a connector's program as the daemon does, confined, and asks of it all that
the contract demands. What is not met is told with what came instead, why it is
demanded and where that is written. No daemon is needed. PROGRAM may be a folder
that holds a program of its own name. Exit code 3: something is not met.

--config names a file with the connector's block, as operators write it, whose
settings are used; without it they are the schema's defaults. With --reachable
what stands there is a provider, or something in its place, that takes every
message; otherwise nothing can be reached, and nothing may count as accepted.
--wrong, which may be repeated, names a file with a block that fits the schema
and that the connector must complain of.`,
		RunE: verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			p, err := author.Open(args[0], shortTemp(), printed(cmd))
			if err != nil {
				return err
			}
			defer p.Close() // what was started is gone; nothing else is of interest
			target := conformance.Target{Settings: connector.Settings{}, Reachable: reachable, To: to, Platform: platform}
			if file != "" {
				if target.Settings, err = blockOf(cmd, p, file, false); err != nil {
					return err
				}
			} else if need, err := p.Needs(ctx); err == nil && need != "" {
				return usage("%s needs the setting %q: write its block into a file, and name that with --config", p.Name, need)
			}
			for _, w := range wrong {
				s, err := blockOf(cmd, p, w, true)
				if err != nil {
					return err
				}
				target.Wrong = append(target.Wrong, s)
			}
			failed, err := p.Test(ctx, target, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			if failed > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s does not meet %s.\n", p.Name, counted(failed, "demand"))
				return silent(exitFound)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s meets all demands.\n", p.Name)
			return nil
		}),
	}
	cmd.Flags().StringVar(&file, "config", "", "a file with the connector's block")
	cmd.Flags().StringArrayVar(&wrong, "wrong", nil, "a file with a block that it must complain of; may be repeated")
	cmd.Flags().BoolVar(&reachable, "reachable", false, "with these settings every message is accepted")
	cmd.Flags().StringToStringVar(&to, "to", nil, "addresses that are accepted, CHANNEL=ADDRESS")
	cmd.Flags().StringVar(&platform, "platform", "", "the kind of device of push messages: fcm, apns or webpush")
	return cmd
}

// printed shows an author what the program prints: why it does not start.
func printed(cmd *cobra.Command) *slog.Logger {
	return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// blockOf reads the settings of a program's block, and prints what is wrong there.
func blockOf(cmd *cobra.Command, p *author.Program, file string, schemaOnly bool) (connector.Settings, error) {
	s, ds, err := p.Settings(file, schemaOnly)
	if err != nil {
		return nil, err
	}
	if ds.HasErrors() {
		if err := ds.WriteText(cmd.ErrOrStderr(), colour(cmd.ErrOrStderr())); err != nil {
			return nil, err
		}
		return nil, silent(exitFailed)
	}
	return s, nil
}

func newConnectorKey() *cobra.Command {
	return &cobra.Command{
		Use: "key [FILE]", Short: "Make an author's key, or show its public part", Args: cobra.MaximumNArgs(1),
		Long: `Makes the key with which an author signs parcels, in FILE or connector.key,
readable by its owner alone, and prints what operators write to trust it. If the
file is there already nothing is made. Whoever has the file can sign in the
author's name: keep it, and a copy, where nothing is built.`,
		RunE: verb(func(_ context.Context, cmd *cobra.Command, args []string) error {
			file := append(args, defaultKey)[0]
			key, err := os.ReadFile(file)
			if errors.Is(err, fs.ErrNotExist) {
				key, _, err = parcel.GenerateKey(rand.Reader)
				if err == nil {
					err = writeNew(file, 0o600, key)
				}
			}
			if err != nil {
				return err
			}
			private, err := parcel.ParsePrivateKey(key)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "author \"NAME\" {\n  key = %q\n}\n", parcel.PublicKey(private))
			return err
		}),
	}
}

func newConnectorPackage() *cobra.Command {
	var keyFile, out string
	cmd := &cobra.Command{
		Use: "package PROGRAM", Short: "Make a signed parcel of a connector, for operators to install", Args: cobra.ExactArgs(1),
		Long: `Starts a connector's program, confined, to hear what it is, and writes a parcel of
it, NAME-VERSION-PLATFORM.parcel, signed with the author's key. The same program
and key make the same bytes. PROGRAM may be a folder that holds a program of its
own name. No daemon is needed.`,
		RunE: verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			raw, err := os.ReadFile(keyFile)
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("there is no key %s: make one with cloister connector key, or name yours with --key", keyFile)
			}
			if err != nil {
				return err
			}
			key, err := parcel.ParsePrivateKey(raw)
			if err != nil {
				return fmt.Errorf("%s: %w", keyFile, err)
			}
			p, err := author.Open(args[0], shortTemp(), printed(cmd))
			if err != nil {
				return err
			}
			defer p.Close() // what was started is gone; nothing else is of interest
			var made bytes.Buffer
			m, err := p.Pack(ctx, key, &made)
			if err != nil {
				return err
			}
			file := out
			if file == "" {
				file = fmt.Sprintf("%s-%s-%s.parcel", m.Name, m.Version, strings.ReplaceAll(m.Platform, "/", "-"))
			}
			if err := os.WriteFile(file, made.Bytes(), 0o644); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), file)
			return err
		}),
	}
	cmd.Flags().StringVar(&keyFile, "key", defaultKey, "the author's key")
	cmd.Flags().StringVarP(&out, "out", "o", "", "where to write the parcel")
	return cmd
}

// writeNew writes a file that is not there yet.
func writeNew(file string, mode os.FileMode, content []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// trusted are the keys of a configuration's authors, and their names by key.
func trusted(c *config.Config) (keys []parcel.Key, names map[parcel.Key]string, err error) {
	names = map[parcel.Key]string{}
	for _, a := range c.Authors {
		key, err := parcel.ParseKey(a.Key)
		if err != nil {
			return nil, nil, fmt.Errorf("author %q: %w", a.Name, err)
		}
		keys = append(keys, key)
		names[key] = a.Name
	}
	return keys, names, nil
}

// shortTemp is where folders for sockets go: their paths are bounded.
func shortTemp() string {
	if dir := os.TempDir(); len(dir) <= 40 {
		return filepath.Clean(dir)
	}
	return "/tmp"
}
