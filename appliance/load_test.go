package appliance

import (
	"slices"
	"testing"
)

// Parcels' folder is searched also by a daemon that was started before the first
// parcel was installed, and so before there was such a folder.
func TestConnectorsOfParcels(t *testing.T) {
	for _, configured := range [][]string{nil, {t.TempDir()}} {
		if dirs := Connectors(configured); dirs[len(dirs)-1] != LocalConnectors || !slices.Equal(dirs[:len(configured)], configured) {
			t.Errorf("with %q it is %q", configured, dirs)
		}
	}
}
