package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

type problem struct {
	Code     string    `json:"code"`
	Subject  string    `json:"subject"`
	Severity string    `json:"severity"`
	Since    time.Time `json:"since"`
	Summary  string    `json:"summary"`
	Hint     string    `json:"hint"`
}

type applianceStatus struct {
	Name      string    `json:"name"`
	Version   string    `json:"version"`
	Demo      bool      `json:"demo"`
	Started   time.Time `json:"started"`
	Listeners []struct {
		Name    string `json:"name"`
		Address string `json:"address"`
	} `json:"listeners"`
	Publishers []struct {
		Name      string  `json:"name"`
		People    int64   `json:"people"`
		Rows      int64   `json:"rows"`
		PerSecond float64 `json:"per_second"`
		Waiting   int64   `json:"waiting"`
	} `json:"publishers"`
	Problems []problem `json:"problems"`
}

func newStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Say how the daemon is", Args: cobra.NoArgs,
		Long: `Says how the daemon on this machine is: its listeners, its publishers, and what
is wrong right now. Exit code 3 if something is wrong.`,
	}
	t := daemonFlags(cmd)
	asJSON := cmd.Flags().Bool("json", false, "as JSON")
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
		c, err := t.open()
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := c.do(ctx, http.MethodGet, "/v1/admin/status", nil, &raw); err != nil {
			return err
		}
		var s applianceStatus
		if err := json.Unmarshal(raw, &s); err != nil {
			return fmt.Errorf("the answer of %s is not what this version understands: %w", c.where, err)
		}
		if *asJSON {
			err = printJSON(cmd, raw)
		} else {
			err = s.print(cmd)
		}
		if err == nil && len(s.Problems) > 0 {
			return silent(exitFound)
		}
		return err
	})
	return cmd
}

func (s *applianceStatus) print(cmd *cobra.Command) error {
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "%s, Cloister %s, running since %s\n\n", cell(s.Name), cell(s.Version), cell(s.Started))
	l := newTable(w, "listener", "address")
	for _, one := range s.Listeners {
		l.row(one.Name, one.Address)
	}
	if err := l.end(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	p := newTable(w, "publisher", "people", "events", "a second", "waiting to be sent")
	for _, one := range s.Publishers {
		p.row(one.Name, one.People, one.Rows, fmt.Sprintf("%.1f", one.PerSecond), one.Waiting)
	}
	if err := p.end(); err != nil {
		return err
	}
	for _, one := range s.Problems {
		fmt.Fprintf(w, "\n%s %s", cell(one.Severity), cell(one.Code))
		if one.Subject != "" {
			fmt.Fprintf(w, " (%s)", cell(one.Subject))
		}
		fmt.Fprintf(w, ", since %s\n  %s\n", cell(one.Since), cell(one.Summary))
		if one.Hint != "" {
			fmt.Fprintf(w, "  %s\n", cell(one.Hint))
		}
	}
	return nil
}
