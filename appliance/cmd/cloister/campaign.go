package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

func newCampaign() *cobra.Command {
	return group("campaign", "Look at campaigns, start and pause them",
		newCampaignList(),
		newCampaignVerb("show", http.MethodGet, "", "Print a campaign as JSON"),
		newCampaignVerb("start", http.MethodPost, "/start", "Set a campaign running"),
		newCampaignVerb("pause", http.MethodPost, "/pause", "Pause a campaign: nothing new is decided, what waits waits on"),
	)
}

type campaign struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	State   string `json:"state"`
	Channel string `json:"channel"`
	Purpose string `json:"purpose"`
	Trigger struct {
		Type string `json:"type"`
	} `json:"trigger"`
}

func newCampaignList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List campaigns", Args: cobra.NoArgs}
	l := listing{cmd: cmd, target: daemonFlags(cmd), publisher: publisherFlag(cmd)}
	l.json = cmd.Flags().Bool("json", false, "as JSON")
	cmd.RunE = l.run("/campaigns", func(raw json.RawMessage) error {
		var all struct {
			Campaigns []campaign `json:"campaigns"`
		}
		if err := json.Unmarshal(raw, &all); err != nil {
			return err
		}
		t := newTable(cmd.OutOrStdout(), "id", "state", "channel", "purpose", "trigger", "name")
		for _, c := range all.Campaigns {
			t.row(c.ID, c.State, c.Channel, c.Purpose, c.Trigger.Type, c.Name)
		}
		return t.end()
	})
	return cmd
}

func newCampaignVerb(use, method, suffix, short string) *cobra.Command {
	cmd := &cobra.Command{Use: use + " ID", Short: short, Args: cobra.ExactArgs(1)}
	t := daemonFlags(cmd)
	publisher := publisherFlag(cmd)
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
		c, err := t.open()
		if err != nil {
			return err
		}
		base, err := c.publisher(ctx, *publisher)
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := c.do(ctx, method, base+"/campaigns/"+url.PathEscape(args[0])+suffix, nil, &raw); err != nil {
			return err
		}
		if method == http.MethodGet {
			return printJSON(cmd, raw)
		}
		var one campaign
		if err := json.Unmarshal(raw, &one); err != nil {
			return err
		}
		cmd.PrintErrf("%s is %s.\n", cell(one.ID), cell(one.State))
		return nil
	})
	return cmd
}
