package gateway

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/signedurl"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

const (
	// FileMax bounds a file, in bytes.
	FileMax = 16 << 20
	// LinkFor is how long a public link to a file is good.
	LinkFor = 5 * time.Minute
)

// Files keep what channels exchange besides JSON. *store.Files is one.
type Files interface {
	Put(ctx context.Context, owner schemas.BotID, file store.File, content io.Reader) (store.File, error)
	Get(ctx context.Context, owner schemas.BotID, id string) (store.File, io.ReadCloser, error)
	Delete(ctx context.Context, owner schemas.BotID, id string) error
}

// fileChannel is the channel of a request for files.
func (o Options) fileChannel(r *http.Request) (*bot.Channel, error) {
	ch, err := o.channel(r, httpapi.Bearer(r))
	if err != nil {
		return nil, err
	}
	if !ch.Opts.AllowFiles {
		return nil, httpapi.Reject(http.StatusForbidden, fault.Config, "the channel has no files: allow_files_api is not set")
	}
	if err := permitted(ch, bot.UseFiles); err != nil {
		return nil, err
	}
	return ch, o.enter(r, ch.Tenant)
}

// putFile keeps the body of a request as a file of the channel's bot.
func (o Options) putFile(w http.ResponseWriter, r *http.Request) error {
	ch, err := o.fileChannel(r)
	if err != nil {
		return err
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !store.FileTypeAllowed(media) {
		return httpapi.Reject(http.StatusUnsupportedMediaType, fault.Encoding,
			"the Content-Type of the file is not allowed: expected an image, audio, video, document or data type")
	}
	if err := httpapi.Uncompressed(r); err != nil {
		return err
	}
	name := store.FileName(r.URL.Query().Get("name"))
	file, err := o.Files.Put(r.Context(), ch.BotID, store.File{Name: name, Type: media, Channel: ch.Code},
		http.MaxBytesReader(w, r.Body, FileMax))
	if err != nil {
		return fileFailed(err)
	}
	w.Header().Set("Location", "/files/"+file.ID)
	return httpapi.Answer(w, mediaJSON, http.StatusCreated, file)
}

func (o Options) getFile(w http.ResponseWriter, r *http.Request) error {
	ch, err := o.fileChannel(r)
	if err != nil {
		return err
	}
	return o.sendFile(w, r, ch.BotID, r.PathValue("id"), http.StatusOK)
}

func (o Options) deleteFile(w http.ResponseWriter, r *http.Request) error {
	ch, err := o.fileChannel(r)
	if err != nil {
		return err
	}
	if err := o.Files.Delete(r.Context(), ch.BotID, r.PathValue("id")); err != nil {
		return fileFailed(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// linkFile answers with an address at which anybody can read a file for five minutes.
func (o Options) linkFile(w http.ResponseWriter, r *http.Request) error {
	ch, err := o.fileChannel(r)
	if err != nil {
		return err
	}
	_, content, err := o.Files.Get(r.Context(), ch.BotID, r.PathValue("id"))
	if err != nil {
		return fileFailed(err)
	}
	_ = content.Close() // nothing was read
	link, expires := o.Links.Make(ch.BotID, r.PathValue("id"), time.Now())
	return httpapi.Answer(w, mediaJSON, http.StatusCreated, map[string]any{"url": link, "expires": expires})
}

// publicFile is where such an address leads.
func (o Options) publicFile(w http.ResponseWriter, r *http.Request) error {
	owner, id, err := o.Links.open(r.PathValue("token"), time.Now())
	switch {
	case errors.Is(err, signedurl.ErrExpired):
		return httpapi.Reject(http.StatusGone, fault.Expired,
			"the link has expired (links are valid for five minutes): request a new one with POST /files/{id}/links")
	case errors.Is(err, signedurl.ErrUnsettled):
		return unsettled("link")
	case err != nil:
		return httpapi.Reject(http.StatusNotFound, "", "no such link")
	}
	if err := o.enterPublic(r, owner.Tenant); err != nil {
		return err
	}
	return o.sendFile(w, r, owner, id, http.StatusOK)
}

// sendFile answers with a file's content. A browser keeps it, and runs nothing of it.
func (o Options) sendFile(w http.ResponseWriter, r *http.Request, owner schemas.BotID, id string, status int) error {
	file, content, err := o.Files.Get(r.Context(), owner, id)
	if err != nil {
		return fileFailed(err)
	}
	defer content.Close()
	header := w.Header()
	header.Set("Content-Type", file.Type)
	header.Set("Content-Length", strconv.FormatInt(file.Size, 10))
	header.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": file.Name}))
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "sandbox")
	header.Set("Cache-Control", "private, no-store")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = io.Copy(w, content) // a copy error means that the client has disconnected
	}
	return nil
}

func fileFailed(err error) error {
	var large *http.MaxBytesError
	full, faulty := errors.AsType[*fault.Fault](err)
	switch {
	case faulty && full.Kind == fault.QueueFull:
		return httpapi.Reject(http.StatusTooManyRequests, full.Kind, full.Message).With("Retry-After", "10")
	case errors.Is(err, store.ErrNoFile):
		return httpapi.Reject(http.StatusNotFound, "", err.Error())
	case errors.As(err, &large):
		return httpapi.Reject(http.StatusRequestEntityTooLarge, fault.TooLarge,
			"a file has at most "+strconv.Itoa(FileMax)+" bytes")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return httpapi.Reject(http.StatusRequestTimeout, fault.Timeout, "the file did not come in time")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return httpapi.Reject(http.StatusBadRequest, fault.Reset, "the file ended early")
	}
	return httpapi.Failed(err, "the file is not stored or read").Because(err, "storing or reading a file failed")
}

// Links are addresses of files that need no token and end by themselves.
type Links struct {
	Signer  *signedurl.Signer
	Gateway string // where browsers reach the gateway, as in https://hooks.example; "": links begin with the path
}

// Ready reports whether addresses can be made: whether the signer has a key, after a look for a stored one.
func (l Links) Ready() bool { return l.Signer.Ready() }

// Make returns an address of a file of a bot, "" while its signer has no key, and when it ends.
func (l Links) Make(owner schemas.BotID, id string, now time.Time) (string, time.Time) {
	expires := now.Add(LinkFor).Truncate(time.Second)
	token := l.Signer.Sign(signedurl.Payload{Owner: owner.Tenant + "/" + owner.Bot, Item: id, Expires: expires})
	if token == "" {
		return "", expires.UTC()
	}
	return strings.TrimSuffix(l.Gateway, "/") + "/public/files/" + token, expires.UTC()
}

func (l Links) open(token string, now time.Time) (owner schemas.BotID, id string, err error) {
	payload, err := l.Signer.Verify(token, now)
	if err != nil {
		return schemas.BotID{}, "", err
	}
	owner.Tenant, owner.Bot, _ = strings.Cut(payload.Owner, "/")
	if !store.IsFileID(payload.Item) {
		return schemas.BotID{}, "", signedurl.ErrUnknown
	}
	return owner, payload.Item, nil
}
