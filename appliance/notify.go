package appliance

import "github.com/coreos/go-systemd/v22/daemon"

// notifyReady and notifyStopping tell systemd; without it they do nothing, and
// that it cannot be told changes nothing that the daemon could do.
func notifyReady()    { _, _ = daemon.SdNotify(false, daemon.SdNotifyReady) }
func notifyStopping() { _, _ = daemon.SdNotify(false, daemon.SdNotifyStopping) }
