// Package webtest looks at the web console in a real browser, with a running
// daemon behind it. Its tests are built with the tag e2e and are told where the
// console is:
//
//	go test -tags e2e ./appliance/console/webtest -args \
//	    -console 'http://127.0.0.1:8480/sign-in#TOKEN' -shots /tmp/shots
//
// The address is a one-time sign-in link of an admin, as `cloister server
// --demo` prints it. axe-core is read from the console's node_modules, so run
// `npm ci` in appliance/console/web first.
package webtest
