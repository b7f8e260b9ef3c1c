package adminapi

import (
	"cmp"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/channel"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/role"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/internal/strictjson"
	"github.com/hookturn/hookturn/schemas"
)

// Channels is the admin API for channels that are not defined in a bot file. The admin listener serves it. All
// fields are required.
type Channels struct {
	Administration *channel.Administration
	Advise         func(owner schemas.BotID, advisory []byte) error
	Audit          audit.Writer
	Log            *slog.Logger
}

const (
	bodyMax     = 64 << 10
	pageDefault = 100
	pageMax     = 1000
)

// handler is every path below /admin/v1/.
func (a Channels) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, handle := range map[string]httpapi.Handler{
		"GET /admin/v1/channels":         a.list,
		"POST /admin/v1/channels":        a.create,
		"GET /admin/v1/channels/lookup":  a.lookUp,
		"GET /admin/v1/channels/{id}":    a.show,
		"PATCH /admin/v1/channels/{id}":  a.change,
		"DELETE /admin/v1/channels/{id}": a.remove,
	} {
		mux.Handle(pattern, httpapi.Serve(a.Log, handle))
	}
	mux.Handle("/admin/v1/channels", httpapi.Serve(a.Log, httpapi.Only(http.MethodGet, http.MethodPost)))
	mux.Handle("/admin/v1/channels/{id}",
		httpapi.Serve(a.Log, httpapi.Only(http.MethodGet, http.MethodPatch, http.MethodDelete)))
	mux.Handle("/", httpapi.Serve(a.Log, httpapi.NotFound))
	return mux
}

func (a Channels) list(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	offset, limit := number(query.Get("offset"), 0), number(query.Get("limit"), pageDefault)
	if offset < 0 || limit < 1 || limit > pageMax {
		return httpapi.Reject(http.StatusBadRequest, fault.BadEvent,
			"offset must be at least 0, limit from 1 to "+strconv.Itoa(pageMax))
	}
	page, total := []channel.Shown{}, 0
	for _, entry := range a.Administration.List() {
		if !matchesQuery(entry, query) {
			continue
		}
		if total >= offset && len(page) < limit {
			page = append(page, entry.Shown())
		}
		total++
	}
	return httpapi.Answer(w, httpapi.MediaJSON, http.StatusOK, map[string]any{"channels": page, "total": total})
}

// number returns a number from the query; -1 when the text is not a valid number.
func number(text string, otherwise int) int {
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}

func matchesQuery(e channel.Entry, query map[string][]string) bool {
	ch := e.Is()
	for name, value := range map[string]string{
		"tenant": e.Tenant, "bot": e.Bot, "code": ch.Code, "type": ch.Type, "origin": e.Origin,
	} {
		if want := query[name]; len(want) > 0 && want[0] != value {
			return false
		}
	}
	return true
}

// lookUp finds a channel by its code.
func (a Channels) lookUp(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	owner := schemas.BotID{Tenant: cmp.Or(query.Get("tenant"), "default"), Bot: query.Get("bot")}
	entry, err := a.Administration.LookUp(owner, query.Get("code"))
	if err != nil {
		return httpapi.Reject(http.StatusNotFound, "", "no channel of this tenant and bot has the code")
	}
	return httpapi.Answer(w, httpapi.MediaJSON, http.StatusOK, entry.Shown())
}

func (a Channels) show(w http.ResponseWriter, r *http.Request) error {
	entry, err := a.Administration.Get(r.PathValue("id"))
	if err != nil {
		return rejected(err)
	}
	w.Header().Set("ETag", etag(entry))
	return httpapi.Answer(w, httpapi.MediaJSON, http.StatusOK, entry.Shown())
}

// etag is the revision of a channel; of one of a bot file, when the file changed last.
func etag(e channel.Entry) string {
	if e.Origin == channel.OriginFile {
		return `"f` + strconv.FormatInt(e.Modified.UnixNano(), 36) + `"`
	}
	return `"` + strconv.FormatUint(e.Revision, 10) + `"`
}

func (a Channels) create(w http.ResponseWriter, r *http.Request) error {
	body, err := httpapi.ReadJSON(w, r, bodyMax, fault.BadEvent)
	if err != nil {
		return err
	}
	if strictjson.Kind(body) != "object" {
		return httpapi.Reject(http.StatusBadRequest, fault.BadEvent, "the body: "+strictjson.ErrNotObject.Error())
	}
	to, err := ownerOf(body)
	if err != nil {
		return err
	}
	if !to.Valid() {
		return httpapi.RejectAt("/bot", "bot and tenant must be of the form [A-Za-z0-9_-]{1,64}")
	}
	if operator := operatorOf(r.Context()); !operator.Role.May(schemas.AuditChannelToken) && writtenOf(body).sends(written{}) {
		return insufficient(operator, role.Needs(schemas.AuditChannelToken))
	}
	var entry channel.Entry
	var token string
	if err := a.audited(r, schemas.AuditChannelCreate, to, "", func() (id string, err error) {
		entry, token, err = a.Administration.Create(r.Context(), to, body)
		return entry.ID, err
	}); err != nil {
		return err
	}
	a.advise(r, entry, "created")
	w.Header().Set("Location", "/admin/v1/channels/"+url.PathEscape(entry.ID))
	return answerWritten(w, http.StatusCreated, entry, token)
}

