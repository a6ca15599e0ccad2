package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/cloisterhq/cloister/appliance"
	"github.com/cloisterhq/cloister/config"
	"github.com/cloisterhq/cloister/plugins/sandbox"
)

// The demo, when nothing else is asked for.
const (
	demoDir    = "cloister-demo"
	demoPeople = 2000
	demoRate   = "20/s"
)

func newServer() *cobra.Command {
	var paths []string
	var dataDir, rate string
	var demo bool
	var people int
	cmd := &cobra.Command{
		Use: "server", Short: "Run the daemon", Args: cobra.NoArgs,
		Long: `Runs the daemon in the foreground and logs to standard error. It stops in good
order at the first SIGINT or SIGTERM, and at once at the second; SIGHUP reads the
configuration again, as cloister reload does.

--demo needs no configuration: one publisher, an invented app whose people
arrive, buy, leave carts and get messages, and a sign-in link on the terminal.
Its data lies in ./cloister-demo.`,
		RunE: verb(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			level := &slog.LevelVar{}
			o := appliance.Options{
				ConfigPaths: paths, DataDir: dataDir, Version: version,
				Stderr: cmd.ErrOrStderr(), Logger: newLogger(cmd.ErrOrStderr(), level), Level: level,
			}
			if demo {
				perSecond, err := config.ParseRate(rate)
				if err != nil || people < 1 {
					return usage("--demo-rate is like 20/s, and --demo-people at least 1")
				}
				if len(paths) > 0 {
					return usage("the demo needs no --config")
				}
				o.Demo = &appliance.Demo{People: people, Rate: perSecond}
			}
			o.Memory = memory()
			boundMemory(o.Memory)
			// After the memory that we may use was read, which is of the group that this leaves.
			if o.Groups, o.NoGroups = sandbox.OpenGroups(); o.NoGroups != nil {
				o.Logger.Info("connectors are bounded without control groups", "why", o.NoGroups)
			}
			stop := reloadOnHangup(ctx, o)
			defer stop()
			err := appliance.Run(ctx, o)
			if errors.Is(err, appliance.ErrConfig) {
				fmt.Fprintln(cmd.ErrOrStderr(), "cloister: nothing was started: the configuration is wrong")
				return silent(exitConfig)
			}
			if errors.Is(err, appliance.ErrLocked) {
				return &exitError{exitNotReady, err}
			}
			return err
		}),
	}
	f := cmd.Flags()
	f.StringArrayVar(&paths, "config", nil, "a file, or a directory of *.hcl; may be repeated; default /etc/cloister")
	f.StringVar(&dataDir, "data-dir", "", "where everything is kept; wins over the configuration")
	f.BoolVar(&demo, "demo", false, "run an invented publisher, without configuration")
	f.IntVar(&people, "demo-people", demoPeople, "how many people the demo has")
	f.StringVar(&rate, "demo-rate", demoRate, "how many events the demo sends")
	return cmd
}

// reloadOnHangup reloads at SIGHUP, by the same way as the verb. The function
// that it gives ends that, and waits for a reload that is under way.
func reloadOnHangup(ctx context.Context, o appliance.Options) func() {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
				if err := reloadSelf(ctx, o); err != nil {
					o.Logger.Error("the configuration was not read again", "error", err)
				}
			}
		}
	})
	return func() {
		signal.Stop(hangups)
		cancel()
		wg.Wait()
	}
}

func reloadSelf(ctx context.Context, o appliance.Options) error {
	dir := o.DataDir
	switch {
	case dir == "" && o.Demo != nil:
		dir = demoDir
	case dir == "":
		c, _ := config.Load(o.ConfigPaths, config.LoadOptions{})
		dir = c.Appliance.DataDir
	}
	c, err := (&target{socket: filepath.Join(dir, "admin.sock")}).open()
	if err != nil {
		return err
	}
	defer c.http.CloseIdleConnections()
	_, err = reload(ctx, c)
	return err
}
