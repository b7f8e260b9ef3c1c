package egress

import (
	"net/http"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/header"
)

// header returns the caller's headers, validated and with canonical names, and adds those of every request.
func (c *Client) header(from http.Header) (http.Header, *fault.Fault) {
	h := make(http.Header, len(from)+2)
	for name, values := range from {
		for _, value := range values {
			canonical, err := header.CheckSent(name, value)
			if err != nil {
				return nil, fault.New(fault.Config, "header %q %s", name, err)
			}
			h.Add(canonical, value)
		}
	}
	if h.Get("User-Agent") == "" {
		h.Set("User-Agent", c.options.UserAgent)
	}
	h.Set("Accept-Encoding", "identity")
	return h, nil
}
