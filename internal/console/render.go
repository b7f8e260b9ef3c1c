package console

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/hookturn/hookturn/schemas"
)

//go:embed pages
var files embed.FS

// templates are the pages by name, each with the layout. They escape every value for the place where it stands.
var templates = parse("login", "error", "list", "conversation", "letter", "bot", "confirm")

func parse(names ...string) map[string]*template.Template {
	layout := template.Must(template.ParseFS(files, "pages/layout.html"))
	all := map[string]*template.Template{}
	for _, name := range names {
		all[name] = template.Must(template.Must(layout.Clone()).ParseFS(files, "pages/"+name+".html"))
	}
	return all
}

// page is what a template shows.
type page struct {
	Title   string
	Visitor *visitor // nil: without a session
	Actions bool     // the console may act
	Notice  string
	Body    any
}

// render writes a page.
func (c *Console) render(w http.ResponseWriter, status int, name string, v *visitor, title string, body any) error {
	p := page{Title: title, Visitor: v, Actions: c.Actions, Body: body}
	if v != nil {
		p.Notice = c.sessions.notice(v.session)
	}
	var text bytes.Buffer
	if err := templates[name].ExecuteTemplate(&text, "layout.html", p); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes()) // a write error means that the client has disconnected
	return nil
}

func (c *Console) style(w http.ResponseWriter, _ *http.Request) error {
	text, err := files.ReadFile("pages/style.css")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = w.Write(text) // a write error means that the client has disconnected
	return nil
}

// cell is a text in a table, with or without a link.
type cell struct{ Text, Href string }

// table is a table of a page.
type table struct {
	Head  []string
	Rows  [][]cell
	Empty string // shown instead of a table without rows
}

// Heads of columns.
const (
	headTenant = "Tenant"
	headBot    = "Bot"
)

// field is one input of a form.
type field struct {
	Name, Label, Value, Hint string
	Options                  []string // a choice; nil: any text
	Hidden                   bool
}

// list is a page with a table and its filters.
type list struct {
	Filters []field
	Table   table
	Next    string // address of the next page; "" = there is none
	Notes   []string
}

// Bounds of texts, in bytes.
const (
	cellMax = 200
	textMax = 4 << 10
	// payloadMax bounds the payload of a dead letter.
	payloadMax = 64 << 10
)

// texts returns cells without links. A text of another party is cut.
func texts(values ...string) []cell {
	cells := make([]cell, 0, len(values))
	for _, value := range values {
		cells = append(cells, cell{Text: cut(value, cellMax)})
	}
	return cells
}

// cut returns a text of at most so many bytes, and how many are left out.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "… (" + strconv.Itoa(len(text)-most) + " bytes more)"
}

func moment(at *time.Time) string {
	if at == nil {
		return "-"
	}
	return at.UTC().Format(time.RFC3339)
}

// bounded returns the rows of a page that begins at a row, and the first row of the next page; 0: there is none.
func bounded[T any](all []T, from int) (rows []T, next int) {
	from = min(max(from, 0), len(all))
	if len(all)-from > rowsMax {
		return all[from : from+rowsMax], from + rowsMax
	}
	return all[from:], 0
}

// ownedBy returns the names of a bot for a query.
func ownedBy(id schemas.BotID, more ...string) []string {
	return append([]string{"tenant", id.Tenant, "bot", id.Bot}, more...)
}
