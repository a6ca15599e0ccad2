package main

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newMan() *cobra.Command {
	return &cobra.Command{
		Use:   "man [DIRECTORY]",
		Short: "Print the manual page, or write all of them into a directory",
		Long: `Prints cloister(1) for man: cloister man | man -l -
With a directory it writes a page for each verb. SOURCE_DATE_EPOCH sets the date.`,
		Args: cobra.MaximumNArgs(1),
		RunE: verb(func(_ context.Context, cmd *cobra.Command, args []string) error {
			header := &doc.GenManHeader{Title: "CLOISTER", Section: "1", Source: "Cloister " + version, Manual: "Cloister"}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			if len(args) == 0 {
				return doc.GenMan(root, header, cmd.OutOrStdout())
			}
			return doc.GenManTree(root, header, args[0])
		}),
	}
}
