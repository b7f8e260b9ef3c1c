package console

import (
	"context"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// letterPage is what a page shows of one dead letter.
type letterPage struct {
	About, Header table
	Replay        string // address of the action; "" = not offered
	Note, Data    string
}

// letter shows what "starter deadletters show" prints.
func (c *Console) letter(w http.ResponseWriter, r *http.Request, v *visitor) error {
	n, err := c.connected()
	if err != nil {
		return err
	}
	l, err := c.findLetter(r.Context(), n, r.PathValue("sequence"))
	if err != nil {
		return err
	}
	p := letterPage{
		About: table{Head: []string{"Name", "Value"}}, Header: table{Head: []string{"Name", "Value"}, Empty: "No headers."},
	}
	for _, about := range [][2]string{
		{"Time", moment(&l.Time)}, {headTenant, l.Tenant}, {headBot, l.Bot}, {"Conversation", l.Conversation},
		{"Reason", string(l.Reason)}, {"Detail", l.Detail}, {"Subject", l.Subject}, {"Bytes", strconv.Itoa(l.Size)},
	} {
		p.About.Rows = append(p.About.Rows, []cell{{Text: about[0]}, {Text: cut(about[1], textMax)}})
	}
	names, _ := bounded(slices.Sorted(maps.Keys(l.Header)), 0)
	for _, name := range names {
		p.Header.Rows = append(p.Header.Rows,
			[]cell{{Text: cut(name, cellMax)}, {Text: cut(strings.Join(l.Header[name], ", "), textMax)}})
	}
	p.Data = string(l.Data)
	if !utf8.Valid(l.Data) {
		p.Note, p.Data = "The payload is not UTF-8: this is its base64.", base64.StdEncoding.EncodeToString(l.Data)
	}
	p.Data = cut(p.Data, payloadMax)
	if l.Replayable() {
		p.Replay = c.offer(v, schemas.AuditDeadLettersReplay, "replay",
			"sequence", strconv.FormatUint(l.Sequence, 10)).Href
	}
	return c.render(w, http.StatusOK, "letter", v, "Dead letter "+strconv.FormatUint(l.Sequence, 10), p)
}

// findLetter returns the dead letter of a sequence.
func (c *Console) findLetter(ctx context.Context, n *connection, sequence string) (l bus.DeadLetter, err error) {
	number, err := strconv.ParseUint(sequence, 10, 63)
	if err != nil || number == 0 {
		return l, bus.ErrNoDeadLetter
	}
	err = c.Retry(ctx, func(ctx context.Context) (err error) {
		l, err = bus.NewDeadLetters(n.js, n.streams).Show(ctx, number)
		return err
	})
	return l, err
}
