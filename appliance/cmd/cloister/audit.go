package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cloisterhq/cloister/appliance/audit"
	"github.com/cloisterhq/cloister/config"
)

func newAudit() *cobra.Command {
	return group("audit", "The record of what operators and the appliance did", newAuditVerify())
}

// maxHead bounds a signed head, in bytes.
const maxHead = 64 << 10

func newAuditVerify() *cobra.Command {
	var paths, heads []string
	var dir, verifier string
	cmd := &cobra.Command{
		Use: "verify", Short: "Check that nobody changed the audit", Args: cobra.NoArgs,
		Long: `Checks every entry against the signed head beside it, and against heads and the
verifier that were kept elsewhere: without those, whoever can write the directory
and read its key could have made all of it anew. The daemon may run. Exit code 3
if something was changed. The head is printed, to be kept.`,
		RunE: verb(func(_ context.Context, cmd *cobra.Command, _ []string) error {
			if dir == "" {
				c, _ := config.Load(paths, config.LoadOptions{})
				dir = filepath.Join(c.Appliance.DataDir, "audit")
			}
			key, kept, err := keptElsewhere(cmd, verifier, heads)
			if err != nil {
				return err
			}
			report, err := audit.Verify(dir, key, kept...)
			switch {
			case errors.Is(err, audit.ErrDamaged):
				return &exitError{exitFound, err}
			case err != nil:
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "In good order: entries %d to %d, %d of them behind the head.\n", report.First, report.Size-1, report.Behind)
			_, err = cmd.OutOrStdout().Write(report.Head)
			return err
		}),
	}
	cmd.Flags().StringArrayVar(&paths, "config", nil, "the daemon's configuration; may be repeated")
	cmd.Flags().StringVar(&dir, "dir", "", "the audit's directory, instead of DATA_DIR/audit")
	cmd.Flags().StringVar(&verifier, "verifier", "", "a file with the verifier that was kept elsewhere")
	cmd.Flags().StringArrayVar(&heads, "head", nil, "a file with a head that was kept elsewhere; may be repeated")
	return cmd
}

func keptElsewhere(cmd *cobra.Command, verifier string, heads []string) (key string, kept [][]byte, err error) {
	if verifier != "" {
		b, err := os.ReadFile(verifier)
		if err != nil {
			return "", nil, err
		}
		key = string(b)
	}
	for _, path := range heads {
		b, err := readFile(cmd, path, maxHead)
		if err != nil {
			return "", nil, err
		}
		kept = append(kept, b)
	}
	return key, kept, nil
}
