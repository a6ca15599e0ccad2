package console

import (
	"net/http"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/access"
)

// may is what a route lets be done. Which role may do what stands here alone.
type may uint8

const (
	anybody    may = iota // also without a sign-in
	signedIn              // whoever it is
	view                  // what a publisher has, without people
	ask                   // questions
	readPeople            // somebody's page
	takeOut               // events, profiles and messages as files
	explain               // why a message was sent, or not
	programme             // change campaigns, segments, rfms and lists
	operate               // erase, import, see mail, decide on held records, suppress addresses, replay messages, check and pause connectors
	readAudit             // what was done
	appliance             // operators: admin of the whole appliance
)

// allowed holds the roles that may, per publisher.
var allowed = map[may][]access.Role{
	view:       {access.Analyst, access.Marketer, access.Admin, access.Auditor},
	ask:        {access.Analyst, access.Marketer, access.Admin},
	readPeople: {access.Analyst, access.Marketer, access.Admin},
	takeOut:    {access.Analyst, access.Marketer, access.Admin},
	explain:    {access.Analyst, access.Marketer, access.Admin, access.Auditor},
	programme:  {access.Marketer, access.Admin},
	operate:    {access.Admin},
	readAudit:  {access.Admin, access.Auditor},
}

// route is one line of the API. A pattern with {p} is about a publisher.
type route struct {
	pattern string
	may     may
	serve   func(c *Console, r *request) error
	body    int64         // most bytes; 0 = no body is read
	time    time.Duration // most it may take; 0 = 30 s, negative = a stream
	socket  bool          // on the admin socket only
}

const (
	smallBody  = 1 << 20
	importBody = 8 << 20
	askTime    = 2 * time.Minute
)