// change is a JSON merge patch (RFC 7396) on the channel; rotate_token asks for a new token.
func (a Channels) change(w http.ResponseWriter, r *http.Request) error {
	body, err := httpapi.ReadJSON(w, r, bodyMax, fault.BadEvent)
	if err != nil {
		return err
	}
	decoded, err := strictjson.Decode(body) // numbers keep their digits
	patch, isObject := decoded.(map[string]any)
	if err != nil || !isObject {
		return httpapi.Reject(http.StatusBadRequest, fault.BadEvent, "the body must be an object")
	}
	entry, err := a.current(r)
	if err != nil {
		return err
	}
	if entry.Origin == channel.OriginFile {
		return rejected(channel.ErrOfFile)
	}
	for fixed, value := range map[string]string{"id": entry.ID, "tenant": entry.Tenant, "bot": entry.Bot} {
		if given, there := patch[fixed]; there && given != value {
			return httpapi.RejectAt("/"+fixed, "cannot change")
		}
		delete(patch, fixed)
	}
	rotate, isBool := patch["rotate_token"].(bool)
	if _, given := patch["rotate_token"]; given && !isBool {
		return httpapi.RejectAt("/rotate_token", "must be true or false")
	}
	delete(patch, "rotate_token")
	before, err := strictjson.Decode(entry.Channel)
	if err != nil {
		return rejected(err)
	}
	after, err := strictjson.Encode(merge(before, patch))
	if err != nil {
		return rejected(err)
	}
	action := schemas.AuditChannelChange
	was, is := writtenOf(entry.Channel), writtenOf(after)
	if rotate || was.TokenLocal != is.TokenLocal || is.sends(was) { // another secret is another token for callers
		action = schemas.AuditChannelToken
	}
	var changed channel.Entry
	var token string
	if err := a.audited(r, action, entry.BotID, entry.ID, func() (_ string, err error) {
		changed, token, err = a.Administration.Change(r.Context(), entry.ID, entry.Revision, after, rotate)
		return "", err
	}); err != nil {
		return err
	}
	a.advise(r, changed, "changed")
	return answerWritten(w, http.StatusOK, changed, token)
}

