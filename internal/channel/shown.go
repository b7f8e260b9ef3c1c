package channel

import (
	"encoding/json"
	"maps"
	"net/netip"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/schemas"
)

// Shown is a channel with every member of the vendor's entity, also those that have their default. Tokens are names of
// secrets.
type Shown struct {
	schemas.BotID

	Origin  string `json:"origin"` // OriginAdmin or OriginFile
	ID      string `json:"id"`
	Code    string `json:"code"`
	Type    string `json:"type"`
	Problem string `json:"problem,omitempty"` // why it is not served

	TokenLocal   string         `json:"token_local"`
	TokenRemote  string         `json:"token_remote"`
	TokenRemote2 string         `json:"token_remote2"`
	IPMask       []netip.Prefix `json:"ip_mask"`
	URL          string         `json:"url"`

	Recv   string `json:"recv_svcscriptcode"`
	Send   string `json:"send_svcscriptcode"`
	RecvWS string `json:"recv_svcscriptcode_ws"`
	SendWS string `json:"send_svcscriptcode_ws"`
	Run    string `json:"run,omitempty"` // hookturn's own: bot.RunBare

	Opts ShownOpts                  `json:"opts"`
	Ext  map[string]json.RawMessage `json:"ext"` // with ct and lwt, the times of creation and of the last change
}

// ShownOpts are all options of a channel.
type ShownOpts struct {
	Title        string   `json:"title"`
	Comment      string   `json:"comment"`
	AllowFiles   bool     `json:"allow_files_api"`
	Capabilities any      `json:"filter_capabilities"` // a list, or "*"
	Sync         bool     `json:"issync"`
	RecvTimeout  int      `json:"recv_timeout"`
	Roles        []string `json:"roles"`
	UserID       string   `json:"userid"`
}

// Shown returns the channel as the admin API shows it.
func (e Entry) Shown() Shown {
	ch := e.Is()
	s := Shown{
		BotID: e.BotID, Origin: e.Origin, ID: e.ID, Code: ch.Code, Type: ch.Type,
		TokenLocal: ch.TokenLocal, TokenRemote: ch.TokenRemote, TokenRemote2: ch.TokenRemote2,
		IPMask: orEmpty(ch.IPMask), URL: ch.URL, Recv: ch.Recv, Send: ch.Send, RecvWS: ch.RecvWS, SendWS: ch.SendWS,
		Run:  ch.Runs,
		Opts: shownOpts(ch.Opts), Ext: map[string]json.RawMessage{},
	}
	if e.Problem != nil {
		s.Problem = e.Problem.Error()
	}
	maps.Copy(s.Ext, ch.Ext)
	for name, at := range map[string]time.Time{"ct": e.Created, "lwt": e.Modified} {
		if text, err := at.MarshalJSON(); err == nil && !at.IsZero() {
			s.Ext[name] = text
		}
	}
	return s
}

func shownOpts(o bot.ChannelOpts) ShownOpts {
	s := ShownOpts{
		Title: o.Title, Comment: o.Comment, AllowFiles: o.AllowFiles, Capabilities: "*", Sync: o.Sync,
		RecvTimeout: o.RecvTimeout, Roles: orEmpty(o.Roles), UserID: o.UserID,
	}
	if o.Capabilities != nil {
		s.Capabilities = o.Capabilities
	}
	return s
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