var routes = []route{
	{pattern: "POST /v1/session", may: anybody, serve: (*Console).signIn, body: 16 << 10},
	{pattern: "POST /v1/session/link", may: anybody, serve: (*Console).signInByLink, body: 16 << 10},
	{pattern: "DELETE /v1/session", may: anybody, serve: (*Console).signOut},
	{pattern: "GET /v1/setup", may: anybody, serve: (*Console).needsSetup},
	{pattern: "POST /v1/setup", may: anybody, serve: (*Console).setUp, body: 16 << 10},
	{pattern: "GET /v1/me", may: signedIn, serve: (*Console).me},
	{pattern: "GET /v1/sessions", may: signedIn, serve: (*Console).sessions},
	{pattern: "DELETE /v1/sessions/{id}", may: signedIn, serve: (*Console).endSession},

	{pattern: "GET /v1/publishers/{p}", may: view, serve: (*Console).overview},
	{pattern: "GET /v1/publishers/{p}/live", may: view, serve: (*Console).stream, time: -1},
	{pattern: "GET /v1/publishers/{p}/arrivals", may: view, serve: (*Console).arrivals},
	{pattern: "GET /v1/publishers/{p}/developers", may: view, serve: (*Console).documents},
	{pattern: "GET /v1/publishers/{p}/developers/{name}", may: view, serve: (*Console).document},
	{pattern: "GET /v1/publishers/{p}/refusals", may: view, serve: (*Console).refusals},
	{pattern: "GET /v1/publishers/{p}/refusals/live", may: view, serve: (*Console).refusalStream, time: -1},
	{pattern: "GET /v1/publishers/{p}/held", may: operate, serve: (*Console).held},
	{pattern: "POST /v1/publishers/{p}/held/{n}/release", may: operate, serve: (*Console).releaseHeld, body: 1 << 10},
	{pattern: "DELETE /v1/publishers/{p}/held/{n}", may: operate, serve: (*Console).discardHeld},
	{pattern: "POST /v1/publishers/{p}/query", may: ask, serve: (*Console).query, body: smallBody, time: askTime},
	{pattern: "GET /v1/publishers/{p}/recent-people", may: readPeople, serve: (*Console).recentPeople},
	{pattern: "GET /v1/publishers/{p}/people/{identity}", may: readPeople, serve: (*Console).person},
	{pattern: "GET /v1/publishers/{p}/people/{identity}/timeline", may: readPeople, serve: (*Console).timeline},
	{pattern: "POST /v1/publishers/{p}/people/{identity}/demerge", may: operate, serve: (*Console).demerge},
	{pattern: "DELETE /v1/publishers/{p}/people/{identity}", may: operate, serve: (*Console).erase},
	{pattern: "GET /v1/publishers/{p}/erasures/{request}", may: readAudit, serve: (*Console).certificate},
	{pattern: "GET /v1/publishers/{p}/messages", may: readPeople, serve: (*Console).messages},
	{pattern: "GET /v1/publishers/{p}/messages/{id}", may: explain, serve: (*Console).message},
	{pattern: "POST /v1/publishers/{p}/messages/replay", may: operate, serve: (*Console).replayMessages, body: 16 << 10},

	{pattern: "GET /v1/publishers/{p}/campaigns", may: view, serve: (*Console).campaigns},
	{pattern: "POST /v1/publishers/{p}/campaigns", may: programme, serve: (*Console).makeCampaign, body: smallBody},
	{pattern: "POST /v1/publishers/{p}/campaigns/check", may: view, serve: (*Console).checkCampaign, body: smallBody},
	{pattern: "GET /v1/publishers/{p}/campaigns/{id}", may: view, serve: (*Console).campaign},
	{pattern: "PUT /v1/publishers/{p}/campaigns/{id}", may: programme, serve: (*Console).putCampaign, body: smallBody},
	{pattern: "DELETE /v1/publishers/{p}/campaigns/{id}", may: programme, serve: (*Console).deleteCampaign},
	{pattern: "POST /v1/publishers/{p}/campaigns/{id}/start", may: programme, serve: (*Console).startCampaign},
	{pattern: "POST /v1/publishers/{p}/campaigns/{id}/pause", may: programme, serve: (*Console).pauseCampaign},
	{pattern: "POST /v1/publishers/{p}/campaigns/{id}/end", may: programme, serve: (*Console).endCampaign},
	{pattern: "GET /v1/publishers/{p}/campaigns/{id}/report", may: view, serve: (*Console).report, time: askTime},
	{pattern: "GET /v1/publishers/{p}/segments", may: view, serve: (*Console).segments},
	{pattern: "GET /v1/publishers/{p}/segments/{name}", may: view, serve: (*Console).segment, time: askTime},
	{pattern: "PUT /v1/publishers/{p}/segments/{name}", may: programme, serve: (*Console).putSegment, body: smallBody, time: askTime},
	{pattern: "DELETE /v1/publishers/{p}/segments/{name}", may: programme, serve: (*Console).deleteSegment},

	{pattern: "GET /v1/publishers/{p}/rfms", may: view, serve: (*Console).rfms},
	{pattern: "GET /v1/publishers/{p}/rfms/{name}", may: view, serve: (*Console).rfm, time: askTime},
	{pattern: "PUT /v1/publishers/{p}/rfms/{name}", may: programme, serve: (*Console).putRFM, body: smallBody, time: askTime},
	{pattern: "DELETE /v1/publishers/{p}/rfms/{name}", may: programme, serve: (*Console).deleteRFM},
	{pattern: "GET /v1/publishers/{p}/lists", may: view, serve: (*Console).lists},
	{pattern: "GET /v1/publishers/{p}/lists/{name}", may: view, serve: (*Console).list},
	{pattern: "POST /v1/publishers/{p}/lists/{name}", may: programme, serve: (*Console).uploadList, body: importBody, time: askTime},
	{pattern: "DELETE /v1/publishers/{p}/lists/{name}", may: programme, serve: (*Console).deleteList},

	{pattern: "GET /v1/publishers/{p}/suppression", may: view, serve: (*Console).suppression},
	{pattern: "GET /v1/publishers/{p}/suppression/addresses", may: operate, serve: (*Console).suppressed},
	{pattern: "POST /v1/publishers/{p}/suppression/find", may: operate, serve: (*Console).findSuppressed, body: 16 << 10},
	{pattern: "POST /v1/publishers/{p}/suppression/add", may: operate, serve: (*Console).addSuppressed, body: smallBody},
	{pattern: "POST /v1/publishers/{p}/suppression/remove", may: operate, serve: (*Console).removeSuppressed, body: smallBody},

	{pattern: "GET /v1/publishers/{p}/connectors", may: view, serve: (*Console).connectors},
	{pattern: "POST /v1/publishers/{p}/connectors/{name}/check", may: operate, serve: (*Console).checkConnector},
	{pattern: "POST /v1/publishers/{p}/connectors/{name}/pause", may: operate, serve: (*Console).pauseConnector},
	{pattern: "POST /v1/publishers/{p}/connectors/{name}/resume", may: operate, serve: (*Console).resumeConnector},
	{pattern: "POST /v1/publishers/{p}/connectors/{name}/drain", may: operate, serve: (*Console).drainConnector},
	{pattern: "GET /v1/publishers/{p}/mailbox", may: operate, serve: (*Console).mailbox},
	{pattern: "GET /v1/publishers/{p}/mailbox/{id}/html", may: operate, serve: (*Console).mailPage},
	{pattern: "POST /v1/publishers/{p}/import/events", may: operate, serve: (*Console).importEvents, body: importBody, time: askTime},
	{pattern: "POST /v1/publishers/{p}/import/profiles", may: operate, serve: (*Console).importProfiles, body: importBody, time: askTime},
	{pattern: "GET /v1/publishers/{p}/export/events", may: takeOut, serve: (*Console).exportEvents, time: -1},
	{pattern: "GET /v1/publishers/{p}/export/profiles", may: takeOut, serve: (*Console).exportProfiles, time: -1},
	{pattern: "GET /v1/publishers/{p}/export/messages", may: takeOut, serve: (*Console).exportMessages, time: -1},

	{pattern: "GET /v1/health", may: signedIn, serve: (*Console).health},
	{pattern: "GET /v1/audit", may: signedIn, serve: (*Console).listAudit},
	{pattern: "GET /v1/audit/head", may: signedIn, serve: (*Console).auditHead},
	{pattern: "GET /v1/operators", may: appliance, serve: (*Console).operators},
	{pattern: "POST /v1/operators", may: appliance, serve: (*Console).addOperator, body: 64 << 10},
	{pattern: "PUT /v1/operators/{name}", may: appliance, serve: (*Console).changeOperator, body: 64 << 10},
	{pattern: "DELETE /v1/operators/{name}", may: appliance, serve: (*Console).removeOperator},
	{pattern: "POST /v1/operators/{name}/password", may: signedIn, serve: (*Console).setPassword, body: 16 << 10},
	{pattern: "POST /v1/operators/{name}/link", may: appliance, serve: (*Console).linkOperator},
	{pattern: "GET /v1/tokens", may: signedIn, serve: (*Console).tokens},
	{pattern: "POST /v1/tokens", may: signedIn, serve: (*Console).createToken, body: 64 << 10},
	{pattern: "DELETE /v1/tokens/{id}", may: signedIn, serve: (*Console).revokeToken},

	{pattern: "POST /v1/admin/reload", may: appliance, serve: (*Console).reload, time: askTime, socket: true},
	{pattern: "GET /v1/admin/status", may: appliance, serve: (*Console).status, socket: true},
	{pattern: "POST /v1/admin/sign-in-link", may: appliance, serve: (*Console).adminLink, body: 16 << 10, socket: true},
}

// noRoute answers what is no part of the API, or is with another method.
func (c *Console) noRoute(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var have []string
		for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
			probe := &http.Request{Method: method, URL: r.URL, Host: r.Host}
			if _, pattern := mux.Handler(probe); strings.HasPrefix(pattern, method+" ") {
				have = append(have, method)
			}
		}
		if len(have) == 0 {
			c.fail(w, &request{Request: r}, notFound())
			return
		}
		w.Header().Set("Allow", strings.Join(have, ", "))
		c.fail(w, &request{Request: r}, &problem{status: http.StatusMethodNotAllowed, Code: "method", Message: "this address has " + strings.Join(have, " and ")})
	})
}
