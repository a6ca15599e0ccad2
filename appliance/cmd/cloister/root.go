package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "cloister",
		Short: "Collect what people do, ask about it, and reach the right person: all on your own machine",
		Long: `Cloister collects what people do in your apps, answers questions about it, and
sends e-mail, SMS and push to the right person at the right moment, with
consent. Nothing leaves the building but the messages themselves.

Try it:          cloister server --demo
Run it:          cloister server
Check changes:   cloister validate

Exit codes: 0 done, 1 failed, 2 used wrongly, 3 a check found something, 4 not
reachable, 5 sealed or not ready, 78 bad configuration at start.`,
		SilenceErrors: true, SilenceUsage: true, Args: cobra.NoArgs,
		Version: version,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("cloister {{.Version}}\n")
	root.AddCommand(
		newServer(), newValidate(), newFmt(), newReload(), newStatus(), newVersion(),
		newImport(), newExport(), newQuery(), newLists(), newCampaign(), newExplain(), newMessage(), newPerson(), newSuppression(),
		newOperator(), newToken(), newConnector(), newAudit(), newMan(),
	)
	return root
}

// interruptible gives a context that ends with the first signal to stop. The
// second signal ends the process at once, as if nobody had caught it.
func interruptible() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
