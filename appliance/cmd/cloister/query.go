package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"
)

// maxQuestion is what the daemon takes, in bytes.
const maxQuestion = 1 << 20

func newQuery() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "query FILE",
		Short: "Ask a question and print the answer as JSON",
		Long:  "Asks the question in FILE, which is JSON; - is standard input.",
		Args:  cobra.ExactArgs(1),
	}
	t := daemonFlags(cmd)
	publisher := publisherFlag(cmd)
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
		question, err := readFile(cmd, args[0], maxQuestion)
		if err != nil {
			return err
		}
		c, err := t.open()
		if err != nil {
			return err
		}
		base, err := c.publisher(ctx, *publisher)
		if err != nil {
			return err
		}
		var answer json.RawMessage
		if err := c.send(ctx, http.MethodPost, base+"/query", bytes.NewReader(question), &answer); err != nil {
			return err
		}
		return printJSON(cmd, answer)
	})
	return cmd
}

// readFile reads a file, or standard input for "-", of at most limit bytes.
func readFile(cmd *cobra.Command, path string, limit int64) ([]byte, error) {
	r := cmd.InOrStdin()
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return b, nil
}
