// Package webtest looks at the web console in a real browser, with the daemon's
// demo behind it. Its tests are built with the tag e2e and need Chromium, the
// daemon that `make build` makes, and axe-core, which `npm ci` in
// appliance/console/web installs:
//
//	go test -tags e2e ./appliance/console/webtest -args -shots /tmp/shots
//
// A console that runs already is named by a one-time sign-in link of an admin:
// -args -console 'http://127.0.0.1:8481/sign-in#TOKEN'.
package webtest