func (a Channels) remove(w http.ResponseWriter, r *http.Request) error {
	entry, err := a.current(r)
	if err != nil {
		return err
	}
	if err := a.audited(r, schemas.AuditChannelDelete, entry.BotID, entry.ID, func() (string, error) {
		return "", a.Administration.Remove(r.Context(), entry.ID, entry.Revision)
	}); err != nil {
		return err
	}
	a.advise(r, entry, "deleted")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// current returns the channel of the path. The request is rejected when If-Match names an earlier version of the channel.
func (a Channels) current(r *http.Request) (channel.Entry, error) {
	entry, err := a.Administration.Get(r.PathValue("id"))
	if err != nil {
		return entry, rejected(err)
	}
	if match := r.Header.Get("If-Match"); match != "" && match != "*" && match != etag(entry) {
		return entry, httpapi.Reject(http.StatusPreconditionFailed, "", "the channel was changed since it was read")
	}
	return entry, nil
}

func answerWritten(w http.ResponseWriter, status int, e channel.Entry, token string) error {
	w.Header().Set("ETag", etag(e))
	body := map[string]any{"channel": e.Shown()}
	if token != "" {
		body["token_local"] = token // the only time that it is seen
	}
	return httpapi.Answer(w, httpapi.MediaJSON, status, body)
}

// rejected returns what the operator reads when the administration did not do what was asked.
func rejected(err error) error {
	var invalid *channel.InvalidError
	switch {
	case errors.Is(err, channel.ErrNotFound):
		return httpapi.Reject(http.StatusNotFound, "", err.Error())
	case errors.Is(err, store.ErrChanged), errors.Is(err, channel.ErrOfFile), errors.Is(err, channel.ErrOvertaken):
		return httpapi.Reject(http.StatusConflict, "", err.Error())
	case errors.As(err, &invalid):
		return httpapi.Reject(http.StatusUnprocessableEntity, fault.Config, invalid.Reason)
	}
	return httpapi.Failed(err, "the channel is not stored").Because(err, "storing a channel failed")
}

// ownerOf returns the bot of a new channel. The error is a *httpapi.Problem.
func ownerOf(body json.RawMessage) (schemas.BotID, error) {
	members := channel.Members(body)
	var to schemas.BotID
	for name, into := range map[string]*string{"bot": &to.Bot, "tenant": &to.Tenant} {
		if value := members[name]; value != nil && json.Unmarshal(value, into) != nil {
			return to, httpapi.RejectAt("/"+name, "must be a string")
		}
	}
	if to.Bot == "" {
		return to, httpapi.RejectAt("/bot", "is required: the bot of the channel, and its tenant unless that is default")
	}
	to.Tenant = cmp.Or(to.Tenant, "default")
	return to, nil
}

// written has the names of the secrets of a channel, and the address to which its scripts send them.
type written struct{ TokenLocal, TokenRemote, TokenRemote2, URL string }

// writtenOf reads the members by their exact names, as channel.Administration does: encoding/json would fill a field of a
// struct from Token_Remote as well.
func writtenOf(text json.RawMessage) (w written) {
	members := channel.Members(text)
	for name, into := range map[string]*string{
		"token_local": &w.TokenLocal, "token_remote": &w.TokenRemote, "token_remote2": &w.TokenRemote2, "url": &w.URL,
	} {
		_ = json.Unmarshal(members[name], into) // what is invalid is not stored
	}
	return w
}

// sends reports whether a secret is sent to another address, or another secret is sent, than before.
func (w written) sends(before written) bool {
	w.TokenLocal, before.TokenLocal = "", ""
	return (w.TokenRemote != "" || w.TokenRemote2 != "") && w != before
}

// audited makes a change that the operator's role allows, between the audit events of it. The change returns the id of what
// it has made, if anything.
func (a Channels) audited(
	r *http.Request, action schemas.AuditAction, of schemas.BotID, id string, change func() (made string, err error),
) error {
	return audited(r, a.Audit, a.Log, audit.Change{BotID: of, Action: action, Subject: id}, func() (string, error) {
		made, err := change()
		if err != nil {
			return "", rejected(err)
		}
		return made, nil
	})
}

// audited makes a change that the operator's role allows, between the audit events of it; its error is what the operator
// reads.
func audited(
	r *http.Request, writer audit.Writer, log *slog.Logger, c audit.Change, change func() (made string, err error),
) error {
	operator := operatorOf(r.Context())
	if !operator.Role.May(c.Action) {
		return insufficient(operator, role.Needs(c.Action))
	}
	trail := audit.Trail{Writer: writer, Log: log, Actor: actorOf(r)}
	op, err := trail.Begin(r.Context(), c)
	if err != nil {
		return httpapi.Failed(err, "the audit event is not stored, nothing was changed").
			Because(err, "storing an audit event failed")
	}
	made, err := change()
	if err != nil {
		failed := audit.Outcome{Result: schemas.AuditFailed, Error: "failed"}
		if problem, ok := errors.AsType[*httpapi.Problem](err); ok && problem.Status < http.StatusInternalServerError {
			failed.Error = "refused"
		}
		op.End(r.Context(), failed)
		return err
	}
	did := audit.Outcome{Result: schemas.AuditDone}
	if made != "" {
		did.Objects = []string{made}
	}
	op.End(r.Context(), did)
	return nil
}

// actorOf returns who sends a request, for its audit event.
func actorOf(r *http.Request) schemas.AuditActor {
	operator := operatorOf(r.Context())
	return schemas.AuditActor{
		Name: operator.Name, Role: string(operator.Role), Via: viaAdminAPI, From: httpapi.Peer(r, nil).String(),
	}
}

// viaAdminAPI is the way in which an operator of the admin API acts.
const viaAdminAPI = "admin_api"

// advise logs a change of a channel and publishes an advisory for it.
func (a Channels) advise(r *http.Request, e channel.Entry, action string) {
	is := e.Is()
	changed := schemas.ChannelChanged{
		ID: e.ID, Code: is.Code, Action: action, By: operatorOf(r.Context()).Name, From: httpapi.Peer(r, nil).String(),
	}
	a.Log.InfoContext(r.Context(), "channel changed", "action", action, "id", e.ID, "tenant", e.Tenant, "bot", e.Bot,
		"channel", is.Code, "operator", changed.By, "remote_addr", changed.From)
	advisory, err := json.Marshal(schemas.NewChannelAdvisory(e.BotID, time.Now(), changed))
	if err == nil {
		err = a.Advise(e.BotID, advisory)
	}
	if err != nil {
		a.Log.WarnContext(r.Context(), "publishing channel advisory failed", "id", e.ID, "error", err)
	}
}

// merge is RFC 7396: null removes, objects merge, anything else replaces.
func merge(target, patch any) any {
	change, isObject := patch.(map[string]any)
	if !isObject {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for name, value := range change {
		if value == nil {
			delete(object, name)
		} else {
			object[name] = merge(object[name], value)
		}
	}
	return object
}
